"""Twisted's TCP transports, ports and connectors, on simulated sockets.

The classes derive from Twisted's. Only the system calls and the polling below them are simulated, so half-close,
producers, buffering and the order of callbacks are those of the epoll reactor.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from egress.testing.reactor import NetworkReactor


class NetworkServer(tcp.Server):
    """An accepted connection."""

    @property
    def no_delay(self) -> bool:
        """Whether setTcpNoDelay(True) was called."""
        return self.getTcpNoDelay()

    def readConnectionLost(self, reason: Failure) -> None:
        """Pass an end of input to the protocol."""
        _pass_on_end(self, reason)

    def _closeWriteConnection(self) -> None:
        _pass_on_own_end(self)


class NetworkClient(tcp.Client):
    """A connection that was dialled."""

    @property
    def no_delay(self) -> bool:
        """Whether setTcpNoDelay(True) was called."""
        return self.getTcpNoDelay()

    def createInternetSocket(self) -> socket.socket:
        """Open the simulated socket."""
        return _reactor_of(self.connector).open_socket(self.addressFamily)

    def readConnectionLost(self, reason: Failure) -> None:
        """Pass an end of input to the protocol."""
        _pass_on_end(self, reason)

    def _closeWriteConnection(self) -> None:
        _pass_on_own_end(self)


def _reactor_of(owner: tcp.Connection | tcp.Port | tcp.Connector) -> NetworkReactor:
    return cast("NetworkReactor", owner.reactor)


def _pass_on_end(connection: tcp.Connection, reason: Failure) -> None:
    # As tcp.Connection.readConnectionLost, except that `settle` raises a protocol's exception, which Twisted would log.
    protocol = IHalfCloseableProtocol(connection.protocol, None)
    if protocol is None:
        connection.connectionLost(reason)
        return
    try:
        protocol.readConnectionLost()
    except Exception:
        connection.connectionLost(_reactor_of(connection).record_failure())


def _pass_on_own_end(connection: tcp.Connection) -> None:
    # As tcp.Connection._closeWriteConnection, except that `settle` raises a protocol's exception.
    with contextlib.suppress(OSError):
        connection.socket.shutdown(socket.SHUT_WR)
    protocol = IHalfCloseableProtocol(connection.protocol, None)
    if protocol is None:
        return
    try:
        protocol.writeConnectionLost()
    except Exception:
        connection.connectionLost(_reactor_of(connection).record_failure())


class NetworkConnector(tcp.Connector):
    """The connection attempts of one factory. Each call of `connect` is one attempt."""

    def _makeTransport(self) -> tcp.Client:
        # Twisted's constructor has no annotations.
        make = cast(Callable[..., tcp.Client], NetworkClient)
        return make(self.host, self.port, self.bindAddress, self, self.reactor)


class NetworkPort(tcp.Port):
    """A listening port."""

    def createInternetSocket(self) -> socket.socket:
        """Open the simulated socket."""
        return _reactor_of(self).open_socket(self.addressFamily)

    def doRead(self) -> None:
        """Accept waiting connections."""
        reactor = _reactor_of(self)
        while self.connected:
            try:
                accepted, address = self.socket.accept()
            except OSError:
                return
            # As in tcp.Port.doRead, an exception ends at most one connection, and never the port.
            try:
                protocol = cast(ServerFactory, self.factory).buildProtocol(self._addressType("TCP", *address))
                if protocol is None:
                    accepted.close()
                    continue
                self.sessionno += 1
                protocol.makeConnection(NetworkServer(accepted, protocol, address, self, self.sessionno, reactor))
            except Exception:
                reactor.record_failure()
