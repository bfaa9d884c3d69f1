"""Binds the sockets of a prepared configuration, and builds the parts that need the sockets' addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, frozen
from twisted.internet.interfaces import IProtocolFactory

from egress.audit import AuditLog
from egress.audit.tee import Tee
from egress.errors import ConfigError
from egress.gate.gate import Gate
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.interfaces import IAuditSink
from egress.policy.guard import Guard
from egress.proxy.limits import Limits
from egress.proxy.server import ProxyServer
from egress.service.build.engine import make_dialler
from egress.service.build.host_services import HostServices
from egress.service.build.identification import check_listener_authentication, is_socket_local
from egress.service.build.prepare import Prepared
from egress.service.listen.endpoint import Endpoint, SystemdEndpoint
from egress.service.listen.factories import make_factories
from egress.service.listen.listeners import Listener, Listeners
from egress.service.listen.socket_activation import ActivationSockets
from egress.service.listen.sockets import BoundSocket, ListeningSocket, bind
from egress.transports.descriptor_ceiling import DescriptorCeiling
from egress.upstream import TunnelingAgent

if TYPE_CHECKING:
    from egress.service.status.status_listener import Status
    from egress.transports.engine.engine import Engine


class Binder(Protocol):
    """Makes listening sockets."""

    def bind(self, name: str, endpoint: Endpoint, where: str) -> ListeningSocket:
        """Bind the socket of one listener, or take it over.

        Args:
            name: the listener's name.
            endpoint: the listener's endpoint.
            where: the key path of the endpoint.

        Raises:
            ConfigError: the socket cannot be bound.
        """

    def bind_for_reactor(self, name: str, endpoint: Endpoint, where: str) -> ListeningSocket:
        """Bind a socket that the reactor serves, even if there is an engine. See `bind`."""

    def close_rest(self) -> None:
        """Close inherited sockets that no listener uses."""


@define(eq=False)
class SocketBinder:
    """Binds sockets, and takes over the sockets that systemd passed to this process.

    Attributes:
        activation_sockets: the sockets from systemd.
        engine: the engine that serves TCP sockets; None for the reactor.
        ceiling: the ceiling of the descriptors that connections may use; None for no ceiling.
    """

    activation_sockets: ActivationSockets
    engine: Engine | None = None
    ceiling: DescriptorCeiling | None = None

    def bind(self, name: str, endpoint: Endpoint, where: str) -> ListeningSocket:
        """Bind a listener's socket. See `Binder.bind`."""
        bound = self._bind(name, endpoint, where, self.engine)
        bound.ceiling = self.ceiling
        return bound

    def bind_for_reactor(self, name: str, endpoint: Endpoint, where: str) -> ListeningSocket:
        """Bind a socket for the reactor. See `Binder.bind_for_reactor`."""
        return self._bind(name, endpoint, where, None)

    def close_rest(self) -> None:
        """Close systemd's other sockets. See `Binder.close_rest`."""
        self.activation_sockets.close_rest()

    def _bind(self, name: str, endpoint: Endpoint, where: str, engine: Engine | None) -> BoundSocket:
        if isinstance(endpoint, SystemdEndpoint):
            return self.activation_sockets.adopt(name, endpoint, where, engine)
        return bind(name, endpoint, where, engine)


@frozen(eq=False)
class Activated:
    """The parts of a proxy whose sockets are bound and not served yet.

    Attributes:
        listeners: the listeners of the clients.
        factories: the listeners' protocol factories, by the listener's name.
        server: the proxy server.
        audit_log: the open audit log.
        status: the status listener; None where the configuration has none.
    """

    listeners: Listeners
    factories: Mapping[str, IProtocolFactory]
    server: ProxyServer
    audit_log: AuditLog
    status: Status | None


