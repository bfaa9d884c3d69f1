"""The listeners as they are served now, and what becomes of them when the configuration changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IProtocolFactory
from twisted.logger import Logger
from zope.interface import implementer

from egress.errors import ConfigError
from egress.proxy.factory import ProxyFactory
from egress.proxy.reload.displaced_listeners import DisplacedListeners
from egress.service.listen.endpoint import Endpoint, TcpEndpoint, UnixEndpoint
from egress.service.listen.sockets import Listening
from egress.service.settings.settings import Source
from egress.transports.engine.socket_addresses import SocketAddress, describe

# Makes the socket of a listener, given its name, its endpoint and the place where that is written.
Bind = Callable[[str, Endpoint, str], Listening]

_log = Logger()


@implementer(IProtocolFactory)
@define(eq=False)
class SwitchableFactory:
    """What a port asks for protocols; what stands behind it changes while the port stays.

    Attributes:
        factory: builds the protocols now.
    """

    factory: IProtocolFactory
    noisy: bool = False
    numPorts: int = 0  # Twisted's ports count here

    def buildProtocol(self, address: IAddress) -> IProtocol | None:
        """Have one built."""
        return self.factory.buildProtocol(address)

    def accepted(self, peer: SocketAddress) -> IProtocol | None:
        """Have one built for a TCP connection that the engine has accepted."""
        factory = self.factory
        if type(factory) is ProxyFactory:
            return factory.accepted(peer)
        return factory.buildProtocol(describe(peer))

    def doStart(self) -> None:
        """Do nothing: what stands behind needs none."""

    def doStop(self) -> None:
        """Do nothing."""


@define(eq=False)
class Listener:
    """One listener.

    Attributes:
        socket: bears its name.
        endpoint: where it was configured to listen.
        entrance: once it is served.
        port: the same.
    """

    socket: Listening
    endpoint: Endpoint
    entrance: SwitchableFactory | None = None
    port: IListeningPort | None = None

    def serve(self, reactor: Any, factory: IProtocolFactory) -> None:
        """Take connections from now on."""
        self.entrance = SwitchableFactory(factory)
        self.port = self.socket.serve(reactor, self.entrance)

    def stop(self) -> Deferred[Any]:
        """Take no more connections; those that were taken stay."""
        port, self.port = self.port, None
        return maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)


@frozen
class Change:
    """The listeners of a new configuration, those that are new bound already.

    Attributes:
        next: one for each name, in configured order.
        fresh: those of them that are new.
        gone: those that are not among them.
    """

    next: Mapping[str, Listener]
    fresh: tuple[Listener, ...]
    gone: tuple[Listener, ...]

    @property
    def sockets(self) -> list[Listening]:
        """Give the sockets, in configured order."""
        return [each.socket for each in self.next.values()]

    @property
    def displaced(self) -> DisplacedListeners:
        """Find the names whose connections would be taken for somebody else's. To be asked before it is committed."""
        moved = frozenset(each.socket.name for each in self.gone if each.socket.name in self.next)
        lost = {each.socket.name for each in self.gone} - moved
        lost |= {each.socket.name for name, each in self.next.items() if each.socket.name != name}
        return DisplacedListeners(frozenset(lost), moved)

    def abandon(self) -> None:
        """Let everything stay as it is."""
        for each in self.fresh:
            each.stop().addErrback(_say_failure)
            each.socket.close()


@define(eq=False)
class Listeners:
    """All listeners.

    Attributes:
        reactor: serves them.
        all: in configured order.
        bind: makes the sockets of those that a reload brings.
        is_serving: connections are taken.
    """

    reactor: Any
    all: tuple[Listener, ...]
    bind: Bind
    is_serving: bool = field(init=False, default=False)

    @property
    def sockets(self) -> list[Listening]:
        """Give the sockets as they are now."""
        return [each.socket for each in self.all]

    def start(self, factories: Mapping[str, IProtocolFactory]) -> None:
        """Serve all.

        Args:
            factories: what builds the protocols, by the listeners' names.
        """
        for each in self.all:
            each.serve(self.reactor, factories[each.socket.name])
        self.is_serving = True

    def stop(self) -> list[Deferred[Any]]:
        """Take no more connections."""
        self.is_serving = False
        return [each.stop() for each in self.all]

    def close(self) -> None:
        """Remove what the sockets left in the file system."""
        for each in self.all:
            each.socket.close()

    def plan(self, source: Source, endpoints: Sequence[Endpoint]) -> Change:
        """Compare with a new configuration, and bind what is new. Nothing that is served changes yet.

        A listener stays if its name and its endpoint do. One that is renamed keeps its socket too.

        Args:
            source: the new settings.
            endpoints: of its listeners, in their order.

        Raises:
            ConfigError: one cannot be bound; none is, then.
        """
        wanted = dict(zip((each.name for each in source.settings.listener), endpoints, strict=True))
        kept = {each.socket.name: each for each in self.all if wanted.get(each.socket.name) == each.endpoint}
        free = [each for each in self.all if each.socket.name not in kept]
        following: dict[str, Listener] = {}
        fresh: list[Listener] = []
        try:
            for index, (name, endpoint) in enumerate(wanted.items()):
                same = kept.get(name) or next((each for each in free if each.endpoint == endpoint), None)
                if same is None:
                    same = Listener(self._bind(name, endpoint, source.listener_where(index)), endpoint)
                    fresh.append(same)
                elif same in free:
                    free.remove(same)
                following[name] = same
        except ConfigError:
            Change({}, tuple(fresh), ()).abandon()
            raise
        return Change(following, tuple(fresh), tuple(free))

    def _bind(self, name: str, endpoint: Endpoint, where: str) -> Listening:
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

    def serve_new(self, change: Change, factories: Mapping[str, IProtocolFactory]) -> None:
        """Serve those that are new. They take their first connection in a later turn of the reactor.

        Raises:
            OSError: the process has no descriptors left.
        """
        for name, each in change.next.items():
            if each in change.fresh:
                each.serve(self.reactor, factories[name])

    def commit(self, change: Change, factories: Mapping[str, IProtocolFactory]) -> None:
        """Put new factories behind those that stay, and close those that are gone. This cannot fail."""
        for name, each in change.next.items():
            each.socket.name = name
            if each.entrance is not None:
                each.entrance.factory = factories[name]
        self.all = tuple(change.next.values())
        for each in change.gone:
            each.stop().addErrback(_say_failure)
            each.socket.close()


def _share_place(listener: Listener, endpoint: Endpoint) -> bool:
    if isinstance(endpoint, UnixEndpoint):
        return isinstance(listener.endpoint, UnixEndpoint) and listener.endpoint.path == endpoint.path
    own = listener.socket.own
    return isinstance(endpoint, TcpEndpoint) and own is not None and own[1] == endpoint.port


def _say_failure(failure: Any) -> None:
    _log.failure("a listener did not close", failure)
