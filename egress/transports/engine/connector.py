"""Connection attempts of the engine."""

from __future__ import annotations

import errno
import os
import socket
from socket import SocketType
from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IAddress, IConnector, IProtocol
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.contract import SocketAddress
from egress.transports.engine.events import GONE, READABLE, WRITE
from egress.transports.engine.polled import PollingEngine
from egress.transports.engine.socket_addresses import describe, describe_dialled
from egress.transports.engine.transport import Transport

_KIND = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

_IDLE, _CONNECTING, _CONNECTED, _RELEASED = "disconnected", "connecting", "connected", "released"


@implementer(IConnector)
class Connector:
    """Dials one address for a client factory. Each call of `connect` is one attempt.

    Args:
        engine: the engine that polls the socket.
        family: the family of the address.
        address: the address, an IPv4 or IPv6 literal.
        factory: builds the protocol, and receives failure and loss.
        timeout: the deadline in seconds; None for the kernel's own.
        bind_address: the local host and port.
        keepalive_seconds: see `Transport.keepalive_seconds`.

    Attributes:
        due: see `egress.timing.timer_wheel.Entry`.
        visit: see `egress.timing.timer_wheel.Entry`.
        state: "disconnected", "connecting", "connected", or "released", which is the last.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_bind_address",
        "_engine",
        "_error",
        "_factory",
        "_family",
        "_fd",
        "_is_started",
        "_keepalive_seconds",
        "_socket",
        "_timeout",
        "_transport",
        "due",
        "state",
        "visit",
    )

    def __init__(
        self,
        engine: PollingEngine,
        family: socket.AddressFamily,
        address: SocketAddress,
        factory: ClientFactory[Any],
        timeout: float | None,
        bind_address: SocketAddress | None,
        keepalive_seconds: int,
    ) -> None:
        self._engine = engine
        self._family = family
        self._address = address
        self._factory = factory
        self._timeout = timeout
        self._bind_address = bind_address
        self._keepalive_seconds = keepalive_seconds
        self._is_started = False
        self._socket: SocketType | None = None
        self._fd = -1
        self.due = self.visit = 0
        self._error: error.ConnectError | None = None
        self._transport: Transport | None = None
        self.state = _IDLE

    # IConnector.

    def connect(self) -> None:
        """Start an attempt (IConnector). The factory is never notified inside this call.

        Raises:
            RuntimeError: an attempt or its connection is active.
        """
        if self.state != _IDLE:
            raise RuntimeError("can't connect in this state")
        self.state = _CONNECTING
        if not self._is_started:
            self._is_started = True
            self._factory.doStart()
        self._error = self._dial()
        if self._error is not None:
            self._engine.queue(self)
        elif self._timeout is not None:
            self._engine.timers.expect(self, self._timeout)
        self._factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        """Stop the attempt (IConnector).

        Raises:
            NotConnectingError: no attempt is active.
        """
        if self.state != _CONNECTING:
            raise error.NotConnectingError("we're not trying to connect")
        self._fail(error.UserError())

    def disconnect(self) -> None:
        """Stop the attempt, or close the connection (IConnector)."""
        if self.state == _CONNECTING:
            self.stopConnecting()
        elif self._transport is not None:
            self._transport.loseConnection()

    def getDestination(self) -> IAddress:
        """Return the address (IConnector)."""
        return describe(self._address)

    # Polled, and Entry of the engine's timers.

    def event(self, events: int) -> None:
        """Handle the result of connect(2)."""
        connection = self._socket
        assert connection is not None, "a polled attempt has a socket"
        if events & GONE:
            self._fail(_describe(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
        elif events & WRITE:
            self._connected(connection, events)

    def run(self) -> None:
        """Report an attempt that failed inside `connect`."""
        if self._error is not None and self.state == _CONNECTING:
            self._fail(self._error)

    def expired(self) -> None:
        """Fail: the timeout has passed."""
        if self.state == _CONNECTING:
            self._fail(error.TimeoutError())

    def fail(self, reason: Failure) -> None:
        """Fail: the factory raised an exception."""
        self._close_socket()
        self._report_failure(reason)

    def close(self) -> None:
        """Stop the attempt: the engine stops."""
        self._fail(error.UserError())

    def release(self) -> None:
        """Drop the references to the open connection and the factory. The factory receives no further event."""
        self.state = _RELEASED
        self._transport = None
        try:
            self._factory.doStop()
        except Exception:
            self._engine.log.failure("doStop of a factory failed")
        del self._factory  # the callback may refer to this object

    def lost(self, reason: Failure) -> None:
        """Report the loss of the connection to the factory, after its protocol."""
        self.state = _IDLE
        self._transport = None
        try:
            self._factory.clientConnectionLost(self, reason)
            self._stop_factory()
        except Exception:
            self._engine.log.failure("clientConnectionLost of a factory failed")

    def _dial(self) -> error.ConnectError | None:
        connection = None
        try:
            connection = SocketType(self._family, _KIND)
            if connection.fileno() >= self._engine.ceiling.number:
                raise OSError(errno.EMFILE, "the descriptors that are left are reserved")
            if self._bind_address is not None:
                connection.bind(self._bind_address)
        except OSError as problem:
            if connection is not None:
                connection.close()
            return error.ConnectBindError(problem.errno, problem.strerror)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = connection.connect_ex(self._address)
        if number and number != errno.EINPROGRESS:
            connection.close()
            return _describe(number)
        self._socket = connection
        self._fd = connection.fileno()
        try:
            self._engine.register(self._fd, self)
        except OSError as problem:
            self._close_socket()
            return _describe(problem.errno)
        return None

    def _connected(self, connection: SocketType, events: int) -> None:
        engine, descriptor = self._engine, self._fd
        if self.visit:
            engine.timers.forget(self)
        self._socket, self._fd = None, -1
        self.state = _CONNECTED
        transport = Transport(engine, connection, descriptor, self._address, self)
        transport.keepalive_seconds = self._keepalive_seconds
        self._transport = transport
        engine.entries[descriptor] = transport
        try:
            protocol: IProtocol | None = self._factory.buildProtocol(describe_dialled(self._address))
        except Exception:
            # No protocol has received the transport, so this is a failed attempt and not a lost connection.
            engine.log.failure("a factory failed to build a protocol")
            self._transport = None
            engine.unregister(descriptor, connection)
            self._report_failure(Failure())
            return
        if protocol is None:
            transport.attach(Protocol())
            transport.loseConnection()
            return
        try:
            transport.attach(protocol)
            if events & READABLE:
                transport.event(events)
        except Exception:
            engine.fail(transport)

    def _fail(self, problem: Exception) -> None:
        self._close_socket()
        self._report_failure(Failure(problem))

    def _close_socket(self) -> None:
        if self.visit:
            self._engine.timers.forget(self)
        connection, self._socket = self._socket, None
        if connection is not None:
            self._engine.unregister(self._fd, connection)
            self._fd = -1

    def _report_failure(self, reason: Failure) -> None:
        self.state = _IDLE
        self._error = None
        try:
            self._factory.clientConnectionFailed(self, reason)
            self._stop_factory()
        except Exception:
            self._engine.log.failure("clientConnectionFailed of a factory failed")

    def _stop_factory(self) -> None:
        # The factory may have called `connect` during the notification.
        if self.state == _IDLE and self._is_started:
            self._is_started = False
            self._factory.doStop()


def _describe(number: int | None) -> error.ConnectError:
    problem: error.ConnectError = error.getConnectError((number, os.strerror(number or 0)))
    return problem
