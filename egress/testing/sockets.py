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

READABLE, WRITABLE, ERROR, HANGUP = 0x1, 0x4, 0x8, 0x10
"""The events of epoll(7)."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
WILDCARD = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def literal(host: str) -> str:
    """Return the canonical spelling of an address literal.

    Raises:
        AssertionError: it is a name; nothing that runs on this network may dial names.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        raise AssertionError(f"a name was dialled: {host!r}") from None


def family_of(host: str) -> socket.AddressFamily:
    """Return which family an address literal belongs to."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def os_error(number: int) -> OSError:
    """Return the OSError of an errno value."""
    return OSError(number, os.strerror(number))


@define(eq=False, repr=False)
class MemorySocket:
    """One non-blocking TCP socket.

    Attributes:
        kernel: what it belongs to.
        family: IPv4 or IPv6.
        descriptor: its number, never used again.
        is_of_test: held by a `NetworkPeer`, so not counted among the links of the code under test.
        local: its own address and port.
        remote: the other end's.
        other: the other end, once connected.
        inbox: bytes that arrived and were not read.
        backlog: None, or for a listening socket the connections that wait to be accepted.
        error: what the next system call fails with, or 0.
        has_ended: its FIN is sent.
        was_reset: a RST came, or the connection was refused.
        interest: the events that `on_events` is called with; 0 for none, as outside of the epoll set.
        on_events: called with those that hold.
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
        """The other end's FIN is behind the inbox."""
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
        if self.was_reset or self.has_ended or self._has_room():
            events |= WRITABLE
        return events

    def _has_room(self) -> bool:
        if self.other is None:
            return False
        # sk_stream_is_writeable: a third of the buffer must be free, lest a writer be woken for every segment.
        used = len(self.other.inbox)
        return 2 * (self.kernel.window_bytes - used) >= used

    def send(self, data: bytes | memoryview) -> int:
        """Put bytes into the other end's window; what does not fit stays with the caller."""
        if self.error:
            raise os_error(self.error)
        if self.other is None or self.has_ended:
            raise os_error(errno.EPIPE)
        if self.other.is_closed:
            # Nobody is there to take it: the segment is answered by a RST.
            self.reset_arrives()
            return len(data)
        room = self.kernel.window_bytes - len(self.other.inbox)
        if room <= 0:
            raise os_error(errno.EWOULDBLOCK)
        piece = data[:room]
        self.other.inbox += piece
        self.kernel.wake(self.other)
        return len(piece)

    def recv(self, limit: int) -> bytes:
        """Take at most one segment; what came before a FIN or a RST is not lost."""
        if self.inbox:
            size = min(limit, self.kernel.segment_bytes)
            data = bytes(self.inbox[:size])
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
        """Send FIN (shutdown(2)); reading on is a matter of the caller, who closes next."""
        if self.other is None or self.was_reset:
            raise os_error(errno.ENOTCONN)
        if how != socket.SHUT_RD and not self.has_ended:
            self.has_ended = True
            self.kernel.wake(self.other)
            self.kernel.wake(self)

    def close(self) -> None:
        """Close, with FIN; or with RST where bytes were left unread (RFC 2525 section 2.17) or linger is off."""
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
        """Take a RST (tcp_reset in net/ipv4/tcp_input.c)."""
        if self.is_closed or self.was_reset:
            return
        self.was_reset = True
        self.error = errno.EPIPE if self.hears_no_more else errno.ECONNRESET
        self.kernel.wake(self)

    def connect_ex(self, address: tuple[str, int] | tuple[str, int, int, int]) -> int:
        """Begin to connect; the answer comes as an event."""
        if self.other is not None:
            return errno.EISCONN
        if self.is_connecting:
            return errno.EALREADY
        return self.kernel.connect(self, literal(address[0]), address[1])

    def connected_to(self, other: MemorySocket) -> None:
        """The handshake is done."""
        self.is_connecting = False
        self.other = other
        self.kernel.wake(self)

    def refused(self) -> None:
        """A RST answered the SYN."""
        self.is_connecting = False
        self.was_reset = True
        self.error = errno.ECONNREFUSED
        self.kernel.wake(self)

    def wait_for(self, handshake: IDelayedCall) -> None:
        """Keep the call that will complete the handshake, for a socket closed sooner must cancel it."""
        self._handshake = handshake

    def bind(self, address: tuple[str, int] | tuple[str, int, int, int]) -> None:
        """Choose the local address."""
        host = literal(address[0] or WILDCARD[self.family])
        local = (host, address[1] or self.kernel.fresh_port())
        if self.kernel.is_taken(local):
            raise os_error(errno.EADDRINUSE)
        self.local = local

    def listen(self, backlog: int) -> None:
        """Take connections; the length of the backlog is not held to."""
        self.kernel.open_listener(self)
        self.backlog = deque()

    def accept(self) -> tuple[MemorySocket, tuple[str, int] | tuple[str, int, int, int]]:
        """Take the connection that waited longest."""
        if not self.backlog:
            raise os_error(errno.EWOULDBLOCK)
        accepted = self.backlog.popleft()
        return accepted, accepted.getpeername()

    def getsockname(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the local address as the socket module does."""
        return self._shaped(self.local)

    def getpeername(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the remote address as the socket module does."""
        return self._shaped(self.remote)

    def _shaped(self, address: tuple[str, int]) -> tuple[str, int] | tuple[str, int, int, int]:
        return (*address, 0, 0) if self.family == socket.AF_INET6 else address

    def getsockopt(self, level: int, option: int) -> int | bytes:
        """Return an option; asking for SO_ERROR clears it."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            error, self.error = self.error, 0
            return error
        return self._options.get((level, option), 0)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Remember an option."""
        self._options[level, option] = value

    def setblocking(self, is_blocking: bool) -> None:
        """Accept what every Twisted transport asks for; these sockets never block."""

    def fileno(self) -> int:
        """Return the descriptor's number, or -1 once closed."""
        return -1 if self.is_closed else self.descriptor
