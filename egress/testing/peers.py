"""The test's own ends of connections: clients and origins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import define, field

from egress.testing.sockets import ERROR, READABLE, WRITABLE, MemorySocket


@define(eq=False)
class Peer(ABC):
    """One end of a connection, under the control of a test: what the test says, and what arrived.

    Attributes:
        received: every byte that arrived.
        saw_eof: whether the FIN of the other end arrived, after all bytes before the FIN.
        was_reset: whether the other end sent a RST, or data arrived at a closed socket. Set even while not reading.
    """

    _received: bytearray = field(factory=bytearray, init=False)
    saw_eof: bool = field(default=False, init=False)
    was_reset: bool = field(default=False, init=False)
    _taken: int = field(default=0, init=False)
    _outbox: bytearray = field(factory=bytearray, init=False)
    _is_reading: bool = field(default=True, init=False)
    _ends: bool = field(default=False, init=False)
    _closes: bool = field(default=False, init=False)

    @property
    def received(self) -> bytes:
        """Every byte that arrived."""
        return bytes(self._received)

    @property
    def unsent(self) -> int:
        """The number of bytes that wait because the window of the other end is full."""
        return len(self._outbox)

    def says(self, data: bytes) -> None:
        """Send bytes."""
        if self._ends or self._is_shut():
            raise AssertionError("it has ended and can say nothing more")
        self._outbox += data
        self._look()

    def ends(self) -> None:
        """Send FIN after all bytes, and keep reading."""
        self._ends = True
        self._look()

    def closes(self) -> None:
        """Close after all bytes. Unread bytes cause a RST, and so do bytes that arrive later."""
        self._ends = self._closes = True
        self._look()

    def stops_reading(self) -> None:
        """Stop reading: bytes stay in the window until it is full."""
        self._is_reading = False
        self._look()

    def reads_again(self) -> None:
        """Read the bytes that waited, and continue reading."""
        self._is_reading = True
        self._look()

    def take(self) -> bytes:
        """Return the bytes that arrived since the last call."""
        fresh = bytes(self._received[self._taken :])
        self._taken = len(self._received)
        return fresh

    def heard(self, prefix: bytes = b"", *, contains: bytes = b"") -> None:
        """Assert which bytes arrived since the last `take`, without taking them.

        Args:
            prefix: the expected beginning.
            contains: bytes expected at any position.

        Raises:
            AssertionError: other bytes arrived.
        """
        fresh = bytes(self._received[self._taken :])
        if not fresh.startswith(prefix):
            raise AssertionError(f"expected {prefix!r} first, heard {self._told(fresh)}")
        if contains not in fresh:
            raise AssertionError(f"expected {contains!r} somewhere, heard {self._told(fresh)}")

    def _told(self, fresh: bytes) -> str:
        end = ", then a reset" if self.was_reset else ", then the end" if self.saw_eof else ""
        shown = repr(fresh) if len(fresh) <= 2000 else f"{fresh[:2000]!r} and {len(fresh) - 2000} bytes more"
        return (shown if fresh else "nothing") + end

    @abstractmethod
    def _is_shut(self) -> bool:
        """Whether this end was closed or reset by the test."""

    @abstractmethod
    def _look(self) -> None:
        """Note that the test has changed what this end has to do."""


@define(eq=False)
class NetworkPeer(Peer):
    """One end of a connection of the in-memory network.

    Actions take effect in the next `Network.settle`. A reset is sent at once.
    """

    _socket: MemorySocket
    _answer: Callable[[NetworkPeer, bytes], object] | None = None

    def __attrs_post_init__(self) -> None:
        self._socket.on_events = self._on_events
        self._look()

    @property
    def address(self) -> tuple[str, int]:
        """Address and port of this end."""
        return self._socket.local

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the other end."""
        return self._socket.remote

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over: closed by this end, reset, or closed (not half-closed) by the other end."""
        other = self._socket.other
        is_left_alone = self.saw_eof and other is not None and other.is_closed
        return self._socket.is_closed or self.was_reset or is_left_alone

    def aborts(self) -> None:
        """Send RST, and drop bytes that are not sent yet."""
        self._outbox.clear()
        self._socket.abort()

    def _is_shut(self) -> bool:
        return self._socket.is_closed

    def _look(self) -> None:
        if self._socket.is_closed:
            return
        # ERROR is always included, because a test must detect every RST, unlike Twisted's transports.
        interest = 0 if self.was_reset else ERROR
        if self._is_reading and not self.saw_eof:
            interest |= READABLE
        has_to_do = self._outbox or self._closes or (self._ends and not self._socket.has_ended)
        if has_to_do and not self.was_reset:
            interest |= WRITABLE
        self._socket.interest = interest
        self._socket.kernel.wake(self._socket)

    def _on_events(self, events: int) -> None:
        if events & READABLE:
            self._read()
        if events & ERROR:
            self.was_reset = True
            self._outbox.clear()
        elif events & WRITABLE and not self._socket.is_closed:
            self._write()
        self._look()

    def _read(self) -> None:
        # All octets at once, because `segment_bytes` applies to the code under test.
        data = bytes(self._socket.inbox)
        if data:
            self._socket.inbox.clear()
            if self._socket.other is not None:
                self._socket.kernel.wake(self._socket.other)
            self._received += data
            if self._answer is not None:
                self._answer(self, data)
        elif self._socket.hears_no_more or self._socket.was_reset:
            self.saw_eof = self._socket.hears_no_more
            self._is_reading = False

    def _write(self) -> None:
        if self._outbox:
            sent = self._socket.send(bytes(self._outbox))
            del self._outbox[:sent]
        if self._outbox:
            return
        if self._closes:
            self._socket.close()
        elif self._ends and not self._socket.has_ended and not self._socket.was_reset:
            self._socket.shutdown(1)


P = TypeVar("P", bound=Peer)


@define(eq=False)
class ConnectedPeers(Generic[P]):
    """The connections of a listener of the test.

    Attributes:
        host: address of the listener.
        port: port of the listener.
        peers: one end for each connection, in order.
    """

    host: str
    port: int
    peers: list[P] = field(factory=list, init=False)

    @property
    def peer(self) -> P:
        """The last connection.

        Raises:
            AssertionError: there was no connection.
        """
        if not self.peers:
            raise AssertionError(f"nobody connected to {self.host} port {self.port}")
        return self.peers[-1]

    def heard(self, prefix: bytes = b"", *, contains: bytes = b"") -> None:
        """Assert what arrived on the last connection; see `Peer.heard`."""
        self.peer.heard(prefix, contains=contains)


@define(eq=False)
class Origin(ConnectedPeers[NetworkPeer]):
    """A listener of the in-memory network, and its connections."""

    _listener: MemorySocket
    _answer: Callable[[NetworkPeer, bytes], object] | None = None

    def __attrs_post_init__(self) -> None:
        self._listener.on_events = self._on_events
        self._listener.interest = READABLE

    def stops(self) -> None:
        """Stop listening, so that further attempts are refused."""
        self._listener.close()

    def _on_events(self, events: int) -> None:
        accepted, _ = self._listener.accept()
        self.peers.append(NetworkPeer(accepted, self._answer))
