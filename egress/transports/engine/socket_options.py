"""The socket of a connection: its addresses and options."""

from __future__ import annotations

import socket
from socket import SocketType

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ISystemHandle
from zope.interface import implementer

from egress.transports.contract import SocketAddress
from egress.transports.engine.socket_addresses import describe


@implementer(ISystemHandle)
class ConnectedSocket:
    """The addresses and options of a transport's socket.

    `Transport` sets these attributes, because a constructor for each base class costs a microsecond for each
    connection.
    """

    __slots__ = ("_is_no_delay", "_peer", "_socket")

    _socket: SocketType
    _peer: SocketAddress
    _is_no_delay: bool

    def getHandle(self) -> SocketType:
        """Return the socket (ISystemHandle)."""
        return self._socket

    def getPeer(self) -> IPv4Address | IPv6Address:
        """Return the remote address (ITransport)."""
        return describe(self._peer)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return the local address (ITransport)."""
        return describe(self._socket.getsockname())

    def getTcpNoDelay(self) -> bool:
        """Return whether TCP_NODELAY is set (ITCPTransport)."""
        return bool(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set TCP_NODELAY, which is set on new connections (ITCPTransport)."""
        if bool(enabled) is not self._is_no_delay and self._socket.fileno() >= 0:
            self._is_no_delay = bool(enabled)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return whether SO_KEEPALIVE is set (ITCPTransport)."""
        return bool(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set SO_KEEPALIVE (ITCPTransport)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)
