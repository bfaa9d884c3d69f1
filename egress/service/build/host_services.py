"""The services that the supervisor provides to policy plugins, and the resolvers of the gate."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress.interfaces import IHostServices, IResolver
from egress.upstream import HOP_LOOKUPS, CachingResolver, DnsSettings, HopResolver, HostsFile, Lookup, SystemLookup


@frozen(eq=False)
class Resolvers:
    """The resolvers, and the look-ups that they share among clients.

    Attributes:
        names: of destinations.
        hops: of upstream proxies.
        lookups: of both. They answer once they are started.
    """

    names: CachingResolver
    hops: HopResolver
    lookups: tuple[Lookup, ...]

    def start(self) -> None:
        """Accept look-ups. To be called after any fork."""
        for lookup in self.lookups:
            lookup.start()

    def stop(self) -> None:
        """Look nothing up any more. What waits for a name fails."""
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
        """Use other settings for the resolvers from now on."""
        for resolver in (self.resolver, self.hop_resolver):
            if isinstance(resolver, (CachingResolver, HopResolver)):
                resolver.renew(settings)


def make_resolvers(settings: DnsSettings, reactor: Any) -> Resolvers:
    """Make the resolvers. They answer once they are started.

    Args:
        settings: the table `[dns]`.
        reactor: the clock, and the receiver of the look-up threads' results.
    """
    hosts = HostsFile() if settings.hosts_file else None
    names = SystemLookup(reactor, settings.concurrent, hosts)
    # Threads of their own: those of clients may all be waiting for slow names.
    hops = SystemLookup(reactor, HOP_LOOKUPS, hosts)
    return Resolvers(CachingResolver(reactor, names, settings), HopResolver(reactor, hops, settings), (names, hops))


def make_host_services(settings: DnsSettings, reactor: Any) -> tuple[HostServices, Resolvers]:
    """Make the services of plugins, and the resolvers that they use.

    Args:
        settings: the table `[dns]`.
        reactor: the clock, and the receiver of the look-up threads' results.
    """
    resolvers = make_resolvers(settings, reactor)
    return HostServices(reactor, resolvers.names, resolvers.hops), resolvers
