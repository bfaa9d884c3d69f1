"""The origin of the good clients: pages of a requested size, and tunnels that are used in both directions."""

from __future__ import annotations

import random
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

from attrs import frozen

from tests.live.soak.content import Digest, content
from tests.live.soak.server import Server
from tests.live.soak.streams import Stream

TUNNEL_MAGIC = b"soak"
_TUNNEL = struct.Struct("<4sQQB")
TUNNEL_HEAD_BYTES = _TUNNEL.size

BOTH, CLIENT_FIRST, ORIGIN_FIRST = range(3)
"""Who ends its direction of a tunnel first."""


@frozen
class TunnelUse:
    """What a tunnel is used for: the first octets in it.

    Attributes:
        serial: of the tunnel.
        down: octets of content to the client.
        order: who ends its direction first.
    """

    serial: int
    down: int
    order: int

    def pack(self) -> bytes:
        """Return the octets."""
        return _TUNNEL.pack(TUNNEL_MAGIC, self.serial, self.down, self.order)


def chunks(serial: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Encode content in chunks of sizes that depend on the serial number, some of one octet."""
    rng = random.Random(serial)
    for piece in pieces:
        place = 0
        while place < len(piece):
            size = rng.choice((1, 7, 500, 4096, 16_384, 1 << 16))
            part = piece[place : place + size]
            yield b"%x%b\r\n%b\r\n" % (len(part), rng.choice((b"", b"", b";x=1")), part)
            place += len(part)
    yield b"0\r\n%b\r\n" % rng.choice((b"", b"X-Trailer: 1\r\n"))


class GoodOrigin:
    """Serves pages and tunnels, in plaintext on one port and in TLS on another one.

    The path of a page is `/SERIAL/FRAMING/SIZE`, where the framing is `length`, `chunked`, `close` or `upgrade`. The
    last one begins a tunnel.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._received: dict[int, Digest] = {}
        self._arrived = threading.Condition()
        self._plain = Server(self._serve)
        self._secure = Server(self._serve, context=context)
        self.port, self.tls_port = self._plain.port, self._secure.port

    @property
    def faults(self) -> list[str]:
        """What failed."""
        return self._plain.faults + self._secure.faults

    def stop(self) -> None:
        """Close everything."""
        self._plain.stop()
        self._secure.stop()

    def take(self, serial: int, seconds: float) -> Digest | None:
        """Wait for what a request has brought, up to its end.

        Returns:
            The digest; None if it did not come in time.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: serial in self._received, seconds)
            return self._received.pop(serial, None)

    def _note(self, serial: int, digest: Digest) -> None:
        with self._arrived:
            self._received[serial] = digest
            self._arrived.notify_all()

    def _serve(self, stream: Stream) -> None:
        while start := stream.read_size_or_end(len(TUNNEL_MAGIC)):
            if start == TUNNEL_MAGIC:
                self._tunnel(stream, start)
                return
            if not self._page(stream, start + stream.read_until(b"\r\n\r\n")):
                return

    def _tunnel(self, stream: Stream, start: bytes) -> None:
        rest: list[bytes] = [start]
        stream.read_size(TUNNEL_HEAD_BYTES - len(start), rest.append)
        _, serial, down, order = _TUNNEL.unpack(b"".join(rest))
        digest = Digest()
        if order == CLIENT_FIRST:
            stream.read_all(digest.take)
        stream.duplex(content(serial, down), digest.take)
        self._note(serial, digest)

    def _page(self, stream: Stream, head: bytes) -> bool:
        """Serve one page.

        Returns:
            Whether another request may follow.
        """
        lines = head.decode("ascii").split("\r\n")
        method, target, _ = lines[0].split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        _, number, framing, count = target.partition("?")[0].split("/")
        serial, size, digest = int(number), int(count), Digest()
        if framing == "upgrade":
            stream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            return True
        if fields.get("transfer-encoding") == "chunked":
            stream.read_chunks(digest.take)
        else:
            stream.read_size(int(fields.get("content-length", 0)), digest.take)
        if method == "POST":
            self._note(serial, digest)
        if serial % 5 == 0:
            stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        return self._answer(stream, method, serial, framing, size)

    def _answer(self, stream: Stream, method: str, serial: int, framing: str, size: int) -> bool:
        is_kept = framing != "close" and serial % 7 != 0
        length = {
            "length": b"Content-Length: %d\r\n" % size,
            "chunked": b"Transfer-Encoding: chunked\r\n",
            "close": b"",
        }
        head = b"HTTP/1.1 200 OK\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\n" + length[framing]
        stream.send(head + (b"" if is_kept else b"Connection: close\r\n") + b"\r\n")
        if method != "HEAD":
            pieces = content(serial, size)
            for piece in chunks(serial, pieces) if framing == "chunked" else pieces:
                stream.send(piece)
        if not is_kept:
            # A close before the peer has read everything could reset the connection.
            stream.finish()
            with suppress(ConnectionError):
                stream.read_all(len)
        return is_kept
