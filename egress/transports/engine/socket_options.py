"""What is known of a connection's socket, and its options."""

from __future__ import annotations

import socket
from socket import SocketType

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ISystemHandle
from zope.interface import implementer

from egress.transports.engine.socket_addresses import SocketAddress, describe


@implementer(ISystemHandle)
class Connected:
    """The socket of a connection: the part of a transport that moves no bytes.

    `Transport` sets what is here: a constructor for each of its parts cost a microsecond a connection.
    """

    __slots__ = ("_is_no_delay", "_peer", "_socket")

    _socket: SocketType
    _peer: SocketAddress
    _is_no_delay: bool

    def getHandle(self) -> SocketType:
        """Give the socket (ISystemHandle)."""
        return self._socket

    def getPeer(self) -> IPv4Address | IPv6Address:
        """Give the other side's address (ITransport)."""
        return describe(self._peer)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Give our address (ITransport)."""
        return describe(self._socket.getsockname())

    def getTcpNoDelay(self) -> bool:
        """Whether small pieces are sent without waiting for others (ITCPTransport)."""
        return bool(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small pieces at once, which is how a connection begins (ITCPTransport)."""
        if bool(enabled) is not self._is_no_delay and self._socket.fileno() >= 0:
            self._is_no_delay = bool(enabled)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel probes an idle connection (ITCPTransport)."""
        return bool(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Have the kernel probe an idle connection, or not (ITCPTransport)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)
