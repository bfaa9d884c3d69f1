"""A listening socket in the engine's set."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from socket import SocketType
from sys import intern
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.engine.events import READ
from egress.transports.engine.socket_addresses import SocketAddress, describe
from egress.transports.engine.transport import Transport

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine

# Connections taken before those that stand have their turn.
_ACCEPTS = 16

# How long a listener rests when there are no descriptors or no memory for another connection.
_REST_SECONDS = 0.1

# The log is told of it no more often than this.
_SAY_SECONDS = 60.0

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


@implementer(IListeningPort)
class Port:
    """Accepts connections. Level-triggered: what one turn leaves, the next one finds.

    Args:
        engine: whose set.
        listening: a socket that listens; it is the port's from now on.
        factory: builds the protocols. Where it has a method `accepted`, that is asked for them instead, with the
            address as the socket module has it. Twisted's description of one costs more than all else here.

    Attributes:
        pauses: how often it has rested for want of descriptors or memory.
    """

    def __init__(self, engine: Engine, listening: socket.socket, factory: IProtocolFactory) -> None:
        self.pauses = 0
        self._engine = engine
        self._socket = listening
        self._factory = factory
        # As the socket module's own `accept` does it, which makes the socket's family and type objects each time.
        self._accept: Callable[[], tuple[int, SocketAddress]] = cast(Any, listening)._accept
        self._family = int(listening.family)
        self._accepted: Callable[[SocketAddress], IProtocol | None] = getattr(factory, "accepted", self._build)
        self._fd = -1
        self._rest: Any = None
        self._said = 0.0
        self._host = describe(listening.getsockname())

    # IListeningPort.

    def startListening(self) -> None:
        """Serve."""
        self._socket.setblocking(False)
        # Accepted sockets inherit it on Linux.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._factory.doStart()
        descriptor = self._socket.fileno()
        self._engine.add(descriptor, self, READ)
        self._fd = descriptor

    def stopListening(self) -> Deferred[None]:
        """Close; connections that were accepted stay."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._fd >= 0:
            self._engine.forget(self._fd, self._socket)
            self._fd = -1
            self._factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Give the address that clients connect to."""
        return self._host

    # What the engine calls.

    def event(self, _events: int) -> None:
        """Accept what waits."""
        for _ in range(_ACCEPTS):
            if self._fd < 0:
                return  # a protocol has closed the port
            try:
                descriptor, peer = self._accept()
            except BlockingIOError:
                return
            except OSError as problem:
                if problem.errno in _EXHAUSTED:
                    self._rest_a_while(problem)
                    return
                # Anything else is about the one connection that was to be accepted (accept(2)).
                continue
            self._open(descriptor, peer)

    def run(self) -> None:
        """Do nothing: a port puts nothing off."""

    def fail(self, _reason: Failure) -> None:
        """Do nothing: a port goes on."""

    def close(self) -> None:
        """Close because the engine stops."""
        self.stopListening()

    def _go_on(self) -> None:
        self._rest = None
        self._engine.modify(self._fd, READ)

    def _build(self, peer: SocketAddress) -> IProtocol | None:
        return self._factory.buildProtocol(describe(peer))

    def _open(self, descriptor: int, peer: SocketAddress) -> None:
        engine = self._engine
        connection = SocketType(self._family, socket.SOCK_STREAM, 0, descriptor)
        transport: Transport | None = None
        try:
            # The text is made anew each time, while few hosts have nearly all connections.
            peer = (intern(peer[0]), *peer[1:])
            protocol = self._accepted(peer)
            if protocol is None:
                connection.close()
                return
            connection.setblocking(False)
            transport = Transport(engine, connection, descriptor, peer)
            engine.add(descriptor, transport)
            transport.begin(protocol)
        except Exception:
            if transport is not None:
                engine.break_off(transport)
            else:
                engine.log.failure("a factory failed to build a protocol")
                connection.close()

    def _rest_a_while(self, problem: OSError) -> None:
        engine = self._engine
        self.pauses += 1
        # A listening socket that waits for nothing is told of nothing.
        engine.modify(self._fd, 0)
        self._rest = engine.callLater(_REST_SECONDS, self._go_on)
        now = engine.seconds()
        if not self._said or now - self._said >= _SAY_SECONDS:
            self._said = now
            engine.log.error(
                "no more connections can be accepted for now: {problem}; those that wait are tried again every "
                "{seconds} s",
                problem=problem.strerror,
                seconds=_REST_SECONDS,
            )
