"""The services that the supervisor lends to policy plugins."""

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
    """Lends the supervisor's clock, resolver and counters. They outlive every reload.

    Attributes:
        clock: the reactor's.
        resolver: the resolver of the gate.
    """

    clock: IReactorTime
    resolver: IResolver
    _counters: dict[str, dict[str, float]] = field(init=False, factory=dict)

    def counters(self, name: str) -> MutableMapping[str, float]:
        """Give the counters of one policy. See `IHostServices.counters`."""
        return self._counters.setdefault(name, {})


def make_lookup(settings: DnsSettings, reactor: Any) -> SystemLookup:
    """Make the client of the system's resolver. It answers once it is started.

    Args:
        settings: the table `[dns]`.
        reactor: takes the answers of the look-up threads.
    """
    return SystemLookup(reactor, settings.concurrent, HostsFile() if settings.hosts_file else None)


def make_host_services(settings: DnsSettings, reactor: Any) -> tuple[HostServices, SystemLookup]:
    """Make the services that plugins are lent, and the look-up behind their resolver.

    Args:
        settings: the table `[dns]`.
        reactor: gives the time, and takes the answers of the look-up threads.
    """
    lookup = make_lookup(settings, reactor)
    return HostServices(reactor, CachingResolver(reactor, lookup, settings)), lookup
