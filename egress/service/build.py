"""Puts a snapshot together, for the supervisor and for those who only ask what it would say."""

from __future__ import annotations

import os
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress import plugins
from egress.errors import ConfigError
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.interfaces import IHostServices, IPolicy, IResolver
from egress.policy.guard import Guard
from egress.policy.registry import build_policies, find_makers
from egress.service.listen.endpoint import Endpoint, SystemdEndpoint, TcpEndpoint, parse_endpoint
from egress.service.listen.socket_activation import ActivationSockets
from egress.service.listen.sockets import BoundSocket, bind
from egress.service.routing import Routing
from egress.service.settings.settings import Source
from egress.transports.engine import is_supported
from egress.upstream import DnsSettings, SystemLookup, TunnelingAgent
from egress.upstream.hosts_file import HostsFile

if TYPE_CHECKING:
    from egress.service.listen.status import Status
    from egress.transports.engine.engine import Engine


@implementer(IHostServices)
@define(eq=False)
class HostServices:
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


def make_lookup(settings: DnsSettings, reactor: Any) -> SystemLookup:
    """Make what asks the system's resolver; it works once it is started."""
    return SystemLookup(reactor, settings.concurrent, HostsFile() if settings.hosts_file else None)


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
    from egress.transports.engine.engine import Engine

    return Engine(reactor)


def parse_endpoints(source: Source) -> list[Endpoint]:
    """Read the endpoints of all listeners.

    Raises:
        ConfigError: with the place where the endpoint was written.
    """
    # Those of options count from the working directory, like any other path on a command line.
    place = source.path if source.listeners_where == "listener" else os.path.abspath
    try:
        return [
            parse_endpoint(listener.endpoint, source.listener_where(index), place)
            for index, listener in enumerate(source.settings.listener)
        ]
    except ConfigError as error:
        raise source.place(error)


def parse_status(source: Source) -> list[Endpoint]:
    """Read the endpoint of the status listener; none where there is none.

    Raises:
        ConfigError: with the file's name.
    """
    text = source.settings.status.endpoint
    try:
        return [parse_endpoint(text, "status.endpoint", source.path)] if text else []
    except ConfigError as error:
        raise source.place(error)


def bind_listeners(
    source: Source, endpoints: list[Endpoint], engine: Engine | None, activation_sockets: ActivationSockets
) -> list[BoundSocket]:
    """Bind every listener, or none.

    Raises:
        ConfigError: one cannot be had; with the place where its endpoint was written.
    """
    sockets: list[BoundSocket] = []
    try:
        for index, (listener, endpoint) in enumerate(zip(source.settings.listener, endpoints, strict=True)):
            sockets.append(
                bind_listener(listener.name, endpoint, source.listener_where(index), engine, activation_sockets)
            )
    except ConfigError as error:
        for each in sockets:
            each.close()
        raise source.place(error)
    return sockets


def bind_listener(
    name: str, endpoint: Endpoint, where: str, engine: Engine | None, activation_sockets: ActivationSockets
) -> BoundSocket:
    """Bind one listener, or take its socket over.

    Raises:
        ConfigError: it cannot be had.
    """
    if isinstance(endpoint, SystemdEndpoint):
        return activation_sockets.adopt(name, endpoint, where, engine)
    return bind(name, endpoint, where, engine)


def open_status(source: Source, activation_sockets: ActivationSockets) -> Status | None:
    """Bind the status listener, where there is one.

    The engine does not serve it: it is there to tell of the engine's faults, too.

    Raises:
        ConfigError: it cannot be had there.
    """
    for endpoint in parse_status(source):
        # What it is made of takes its time to import.
        from egress.service.listen.status import Status

        if isinstance(endpoint, SystemdEndpoint):
            socket = activation_sockets.adopt("status", endpoint, "status.endpoint")
        else:
            socket = bind("status", endpoint, "status.endpoint")
        return Status(socket, source.settings.status.hosts)
    return None


def make_policies(source: Source, host: IHostServices) -> tuple[IPolicy, ...]:
    """Build all policies.

    Raises:
        ConfigError: a plugin or a policy's table is at fault.
    """
    try:
        return build_policies(source.settings.policy, find_makers(plugins), host)
    except ConfigError as error:
        raise source.place(error)


def make_snapshot(
    source: Source,
    host: HostServices,
    policies: tuple[IPolicy, ...],
    routing: Routing,
    own: Iterable[tuple[str, int]],
    dialler: Any,
    generation: int = 1,
) -> Snapshot:
    """Build a snapshot.

    Args:
        source: the settings.
        host: what was lent to the policies.
        policies: in configured order.
        routing: upstreams, routes and the selector.
        own: address and port of each listener of ours.
        dialler: the engine or the reactor.
        generation: counts up with every snapshot.
    """
    limits = source.settings.limits
    ourselves = OwnAddresses(tuple(own), tuple(hop.authority for hop in routing.selector.hops))
    agent = TunnelingAgent(
        dialler,
        limits.dial_seconds_per_address,
        limits.dial_seconds,
        limits.handshake_seconds,
        limits.head_bytes,
        routing.upstreams,
        host.resolver,
        ourselves.dialling,
    )
    return Snapshot(
        generation,
        policies,
        Guard(source.settings.guard),
        host.resolver,
        routing.selector,
        agent,
        ourselves,
        agent.proxies,
    )


def expected_sockets(endpoints: Iterable[Endpoint]) -> list[tuple[str, int]]:
    """Give the sockets that listeners would have; port 0 is not known before it is bound."""
    return [(str(each.address), each.port) for each in endpoints if isinstance(each, TcpEndpoint) and each.port]
