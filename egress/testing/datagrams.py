"""Simulated UDP: connected sockets of the code under test, and servers of the test."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable

from attrs import define, field

from egress.testing.sockets import ERROR, READABLE, WRITABLE, MemorySocket, literal, os_error


@define(eq=False, repr=False)
class MemoryDatagramSocket(MemorySocket):
    """A UDP socket that is connected, and so receives from its peer only.

    Attributes:
        received: the unread datagrams.
    """

    received: deque[bytes] = field(factory=deque)

    def poll(self) -> int:
        """Return which events hold (udp_poll in net/ipv4/udp.c): an error alone is not readable."""
        return (READABLE if self.received else 0) | (ERROR if self.error else 0) | WRITABLE

    def connect(self, address: tuple[str, int] | tuple[str, int, int, int]) -> None:
        """Set the peer and a local address."""
        host = literal(address[0])
        if host in self.kernel.unreachable:
            raise os_error(errno.ENETUNREACH)
        self.remote = (host, address[1])
        self.local = (self.kernel.source_to(host), self.kernel.fresh_port())

    def send(self, data: bytes | memoryview) -> int:
        """Send a datagram. Where nothing listens, the host answers with ICMP, which is an error of the socket."""
        self._raise_error()
        if not self.kernel.is_blackhole(*self.remote):
            server = self.kernel.datagram_servers.get(self.remote)
            if server is None:
                self.error = errno.ECONNREFUSED
                self.kernel.wake(self)
            else:
                server(bytes(data), self)
        return len(data)

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Return the oldest datagram, truncated at the limit. No flag is supported."""
        assert not flags, "datagrams are not peeked at"
        self._raise_error()
        if not self.received:
            raise os_error(errno.EWOULDBLOCK)
        return self.received.popleft()[:limit]

    def close(self) -> None:
        """Close. No more datagrams arrive."""
        if not self.is_closed:
            self.is_closed = True
            self.interest = 0
            self.kernel.forget(self)

    def arrives(self, data: bytes, source: tuple[str, int]) -> None:
        """Receive a datagram. A datagram of another source is dropped."""
        if source == self.remote and not self.is_closed:
            self.received.append(data)
            self.kernel.wake(self)

    def _raise_error(self) -> None:
        number, self.error = self.error, 0
        if number:
            raise os_error(number)


@define(eq=False)
class DatagramServer:
    """A UDP server of the test.

    Attributes:
        host: its address.
        port: its port.
        heard: every datagram received.
        sources: the sockets that sent them.
    """

    host: str
    port: int
    _answer: Callable[[bytes], bytes | None] | None = None
    heard: list[bytes] = field(factory=list, init=False)
    sources: list[MemoryDatagramSocket] = field(factory=list, init=False)

    def sends(self, data: bytes, to: int = -1, source: tuple[str, int] | None = None) -> None:
        """Send a datagram.

        Args:
            data: the datagram.
            to: the index in `sources` of the receiving socket.
            source: the source address and port; None for those of this server.
        """
        self.sources[to].arrives(data, source or (self.host, self.port))

    def __call__(self, data: bytes, source: MemoryDatagramSocket) -> None:
        """Receive a datagram."""
        self.heard.append(data)
        self.sources.append(source)
        answer = self._answer(data) if self._answer is not None else None
        if answer is not None:
            source.arrives(answer, (self.host, self.port))