def activate(
    prepared: Prepared,
    host: HostServices,
    reactor: Any,
    binder: Binder,
    open_log: Callable[[], AuditLog],
    engine: Engine | None = None,
    limits: Limits | None = None,
) -> Activated:
    """Bind every socket, or none, and build the rest of the proxy.

    Args:
        prepared: the configuration to activate.
        host: the services of the policies.
        reactor: the reactor of all parts.
        binder: binds the sockets.
        open_log: opens the audit log. Called after all sockets are bound, so that a second proxy with this
            configuration fails at the port.
        engine: the engine that dials origins and upstreams; None for the reactor.
        limits: the limits that apply; None for those of the settings.

    Raises:
        ConfigError: a socket or the audit log cannot be opened; `where` is its setting.
    """
    source = prepared.source
    bound: list[ListeningSocket] = []
    try:
        for index, (listener, endpoint) in enumerate(zip(source.settings.listener, prepared.endpoints, strict=True)):
            bound.append(binder.bind(listener.name, endpoint, source.listener_where(index)))
        sockets = tuple(bound)
        status = _bind_status(prepared, binder)
        if status is not None:
            bound.append(status.socket)
        binder.close_rest()
        check_sockets(prepared, sockets)
        keepalive_seconds = source.settings.limits.tcp_keepalive_seconds
        for each in bound:
            each.keep_alive(keepalive_seconds)
        dialler = make_dialler(engine, reactor, keepalive_seconds)
        snapshot = make_snapshot(prepared, host, own_addresses(bound), dialler)
        audit_log = open_log()
    except ConfigError as error:
        for each in bound:
            each.close()
        raise source.place(error)
    server = _make_server(prepared, snapshot, reactor, audit_log if status is None else _tee(audit_log, status), limits)
    listeners = Listeners(reactor, tuple(map(Listener, sockets, prepared.endpoints)), binder.bind)
    return Activated(listeners, make_factories(source, server, prepared.tls), server, audit_log, status)


def check_sockets(prepared: Prepared, sockets: Sequence[ListeningSocket]) -> None:
    """Check the addresses of sockets that systemd has bound, which the endpoints do not contain.

    Args:
        prepared: the configuration.
        sockets: the sockets of the listeners, in configured order.

    Raises:
        ConfigError: a listener that other machines can reach accepts tokens in the clear.
    """
    check_listener_authentication(prepared.source, map(is_socket_local, sockets))


def own_addresses(sockets: Iterable[ListeningSocket]) -> list[tuple[str, int]]:
    """Return the address and port of each TCP socket."""
    return [each.own for each in sockets if each.own is not None]


def make_snapshot(
    prepared: Prepared, host: HostServices, own: Iterable[tuple[str, int]], dialler: Any, generation: int = 1
) -> Snapshot:
    """Make the gate's configuration snapshot.

    Args:
        prepared: the configuration.
        host: the services of the policies, whose resolvers the gate uses.
        own: the address and port of each listener of this proxy, which are refused as destinations.
        dialler: the dialler of origins and upstreams.
        generation: the generation of the previous snapshot, plus one.

    Raises:
        ConfigError: a proxy is one of these listeners.
    """
    own = tuple(own)
    prepared.check_own_proxies(own)
    settings, routing = prepared.source.settings, prepared.routing
    limits = settings.limits
    ourselves = OwnAddresses(own, tuple(hop.authority for hop in routing.selector.hops))
    agent = TunnelingAgent(
        dialler,
        limits.dial_seconds_per_address,
        limits.dial_seconds,
        limits.handshake_seconds,
        limits.head_bytes,
        routing.upstreams,
        host.hop_resolver,
        ourselves.dialling,
        routing.states,
    )
    policies = tuple(each.policy for each in prepared.policies)
    return Snapshot(
        generation,
        policies,
        Guard(settings.guard),
        host.resolver,
        host.hop_resolver,
        routing.selector,
        agent,
        ourselves,
        agent.proxies,
    )


def _bind_status(prepared: Prepared, binder: Binder) -> Status | None:
    """Bind the status listener. The reactor serves it, because the status includes faults of the engine."""
    if prepared.status_endpoint is None:
        return None
    # Importing the libraries of the status listener is slow.
    from egress.service.status.status_listener import Status

    socket = binder.bind_for_reactor("status", prepared.status_endpoint, "status.endpoint")
    return Status(socket, prepared.source.settings.status.hosts)


def _tee(audit_log: AuditLog, status: Status) -> IAuditSink:
    return Tee(audit_log, status.metrics.record)


def _make_server(
    prepared: Prepared, snapshot: Snapshot, reactor: Any, sink: IAuditSink, limits: Limits | None
) -> ProxyServer:
    settings = prepared.source.settings
    gate = Gate(snapshot, reactor, settings.limits.policy_seconds, delegated_seconds=settings.dns.delegated_seconds)
    limits = limits or settings.limits
    return ProxyServer(gate, prepared.identifier, sink, reactor, limits, settings.tls, settings.http)
