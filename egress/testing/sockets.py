"""Simulated TCP sockets: the system calls of Linux between two processes, without packets, loss or randomness.

Twisted's transports run on these sockets (see `transport`). Where Linux differs from the standards (tcp_poll,
tcp_reset, tcp_close), the simulation follows Linux.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall

if TYPE_CHECKING:
    from egress.testing.kernel import Kernel

READABLE, WRITABLE, ERROR, HANGUP, READ_HANGUP = 0x1, 0x4, 0x8, 0x10, 0x2000
"""The events of epoll(7)."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
WILDCARD = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def literal(host: str) -> str:
    """Return the canonical spelling of an address literal.

    Raises:
        AssertionError: the text is a name; code under test must not dial names.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        raise AssertionError(f"a name was dialled: {host!r}") from None


def family_of(host: str) -> socket.AddressFamily:
    """Return the family of an address literal."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def os_error(number: int) -> OSError:
    """Return the OSError of an errno value."""
    return OSError(number, os.strerror(number))


@define(eq=False, repr=False)
class MemorySocket:
    """One non-blocking TCP socket.

    Attributes:
        kernel: the kernel of the socket.
        family: IPv4 or IPv6.
        descriptor: the number of the socket, never reused.
        is_of_test: whether a `NetworkPeer` owns the socket, so that it is not counted as a link of the code under test.
        local: the local address and port.
        remote: the address and port of the other end.
        other: the socket of the other end, once connected.
        inbox: bytes that arrived and are not read yet.
        backlog: the waiting connections of a listening socket; None for any other socket.
        error: the errno of the next system call; 0 for none.
        has_ended: whether the socket has sent its FIN.
        was_reset: whether a RST arrived or the connection was refused.
        interest: the events for which `on_events` is called; 0 for none, like a socket outside of the epoll set.
        on_events: called with the events that hold.
    """

    kernel: Kernel
    family: socket.AddressFamily
    descriptor: int
    is_of_test: bool = False
    local: tuple[str, int] = ("", 0)
    remote: tuple[str, int] = ("", 0)
    other: MemorySocket | None = None
    inbox: bytearray = field(factory=bytearray)
    backlog: deque[MemorySocket] | None = None
    error: int = 0
    has_ended: bool = False
    was_reset: bool = False
    is_connecting: bool = False
    is_closed: bool = False
    interest: int = 0
    on_events: Callable[[int], None] | None = None
    is_queued: bool = False
    _options: dict[tuple[int, int], int | bytes] = field(factory=dict)
    _handshake: IDelayedCall | None = None

    @property
    def hears_no_more(self) -> bool:
        """Whether the other end's FIN follows the inbox."""
        return self.other is not None and self.other.has_ended

    def poll(self) -> int:
        """Return which events hold (tcp_poll in net/ipv4/tcp.c)."""
        if self.backlog is not None:
            return READABLE if self.backlog else 0
        if self.is_connecting or self.is_closed:
            return 0
        events = ERROR if self.error else 0
        if self.was_reset or (self.has_ended and self.hears_no_more):
            events |= HANGUP
        if self.inbox or self.was_reset or self.hears_no_more:
            events |= READABLE
        if self.was_reset or self.hears_no_more:
            events |= READ_HANGUP
        if self.was_reset or self.has_ended or self._has_room():
            events |= WRITABLE
        return events

    def _has_room(self) -> bool:
        if self.other is None:
            return False
        # sk_stream_is_writeable: a third of the buffer must be free, so that a writer is not woken for every segment.
        used = len(self.other.inbox)
        return 2 * (self.kernel.window_bytes - used) >= used

    def send(self, data: bytes | memoryview) -> int:
        """Put bytes into the other end's window, and return the number of bytes that fit."""
        if self.error:
            raise os_error(self.error)
        if self.other is None or self.has_ended:
            raise os_error(errno.EPIPE)
        if self.other.is_closed:
            # The other end is closed, so the response to the segment is a RST.
            self.reset_arrives()
            return len(data)
        room = self.kernel.window_bytes - len(self.other.inbox)
        if room <= 0:
            raise os_error(errno.EWOULDBLOCK)
        piece = data[:room]
        self.other.inbox += piece
        self.kernel.wake(self.other)
        return len(piece)

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Read at most one segment. Bytes that arrived before a FIN or a RST are not lost.

        The only flag is MSG_PEEK.
        """
        if self.inbox:
            size = min(limit, self.kernel.segment_bytes)
            data = bytes(self.inbox[:size])
            if flags == socket.MSG_PEEK:
                return data
            del self.inbox[:size]
            if self.other is not None:
                self.kernel.wake(self.other)
            return data
        if self.hears_no_more:
            return b""
        if self.error:
            raise os_error(self.error)
        if self.was_reset:
            return b""
        raise os_error(errno.EWOULDBLOCK)

    def shutdown(self, how: int) -> None:
        """Send FIN (shutdown(2)). The read direction stays open; callers close it next."""
        if self.other is None or self.was_reset:
            raise os_error(errno.ENOTCONN)
        if how != socket.SHUT_RD and not self.has_ended:
            self.has_ended = True
            self.kernel.wake(self.other)
            self.kernel.wake(self)

    def close(self) -> None:
        """Close with FIN, or with RST where bytes are unread (RFC 2525 section 2.17) or linger is off."""
        if self.is_closed:
            return
        self.is_closed = True
        self.interest = 0
        self.kernel.forget(self)
        if self._handshake is not None and self._handshake.active():
            self._handshake.cancel()
        if self.backlog is not None:
            for waiting in self.backlog:
                waiting.abort()
        if self.other is None or self.was_reset:
            return
        lingers_not = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER)) == _RESET_ON_CLOSE
        if lingers_not or self.inbox:
            self.other.reset_arrives()
        else:
            self.has_ended = True
            self.kernel.wake(self.other)

    def abort(self) -> None:
        """Close with RST."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def reset_arrives(self) -> None:
        """Receive a RST (tcp_reset in net/ipv4/tcp_input.c)."""
        if self.is_closed or self.was_reset:
            return
        self.was_reset = True
        self.error = errno.EPIPE if self.hears_no_more else errno.ECONNRESET
        self.kernel.wake(self)

    def connect_ex(self, address: tuple[str, int] | tuple[str, int, int, int]) -> int:
        """Start to connect. The result is reported as an event."""
        if self.other is not None:
            return errno.EISCONN
        if self.is_connecting:
            return errno.EALREADY
        return self.kernel.connect(self, literal(address[0]), address[1])

    def connected_to(self, other: MemorySocket) -> None:
        """Complete the handshake."""
        self.is_connecting = False
        self.other = other
        self.kernel.wake(self)

    def refused(self) -> None:
        """Fail the handshake: the response to the SYN was a RST."""
        self.is_connecting = False
        self.was_reset = True
        self.error = errno.ECONNREFUSED
        self.kernel.wake(self)

    def wait_for(self, handshake: IDelayedCall) -> None:
        """Keep the call that will complete the handshake: closing the socket earlier must cancel it."""
        self._handshake = handshake

    def bind(self, address: tuple[str, int] | tuple[str, int, int, int]) -> None:
        """Set the local address."""
        host = literal(address[0] or WILDCARD[self.family])
        local = (host, address[1] or self.kernel.fresh_port())
        if self.kernel.is_taken(local):
            raise os_error(errno.EADDRINUSE)
        self.local = local

    def listen(self, backlog: int) -> None:
        """Accept connections. The length of the backlog is not enforced."""
        self.kernel.open_listener(self)
        self.backlog = deque()

    def accept(self) -> tuple[MemorySocket, tuple[str, int] | tuple[str, int, int, int]]:
        """Accept the connection that waited longest."""
        if not self.backlog:
            raise os_error(errno.EWOULDBLOCK)
        accepted = self.backlog.popleft()
        return accepted, accepted.getpeername()

    def getsockname(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the local address in the form of the socket module."""
        return self._shaped(self.local)

    def getpeername(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the remote address in the form of the socket module."""
        return self._shaped(self.remote)

    def _shaped(self, address: tuple[str, int]) -> tuple[str, int] | tuple[str, int, int, int]:
        return (*address, 0, 0) if self.family == socket.AF_INET6 else address

    def getsockopt(self, level: int, option: int) -> int | bytes:
        """Return an option. Reading SO_ERROR clears the error."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            error, self.error = self.error, 0
            return error
        return self._options.get((level, option), 0)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option."""
        self._options[level, option] = value

    def setblocking(self, is_blocking: bool) -> None:
        """Do nothing: these sockets never block."""

    def fileno(self) -> int:
        """Return the descriptor's number, or -1 once closed."""
        return -1 if self.is_closed else self.descriptor
