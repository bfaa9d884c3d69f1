"""The listeners, and their change by a reload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IProtocolFactory
from twisted.logger import Logger
from zope.interface import implementer

from egress.errors import ConfigError
from egress.proxy.factory import ProxyFactory
from egress.proxy.reload.displaced_listeners import DisplacedListeners
from egress.service.listen.endpoint import Endpoint, TcpEndpoint, overlaps
from egress.service.listen.sockets import ListeningSocket
from egress.service.settings.source import Source
from egress.transports.contract import SocketAddress
from egress.transports.engine.socket_addresses import describe

# Binds the socket of a listener, given the name, the endpoint and the key path of the endpoint.
Bind = Callable[[str, Endpoint, str], ListeningSocket]

_log = Logger()


@implementer(IProtocolFactory)
@define(eq=False)
class SwitchableFactory:
    """The factory of a port, which delegates to a factory that a reload can replace while the port stays open.

    Attributes:
        factory: the current factory.
    """

    factory: IProtocolFactory
    noisy: bool = False
    numPorts: int = 0  # incremented and decremented by Twisted's ports

    def buildProtocol(self, address: IAddress) -> IProtocol | None:
        """Build a protocol with the current factory."""
        return self.factory.buildProtocol(address)

    def accepted(self, peer: SocketAddress) -> IProtocol | None:
        """Build the protocol of a TCP connection that the engine has accepted."""
        factory = self.factory
        if type(factory) is ProxyFactory:
            return factory.accepted(peer)
        return factory.buildProtocol(describe(peer))

    def doStart(self) -> None:
        """Do nothing: factories of listeners need no start."""

    def doStop(self) -> None:
        """Do nothing."""


@define(eq=False)
class Listener:
    """One listener.

    Attributes:
        socket: the listening socket, which has the listener's name.
        endpoint: the configured endpoint.
        factory: the factory of the port; None before the listener is served.
        port: the port; None while the listener is not served.
    """

    socket: ListeningSocket
    endpoint: Endpoint
    factory: SwitchableFactory | None = None
    port: IListeningPort | None = None

    def serve(self, reactor: Any, factory: IProtocolFactory) -> None:
        """Begin to accept connections."""
        self.factory = SwitchableFactory(factory)
        self.port = self.socket.serve(reactor, self.factory)

    def stop(self) -> Deferred[Any]:
        """Accept no more connections. Open connections stay."""
        port, self.port = self.port, None
        return maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)


@frozen
class ListenerChange:
    """The comparison of a new configuration's listeners with the served ones. Added listeners are bound, not served.

    Attributes:
        listeners: the listeners of the new configuration, by name, in configured order.
        added: the listeners of the new configuration that are not served yet.
        removed: the served listeners that the new configuration does not have.
        resecured: the names of listeners whose TLS changed, so that their connections were accepted on other terms.
    """

    listeners: Mapping[str, Listener]
    added: tuple[Listener, ...]
    removed: tuple[Listener, ...]
    resecured: frozenset[str] = frozenset()

    @property
    def sockets(self) -> list[ListeningSocket]:
        """The sockets, in configured order."""
        return [each.socket for each in self.listeners.values()]

    @property
    def displaced(self) -> DisplacedListeners:
        """The listeners whose connections no longer belong to their name. Must be read before `Listeners.commit`."""
        moved = frozenset(each.socket.name for each in self.removed if each.socket.name in self.listeners)
        lost = {each.socket.name for each in self.removed} - moved
        lost |= {each.socket.name for name, each in self.listeners.items() if each.socket.name != name}
        kept = {name for name, each in self.listeners.items() if each.socket.name == name and each not in self.added}
        return DisplacedListeners(frozenset(lost), moved | (kept & self.resecured))

    def abandon(self) -> None:
        """Close the added listeners."""
        for each in self.added:
            each.stop().addErrback(_say_failure)
            each.socket.close()


@define(eq=False)
class Listeners:
    """All listeners of the clients.

    Attributes:
        reactor: the reactor that serves the sockets.
        all: the listeners in configured order.
        bind: binds the sockets of listeners that a reload adds.
        is_serving: whether connections are accepted.
    """

    reactor: Any
    all: tuple[Listener, ...]
    bind: Bind
    is_serving: bool = field(init=False, default=False)

    @property
    def sockets(self) -> list[ListeningSocket]:
        """The sockets of the current listeners."""
        return [each.socket for each in self.all]

    def start(self, factories: Mapping[str, IProtocolFactory]) -> None:
        """Begin to accept connections.

        Args:
            factories: the protocol factories by the listener's name.
        """
        for each in self.all:
            each.serve(self.reactor, factories[each.socket.name])
        self.is_serving = True

    def stop(self) -> list[Deferred[Any]]:
        """Accept no more connections."""
        self.is_serving = False
        return [each.stop() for each in self.all]

    def close(self) -> None:
        """Remove the files of unix sockets."""
        for each in self.all:
            each.socket.close()

    def plan(
        self, source: Source, endpoints: Sequence[Endpoint], resecured: frozenset[str] = frozenset()
    ) -> ListenerChange:
        """Compare the listeners with those of a new configuration, and bind the added ones.

        A listener with a known name and endpoint keeps its socket. A listener that is only renamed keeps its socket
        too. No served listener changes before `commit`.

        Args:
            source: the new settings.
            endpoints: the endpoints of the new listeners, in configured order.
            resecured: the names of listeners whose TLS changed.

        Raises:
            ConfigError: a socket cannot be bound. All added sockets are closed.
        """
        wanted = dict(zip((each.name for each in source.settings.listener), endpoints, strict=True))
        kept = {each.socket.name: each for each in self.all if wanted.get(each.socket.name) == each.endpoint}
        free = [each for each in self.all if each.socket.name not in kept]
        following: dict[str, Listener] = {}
        added: list[Listener] = []
        try:
            for index, (name, endpoint) in enumerate(wanted.items()):
                same = kept.get(name) or next((each for each in free if each.endpoint == endpoint), None)
                if same is None:
                    same = Listener(self._bind(name, endpoint, source.listener_where(index)), endpoint)
                    added.append(same)
                elif same in free:
                    free.remove(same)
                following[name] = same
        except ConfigError:
            ListenerChange({}, tuple(added), ()).abandon()
            raise
        return ListenerChange(following, tuple(added), tuple(free), resecured)

    def _bind(self, name: str, endpoint: Endpoint, where: str) -> ListeningSocket:
        try:
            return self.bind(name, endpoint, where)
        except ConfigError as error:
            for each in self.all:
                if _share_place(each, endpoint):
                    problem = (
                        f"is in use by listener {each.socket.name} of this proxy, and a reload binds new sockets "
                        "before it closes old ones; this change needs a restart"
                    )
                    raise ConfigError(error.where, problem)
            raise

    def serve_new(self, change: ListenerChange, factories: Mapping[str, IProtocolFactory]) -> None:
        """Serve the added listeners, which accept their first connections in a later turn of the reactor.

        Raises:
            OSError: the process has no descriptors left.
        """
        for name, each in change.listeners.items():
            if each in change.added:
                each.serve(self.reactor, factories[name])

    def commit(self, change: ListenerChange, factories: Mapping[str, IProtocolFactory]) -> None:
        """Set the new factories of the remaining listeners, and close the removed listeners. This cannot fail."""
        for name, each in change.listeners.items():
            each.socket.name = name
            if each.factory is not None:
                each.factory.factory = factories[name]
        self.all = tuple(change.listeners.values())
        for each in change.removed:
            each.stop().addErrback(_say_failure)
            each.socket.close()


def _share_place(listener: Listener, endpoint: Endpoint) -> bool:
    own = listener.socket.own
    bound = listener.endpoint if own is None else TcpEndpoint(ip_address(own[0]), own[1])
    return overlaps(bound, endpoint)


def _say_failure(failure: Any) -> None:
    _log.failure("a listener did not close", failure)
