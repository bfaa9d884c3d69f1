"""The served listeners, and their change by a reload."""

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

# Makes the socket of a listener from its name, its endpoint and the key path of the endpoint.
Bind = Callable[[str, Endpoint, str], ListeningSocket]

_log = Logger()


@implementer(IProtocolFactory)
@define(eq=False)
class SwitchableFactory:
    """The factory of a port, whose own factory a reload can replace while the port stays open.

    Attributes:
        factory: builds the protocols.
    """

    factory: IProtocolFactory
    noisy: bool = False
    numPorts: int = 0  # Twisted's ports count here

    def buildProtocol(self, address: IAddress) -> IProtocol | None:
        """Build a protocol by the current factory."""
        return self.factory.buildProtocol(address)

    def accepted(self, peer: SocketAddress) -> IProtocol | None:
        """Build the protocol of a TCP connection that the engine has accepted."""
        factory = self.factory
        if type(factory) is ProxyFactory:
            return factory.accepted(peer)
        return factory.buildProtocol(describe(peer))

    def doStart(self) -> None:
        """Do nothing: the factories of listeners need no start."""

    def doStop(self) -> None:
        """Do nothing."""


@define(eq=False)
class Listener:
    """One listener.

    Attributes:
        socket: its listening socket, which has its name.
        endpoint: as configured.
        factory: the factory of its port; None before the listener is served.
        port: None while the listener is not served.
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
    """The listeners of a new configuration compared with the served ones. Added listeners are bound, and not served.

    Attributes:
        listeners: of the new configuration, by name, in configured order.
        added: those of them that are not served yet.
        removed: served listeners that the new configuration does not have.
        resecured: names of listeners whose TLS changed. Their connections were accepted on other terms.
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
        """The listeners whose connections no longer belong to their name. To be read before `Listeners.commit`."""
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
        reactor: serves the sockets.
        all: in configured order.
        bind: makes the sockets of listeners that a reload adds.
        is_serving: connections are accepted.
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
            factories: of the protocols, by the listener's name.
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

        A listener with a known name and endpoint keeps its socket, and so does one that is only renamed. No served
        listener changes before `commit`.

        Args:
            source: the new settings.
            endpoints: of the new listeners, in configured order.
            resecured: names of the listeners whose TLS changed.

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
        """Serve the added listeners. They accept their first connection in a later turn of the reactor.

        Raises:
            OSError: the process has no descriptors left.
        """
        for name, each in change.listeners.items():
            if each in change.added:
                each.serve(self.reactor, factories[name])

    def commit(self, change: ListenerChange, factories: Mapping[str, IProtocolFactory]) -> None:
        """Give the remaining listeners new factories, and close the removed ones. This cannot fail."""
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
