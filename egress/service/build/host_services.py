"""The services that the supervisor provides to policy plugins."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress.interfaces import IHostServices, IResolver
from egress.upstream import CachingResolver, DnsSettings, SystemLookup
from egress.upstream.hosts_file import HostsFile


@implementer(IHostServices)
@define(eq=False)
class HostServices:
    """Provides the supervisor's clock, resolver and counters, which survive a reload.

    Attributes:
        clock: the reactor.
        resolver: the gate's resolver.
    """

    clock: IReactorTime
    resolver: IResolver
    _counters: dict[str, dict[str, float]] = field(init=False, factory=dict)

    def counters(self, name: str) -> MutableMapping[str, float]:
        """Return the counters of one policy. See `IHostServices.counters`."""
        return self._counters.setdefault(name, {})


def make_lookup(settings: DnsSettings, reactor: Any) -> SystemLookup:
    """Make the client of the system's resolver, which works after its start.

    Args:
        settings: the table `[dns]`.
        reactor: the reactor, which receives the results of the look-up threads.
    """
    return SystemLookup(reactor, settings.concurrent, HostsFile() if settings.hosts_file else None)


def make_host_services(settings: DnsSettings, reactor: Any) -> tuple[HostServices, SystemLookup]:
    """Make the services of plugins, and the look-up that their resolver uses.

    Args:
        settings: the table `[dns]`.
        reactor: the clock, and the receiver of the look-up threads' results.
    """
    lookup = make_lookup(settings, reactor)
    return HostServices(reactor, CachingResolver(reactor, lookup, settings)), lookup
