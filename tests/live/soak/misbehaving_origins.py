"""Origins that misbehave, each on a port of its own, and what becomes of requests to them."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Mapping

from attrs import frozen

from tests.live.soak.comparison import COMPLETE, Outcome, Range, at_least, exactly
from tests.live.soak.server import Server
from tests.live.soak.streams import STALL_SECONDS, Stream

NOTE = b"X-Note: 1\r\n"
BODY = b"x" * 5000
_HALF = BODY[:2500]
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
_SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK = b"%x\r\n%b\r\n" % (len(_HALF), _HALF)
_MALFORMED = (
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
)
_MALFORMED_502 = Outcome("failed", 502, "origin_malformed")
_CLOSED_502 = Outcome("failed", 502, "origin_closed")


@frozen
class Misbehaviour:
    """What an origin does, and what its client sees and its line says.

    Attributes:
        serve: serves a connection whose request head was read.
        outcomes: what the line may say.
        server_bytes: of the line.
        is_whole: whether a client that gets the origin's response gets a whole one.
    """

    serve: Callable[[Stream], None]
    outcomes: tuple[Outcome, ...]
    server_bytes: Range
    is_whole: bool = True


def _send(*pieces: bytes) -> Callable[[Stream], None]:
    """Return a function that sends pieces, and closes."""

    def serve(stream: Stream) -> None:
        for piece in pieces:
            stream.send(piece)
        _close(stream)

    return serve


def _close(stream: Stream) -> None:
    """Send a FIN, and read on so that no reset destroys what was sent."""
    stream.finish()
    stream.read_all(len)


def _surplus(stream: Stream) -> None:
    stream.send(_HEAD + BODY + _SURPLUS)
    stream.read_all(len)


def _malformed() -> Callable[[Stream], None]:
    lock, count = threading.Lock(), 0

    def serve(stream: Stream) -> None:
        nonlocal count
        with lock:
            count += 1
            piece = _MALFORMED[count % len(_MALFORMED)]
        stream.send(piece)
        _close(stream)

    return serve


def _endless_head(stream: Stream) -> None:
    stream.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        stream.send(b"X: " + b"y" * 4000 + b"\r\n")


def _trickle(stream: Stream) -> None:
    stream.send(_CHUNKED[:-2] + b"Connection: close\r\n\r\n")
    for octet in BODY[:20]:
        stream.send(b"1\r\n%c\r\n" % octet)
        time.sleep(0.02)
    stream.send(b"0\r\n\r\n")
    _close(stream)


def _reset(stream: Stream) -> None:
    stream.reset()


MISBEHAVIOURS: Mapping[str, Misbehaviour] = {
    "closes without an answer": Misbehaviour(_send(), (_CLOSED_502,), at_least(0)),
    "resets without an answer": Misbehaviour(_reset, (_CLOSED_502,), at_least(0)),
    "closes within a body": Misbehaviour(
        _send(_HEAD, _HALF), (Outcome("origin_truncated"),), exactly(len(_HALF)), is_whole=False
    ),
    "closes between chunks": Misbehaviour(
        _send(_CHUNKED, _CHUNK), (Outcome("origin_truncated"),), exactly(len(_HALF)), is_whole=False
    ),
    "sends surplus": Misbehaviour(_surplus, (COMPLETE,), exactly(len(BODY))),
    "sends a malformed head": Misbehaviour(_malformed(), (_MALFORMED_502,), at_least(0)),
    "sends malformed chunks": Misbehaviour(
        _send(_CHUNKED, _CHUNK, b"zz\r\n"), (Outcome("origin_malformed"), _MALFORMED_502), at_least(0), is_whole=False
    ),
    "sends an endless head": Misbehaviour(_endless_head, (_MALFORMED_502,), at_least(0)),
    "sends endless interim responses": Misbehaviour(
        _send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200), (_MALFORMED_502,), at_least(0)
    ),
    "switches protocols": Misbehaviour(
        _send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
        (_MALFORMED_502,),
        at_least(0),
    ),
    "trickles": Misbehaviour(_trickle, (COMPLETE,), exactly(20)),
}
"""What origins do that read a request head first."""

SILENT = "never answers"
LATE = "sends surplus after a response"
ENDLESS = "sends endlessly"
DEAF = "never reads"
RESETTING = "resets a tunnel"
REFUSING = "refuses connections"


class MisbehavingOrigins:
    """All of these origins.

    Attributes:
        ports: where each is.
        surplus: held by the one client that uses the origin which sends surplus after a response.
    """

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._answered: set[int] = set()
        self._changed = threading.Condition()
        self.surplus = threading.Lock()
        self._servers = {kind: Server(self._after_head(each.serve)) for kind, each in MISBEHAVIOURS.items()}
        self._servers[SILENT] = Server(self._after_head(lambda stream: stream.read_all(len)))
        self._servers[LATE] = Server(self._send_surplus_late)
        self._servers[ENDLESS] = Server(self._send_endlessly)
        self._servers[DEAF] = Server(self._read_nothing)
        self._servers[RESETTING] = Server(self._reset_tunnel)
        # Bound and not listening, so that nobody else listens there.
        self._refusing = socket.socket()
        self._refusing.bind(("0.0.0.0", 0))
        self.ports = {kind: server.port for kind, server in self._servers.items()}
        self.ports[REFUSING] = self._refusing.getsockname()[1]

    @property
    def faults(self) -> list[str]:
        """What failed."""
        return [fault for server in self._servers.values() for fault in server.faults]

    def stop(self) -> None:
        """Close everything."""
        self._refusing.close()
        for server in self._servers.values():
            server.stop()

    def await_begun(self, serial: int) -> bool:
        """Wait until a request has reached its origin, or until the origin has sent its surplus.

        Returns:
            Whether it did in time.
        """
        return self._await(self._begun, serial)

    def tell_answered(self, serial: int) -> None:
        """Tell the origin that its client has the response."""
        self._tell(self._answered, serial)

    def _await(self, told: set[int], serial: int) -> bool:
        with self._changed:
            is_told = self._changed.wait_for(lambda: serial in told, STALL_SECONDS)
            told.discard(serial)
            return is_told

    def _tell(self, told: set[int], serial: int) -> None:
        with self._changed:
            told.add(serial)
            self._changed.notify_all()

    def _send_surplus_late(self, stream: Stream) -> None:
        """Answer, and send more once the client has told that it has the response."""
        if head := stream.read_until(b"\r\n\r\n"):
            serial = _serial_of(head)
            stream.send(_HEAD + BODY)
            self._await(self._answered, serial)
            stream.send(_SURPLUS)
            stream.await_delivery()
            self._tell(self._begun, serial)
            stream.read_all(len)

    def _after_head(self, serve: Callable[[Stream], None]) -> Callable[[Stream], None]:
        def read_first(stream: Stream) -> None:
            if head := stream.read_until(b"\r\n\r\n"):
                self._note(head)
                serve(stream)

        return read_first

    def _note(self, head: bytes) -> None:
        if NOTE.lower() in head.lower():
            self._tell(self._begun, _serial_of(head))

    def _send_endlessly(self, stream: Stream) -> None:
        """Answer a request with an endless body, or send endlessly in a tunnel."""
        start = stream.receive()
        stream.send(_CHUNKED if start.startswith(b"GET ") else b"")
        while True:
            stream.send(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")

    def _read_nothing(self, stream: Stream) -> None:
        poll = select.poll()
        poll.register(stream.socket, select.POLLRDHUP)
        poll.poll(STALL_SECONDS * 1000)

    def _reset_tunnel(self, stream: Stream) -> None:
        stream.receive()
        stream.send(b"some")
        stream.receive()
        stream.reset()


def _serial_of(head: bytes) -> int:
    """Return the serial number in the path of a request."""
    return int(head.split(b"/")[1])
