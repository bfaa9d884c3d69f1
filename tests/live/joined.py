"""Relayed connections for tests: an engine whose turns the test runs, with raw sockets around it."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from attrs import define, field
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock

from egress.transports.engine.engine import Engine
from egress.transports.engine.relay import Relay
from egress.transports.engine.transport import Transport
from tests.live.test_network_truth import HalfSide, Side, Taker

# Far more turns than anything here takes; a turn in which nothing is to be done waits as long as this.
TURNS = 2000
_WAIT_SECONDS = 0.005


class Hand(Clock):
    """A reactor with one reader, which is asked when the test says so."""

    reader: Any = None

    def addReader(self, reader: IReadDescriptor) -> None:
        """Take the engine."""
        self.reader = reader

    def removeReader(self, _reader: IReadDescriptor) -> None:
        """Let go of it."""
        self.reader = None

    def turn(self, seconds: float = _WAIT_SECONDS) -> None:
        """Take one turn, and wait for its beginning if nothing else is to be done."""
        # `advance` would also run what these calls put off, which a reactor leaves for its next turn.
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)
        ready, _, _ = select.select([self.reader.fileno()], [], [], 0 if due else seconds)
        if ready:
            self.reader.doRead()


def join(one: Transport, other: Transport) -> tuple[Relay, Relay]:
    """Relay both ways. Give the direction from the one, and that from the other."""
    return cast(Relay, one.relay_to(other)), cast(Relay, other.relay_to(one))


@define(eq=False)
class End:
    """One connection: a raw socket outside, a protocol on the engine inside.

    Attributes:
        plain: the raw socket.
        side: the protocol, which writes down what it is told; nothing where it is somebody else's.
        got: what came out of the raw socket.
        is_ended: a FIN came out of it.
        is_reset: a reset did.
    """

    plain: socket.socket
    side: Side = field(factory=Side)
    got: bytearray = field(factory=bytearray)
    is_ended: bool = False
    is_reset: bool = False

    @property
    def tcp(self) -> Transport:
        """The transport on the engine."""
        return cast(Transport, self.side.tcp)

    def send(self, data: bytes) -> int:
        """Send as much as the kernel takes."""
        try:
            return self.plain.send(data)
        except BlockingIOError:
            return 0

    def read(self, number: int = 1 << 20) -> None:
        """Read what is there, up to so much."""
        try:
            data = self.plain.recv(number)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.is_reset = True
            return
        self.got += data
        self.is_ended = self.is_ended or not data

    def finish(self) -> None:
        """Send a FIN."""
        self.plain.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset."""
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.plain.close()


@define(eq=False)
class Bench:
    """An engine, and what talks to it.

    Args:
        engine_of: makes it.
    """

    engine_of: Callable[[Hand], Engine] = Engine
    hand: Hand = field(init=False, factory=Hand)
    engine: Engine = field(init=False)
    _ends: list[End] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.engine = self.engine_of(self.hand)
        self.engine.start()

    def stop(self) -> None:
        """Stop the engine, and close what is left."""
        self.engine.stop()
        for end in self._ends:
            with suppress(OSError):
                end.plain.close()

    def end(self, make: Callable[[], Side] = HalfSide, buffer_bytes: int = 0) -> End:
        """Make one connection.

        Args:
            make: makes its protocol.
            buffer_bytes: what each kernel buffer may hold, so that little data fills it; 0 for the usual.
        """
        taker = Taker(make)
        bound = socket.socket()
        plain = socket.socket()
        if buffer_bytes:
            for each in (bound, plain):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        address = bound.getsockname()
        port = self.engine.listen(bound, taker)
        plain.connect(address)
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.until(lambda: taker.side)
        port.stopListening()
        assert taker.side is not None
        made = End(plain, taker.side)
        self._ends.append(made)
        return made

    def pair(self, buffer_bytes: int = 0) -> tuple[End, End, Relay, Relay]:
        """Make two connections and join them: the ends, and the direction from each."""
        one, other = self.end(buffer_bytes=buffer_bytes), self.end(buffer_bytes=buffer_bytes)
        return (one, other, *join(one.tcp, other.tcp))

    def turns(self, number: int = 10) -> None:
        """Take some turns."""
        for _ in range(number):
            self.hand.turn(0.001)

    def until(self, condition: Callable[[], object], *reading: End) -> None:
        """Take turns, and read from some ends after each, until something holds."""
        for _ in range(TURNS):
            if condition():
                return
            self.hand.turn()
            for end in reading:
                end.read()
        raise AssertionError("it did not happen")
