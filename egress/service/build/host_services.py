"""The services that the supervisor provides to policy plugins, and the resolvers of the gate."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress.interfaces import IHostServices, IResolver
from egress.upstream import HOP_LOOKUPS, CachingResolver, DnsSettings, HopResolver, HostsFile, Lookup, SystemLookup
from egress.upstream.daemon_threads import DaemonThreads
from egress.upstream.dns.exchange import Sockets
from egress.upstream.dns.lookup import DnsLookup, interval_of
from egress.upstream.dns.servers import NameServers


@frozen(eq=False)
class Resolvers:
    """The resolvers and their look-ups.

    Attributes:
        names: the resolver of the names of destinations.
        hops: the resolver of the names of upstream proxies.
        lookups: the look-ups of both, which work after their start.
    """

    names: CachingResolver
    hops: HopResolver
    lookups: tuple[Lookup, ...]

    def start(self) -> None:
        """Accept look-ups. To be called after any fork."""
        for lookup in self.lookups:
            lookup.start()

    def stop(self) -> None:
        """Accept no more look-ups, and fail those in progress."""
        self.hops.stop()
        for lookup in self.lookups:
            lookup.stop()


@implementer(IHostServices)
@define(eq=False)
class HostServices:
    """Provides the supervisor's clock, resolver and counters, which survive a reload.

    Attributes:
        clock: the reactor.
        resolver: the gate's resolver.
        hop_resolver: the resolver of upstream proxies.
    """

    clock: IReactorTime
    resolver: IResolver
    hop_resolver: IResolver
    _counters: dict[str, dict[str, float]] = field(init=False, factory=dict)

    def counters(self, name: str) -> MutableMapping[str, float]:
        """Return the counters of one policy. See `IHostServices.counters`."""
        return self._counters.setdefault(name, {})

    def renew(self, settings: DnsSettings) -> None:
        """Replace the settings of the resolvers."""
        for resolver in (self.resolver, self.hop_resolver):
            if isinstance(resolver, (CachingResolver, HopResolver)):
                resolver.renew(settings)


def make_resolvers(settings: DnsSettings, reactor: Any) -> Resolvers:
    """Make the resolvers, which work after their start.

    Args:
        settings: the table `[dns]`.
        reactor: the clock, and the receiver of the look-up threads' results.
    """
    hosts = HostsFile() if settings.hosts_file else None
    names, hops = (_system_lookups if settings.resolver == "system" else _dns_lookups)(settings, reactor, hosts)
    return Resolvers(CachingResolver(reactor, names, settings), HopResolver(reactor, hops, settings), (names, hops))


def _dns_lookups(settings: DnsSettings, reactor: Any, hosts: HostsFile | None) -> tuple[Lookup, Lookup]:
    # Two lists of name servers: silence about names of clients must not affect names of proxies.
    make = partial(DnsLookup, reactor, Sockets(reactor), DaemonThreads(reactor, 1))
    interval = interval_of(settings)
    first, second = (make(NameServers(settings.servers), interval, hosts) for _ in range(2))
    return first, second


def _system_lookups(settings: DnsSettings, reactor: Any, hosts: HostsFile | None) -> tuple[Lookup, Lookup]:
    # Two sets of threads: those of clients may all wait for slow names.
    names, hops = (SystemLookup(DaemonThreads(reactor, limit), hosts) for limit in (settings.concurrent, HOP_LOOKUPS))
    return names, hops


def make_host_services(settings: DnsSettings, reactor: Any) -> tuple[HostServices, Resolvers]:
    """Make the services of plugins, and the resolvers that they use.

    Args:
        settings: the table `[dns]`.
        reactor: the clock, and the receiver of the look-up threads' results.
    """
    resolvers = make_resolvers(settings, reactor)
    return HostServices(reactor, resolvers.names, resolvers.hops), resolvers
