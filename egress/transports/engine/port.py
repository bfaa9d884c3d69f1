"""A listening socket in the engine's set."""

from __future__ import annotations

import socket
from collections.abc import Callable
from socket import SocketType
from sys import intern
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.accept_backoff import AcceptBackoff
from egress.transports.contract import SocketAddress
from egress.transports.engine.events import READ
from egress.transports.engine.polled import PollingEngine
from egress.transports.engine.socket_addresses import describe
from egress.transports.engine.transport import Transport

# The largest number of connections that one turn accepts, before it serves established connections.
_ACCEPTS = 16


@implementer(IListeningPort)
class Port:
    """Accepts connections. Level-triggered: connections that one turn leaves in the queue are reported in the next.

    Args:
        engine: the engine that polls the socket.
        listening: a listening socket; the port owns it from now on.
        factory: builds the protocols. If it has a method `accepted`, that is called instead of `buildProtocol`, with
            the peer's address in the form of the socket module: Twisted's address object costs more than everything
            else here.
    """

    def __init__(self, engine: PollingEngine, listening: socket.socket, factory: IProtocolFactory) -> None:
        self._engine = engine
        self._socket = listening
        self._factory = factory
        # The function below socket.accept, which also makes the enum members of family and type for each connection.
        self._accept: Callable[[], tuple[int, SocketAddress]] = cast(Any, listening)._accept
        self._family = int(listening.family)
        self._accepted: Callable[[SocketAddress], IProtocol | None] = getattr(factory, "accepted", self._build)
        self._fd = -1
        self._ceiling = engine.ceiling
        self._backoff = AcceptBackoff(engine, self._stop_accepting, self._restart_accepting, engine.ceiling)
        self._host = describe(listening.getsockname())

    # IListeningPort.

    def startListening(self) -> None:
        """Accept connections (IListeningPort)."""
        self._socket.setblocking(False)
        # On Linux accepted sockets inherit the option.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._factory.doStart()
        descriptor = self._socket.fileno()
        self._engine.register(descriptor, self, READ)
        self._fd = descriptor

    def stopListening(self) -> Deferred[None]:
        """Close the socket. Accepted connections stay (IListeningPort)."""
        self._backoff.cancel()
        if self._fd >= 0:
            self._engine.unregister(self._fd, self._socket)
            self._fd = -1
            self._factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return the address that clients connect to (IListeningPort)."""
        return self._host

    @property
    def pauses(self) -> int:
        """The number of pauses for lack of descriptors or memory."""
        return self._backoff.pauses

    # Polled.

    def event(self, _events: int) -> None:
        """Accept waiting connections."""
        backoff, ceiling = self._backoff, self._ceiling
        for _ in range(_ACCEPTS):
            if self._fd < 0:
                return  # a protocol has closed the port
            if backoff.is_near and not backoff.may_accept(self._fd):
                return
            try:
                descriptor, peer = self._accept()
            except BlockingIOError:
                return
            except OSError as problem:
                if backoff.pause(problem):
                    return
                # Other errors concern the one connection that was to be accepted (accept(2)).
                continue
            if descriptor >= ceiling.near:
                backoff.is_near = True
            self._open(descriptor, peer)

    def run(self) -> None:
        """Do nothing: a port defers no work."""

    def fail(self, _reason: Failure) -> None:
        """Do nothing: a port continues to accept."""

    def close(self) -> None:
        """Close: the engine stops."""
        self.stopListening()

    def _stop_accepting(self) -> None:
        # A listening socket that is registered for no event is never reported.
        self._engine.modify(self._fd, 0)

    def _restart_accepting(self) -> None:
        self._engine.modify(self._fd, READ)

    def _build(self, peer: SocketAddress) -> IProtocol | None:
        return self._factory.buildProtocol(describe(peer))

    def _open(self, descriptor: int, peer: SocketAddress) -> None:
        engine = self._engine
        connection = SocketType(self._family, socket.SOCK_STREAM, 0, descriptor)
        transport: Transport | None = None
        try:
            # Most connections come from few hosts, and each connection would otherwise keep its own string.
            peer = (intern(peer[0]), *peer[1:])
            protocol = self._accepted(peer)
            if protocol is None:
                connection.close()
                return
            connection.setblocking(False)
            transport = Transport(engine, connection, descriptor, peer)
            engine.register(descriptor, transport)
            transport.attach(protocol)
        except Exception:
            if transport is not None:
                engine.fail(transport)
            else:
                engine.log.failure("a factory failed to build a protocol")
                connection.close()
