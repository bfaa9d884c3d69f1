"""Puts a World together, for the supervisor and for those who only ask what it would say."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress import plugins
from egress.engine import is_supported
from egress.errors import ConfigError
from egress.interfaces import IHostServices, IPolicy, IResolver
from egress.policy.guard import Guard
from egress.policy.registry import build_policies, find_makers
from egress.proxy.own import OwnAddresses
from egress.proxy.world import World
from egress.service.endpoint import Endpoint, TcpEndpoint, parse_endpoint
from egress.service.settings import Source
from egress.upstream import DirectSelector, DnsSettings, ThreadedLookUp
from egress.upstream.hosts import HostsFile

if TYPE_CHECKING:
    from egress.engine.engine import Engine


@implementer(IHostServices)
@define(eq=False)
class Host:
    """Lends the supervisor's own parts to plugins.

    Attributes:
        clock: the reactor's.
        resolver: the one that requests use.
    """

    clock: IReactorTime
    resolver: IResolver
    _counters: dict[str, dict[str, float]] = field(init=False, factory=dict)

    def counters(self, name: str) -> MutableMapping[str, float]:
        """Give the counters of one policy. See `IHostServices.counters`."""
        return self._counters.setdefault(name, {})


def make_look_up(settings: DnsSettings, reactor: Any) -> ThreadedLookUp:
    """Make what asks the system's resolver; it works once it is started."""
    return ThreadedLookUp(reactor, settings.concurrent, HostsFile() if settings.hosts_file else None)


def make_engine(choice: str, reactor: Any) -> Engine | None:
    """Make what serves TCP connections; it works once it is started.

    Args:
        choice: "auto" or "twisted".
        reactor: the one that will run it.

    Returns:
        None leaves TCP connections to the reactor.
    """
    if choice == "twisted" or not is_supported():
        return None
    # It can be imported only where the system has epoll.
    from egress.engine.engine import Engine

    return Engine(reactor)


def parse_endpoints(source: Source) -> list[Endpoint]:
    """Read the endpoints of all listeners.

    Raises:
        ConfigError: with the place where the endpoint was written.
    """
    try:
        return [
            parse_endpoint(listener.endpoint, source.listener_where(index))
            for index, listener in enumerate(source.settings.listener)
        ]
    except ConfigError as error:
        raise source.place(error)


def make_policies(source: Source, host: IHostServices) -> tuple[IPolicy, ...]:
    """Build all policies.

    Raises:
        ConfigError: a plugin or a policy's table is at fault.
    """
    try:
        return build_policies(source.settings.policy, find_makers(plugins), host)
    except ConfigError as error:
        raise source.place(error)


def make_world(source: Source, host: Host, policies: tuple[IPolicy, ...], own: Iterable[tuple[str, int]]) -> World:
    """Build the first World.

    Args:
        source: the settings.
        host: what was lent to the policies.
        policies: in configured order.
        own: address and port of each listener of ours.
    """
    guard = Guard(source.settings.guard)
    return World(1, policies, guard, host.resolver, DirectSelector(), OwnAddresses(tuple(own)))


def expected_sockets(endpoints: Iterable[Endpoint]) -> list[tuple[str, int]]:
    """Give the sockets that listeners would have; port 0 is not known before it is bound."""
    return [(str(each.address), each.port) for each in endpoints if isinstance(each, TcpEndpoint) and each.port]
