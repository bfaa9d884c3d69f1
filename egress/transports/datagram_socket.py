"""Connected UDP sockets, polled by a reactor."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

OpenSocket = Callable[[socket.AddressFamily], socket.socket]

_LIMIT_BYTES = 4096
"""The longest datagram that is read. More of one is cut off."""

_KIND = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class DatagramReceiver(Protocol):
    """The receiver of the datagrams and of the end of a socket."""

    def datagram_received(self, data: bytes, /) -> None:
        """Called with each datagram of the peer."""

    def datagram_failed(self, error: OSError, /) -> None:
        """Called when the socket has been closed after an ICMP error of the peer's host, or an error of the system."""


def open_datagram_socket(family: socket.AddressFamily) -> socket.socket:
    """Open a UDP socket of this machine.

    Raises:
        OSError: no socket can be opened.
    """
    return socket.socket(family, _KIND)


@implementer(IReadDescriptor)
class DatagramSocket:
    """Exchanges datagrams with one peer.

    The socket is connected: the kernel drops datagrams from other addresses, reports ICMP errors, and chooses a random
    local port.
    """

    __slots__ = ("_reactor", "_receiver", "_socket")

    def __init__(
        self, reactor: IReactorFDSet, open_socket: OpenSocket, address: str, port: int, receiver: DatagramReceiver
    ) -> None:
        """Open and connect the socket. Nothing is sent.

        Args:
            reactor: the reactor that polls the socket.
            open_socket: opens the socket.
            address: the literal address of the peer.
            port: the port of the peer.
            receiver: the receiver of datagrams.

        Raises:
            OSError: the socket cannot be opened, or there is no route to the peer.
        """
        self._reactor = reactor
        self._receiver = receiver
        self._socket = open_socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            self._socket.connect(_socket_address(address, port))
        except OSError:
            self._socket.close()
            raise
        reactor.addReader(self)

    @property
    def is_open(self) -> bool:
        """Whether the socket is open."""
        return self._socket.fileno() >= 0

    def send(self, data: bytes) -> None:
        """Send a datagram.

        Raises:
            OSError: it was not sent.
        """
        self._socket.send(data)

    def close(self) -> None:
        """Close the socket. The receiver is not called any more; harmless when closed."""
        if self.is_open:
            self._reactor.removeReader(self)
            self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor (IFileDescriptor)."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Return the words for a log (ILoggingContext)."""
        return type(self).__name__

    def doRead(self) -> None:
        """Read one datagram (IReadDescriptor)."""
        try:
            data = self._socket.recv(_LIMIT_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        self._receiver.datagram_received(data)

    def connectionLost(self, reason: Failure) -> None:
        """Report the error because of which the reactor has dropped the socket (IFileDescriptor).

        If there is nothing to read, an epoll reactor takes an ICMP error for the end of a connection.
        """
        if self.is_open:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNABORTED
            self._fail(OSError(number, os.strerror(number)))

    def _fail(self, error: OSError) -> None:
        self.close()
        self._receiver.datagram_failed(error)


def _socket_address(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    host, zone, name = address.partition("%")
    if not zone:
        return (address, port)
    scope = int(name) if name.isdigit() else 0
    with suppress(OSError):
        scope = scope or socket.if_nametoindex(name)
    return (host, port, 0, scope)
