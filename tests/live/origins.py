"""Origins on this machine, in threads."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import cast

from attrs import frozen

STALL_SECONDS = 30.0
HELLO = b"hello from the origin\n"
_BLOCK = random.Random(20260729).randbytes(1 << 18)


def pattern(size: int) -> Iterator[bytes]:
    """Give so many octets, always the same, of which no two blocks are alike."""
    count, left = 0, size
    while left:
        piece = (count.to_bytes(8, "big") + _BLOCK)[:left]
        yield piece
        count += 1
        left -= len(piece)


def digest(pieces: Iterator[bytes]) -> str:
    """Hash what comes in pieces."""
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


@frozen
class Place:
    """Where origins are.

    Attributes:
        host: how clients call it.
        address: where they listen.
    """

    host: str = "localhost"
    address: str = "127.0.0.1"

    @property
    def family(self) -> socket.AddressFamily:
        """Of its address."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


HERE = Place()


@frozen
class Seen:
    """A request as an origin got it. Names of fields are in lower case."""

    method: str
    target: str
    fields: dict[str, str]


class Pages(BaseHTTPRequestHandler):
    """A server's pages.

    - `/download/SIZE` is the pattern; `/chunked/SIZE` the same in chunks.
    - `/events` sends an event and waits until it is acknowledged with `/heard`, five times.
    - Everything else greets; a request's content is answered with its hash.
    """

    protocol_version = "HTTP/1.1"
    timeout = STALL_SECONDS
    # A client that waits for each answer would wait for delayed acknowledgements too.
    disable_nagle_algorithm = True

    @property
    def origin(self) -> Origin:
        """Whose pages they are."""
        return cast(Server, self.server).origin

    def see(self) -> str:
        """Note the request down.

        Returns:
            Its path.
        """
        fields = {name.lower(): value for name, value in self.headers.items()}
        self.origin.seen.append(Seen(self.command, self.path, fields))
        return self.path.partition("?")[0]

    def do_GET(self) -> None:
        """Give a page."""
        path = self.see()
        if path == "/events":
            self.send_events()
        elif path == "/heard":
            self.origin.heard.release()
            self.answer(b"")
        elif path.startswith("/download/"):
            self.send_pattern(int(path.rpartition("/")[2]), is_chunked=False)
        elif path.startswith("/chunked/"):
            self.send_pattern(int(path.rpartition("/")[2]), is_chunked=True)
        else:
            self.answer(HELLO)

    def do_HEAD(self) -> None:
        """Give a page's head."""
        self.see()
        self.answer(HELLO)

    def do_POST(self) -> None:
        """Hash what was sent."""
        self.see()
        total, size = hashlib.sha256(), 0
        for piece in self.content():
            total.update(piece)
            size += len(piece)
            self.origin.heard.release()
        self.answer(json.dumps({"sha256": total.hexdigest(), "size": size}).encode("ascii"), "application/json")

    do_PUT = do_POST

    def answer(self, content: bytes, kind: str = "text/plain") -> None:
        """Send a whole answer."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def content(self) -> Iterator[bytes]:
        """Read the request's content, piece by piece."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(left, 1 << 18))):
            left -= len(piece)
            yield piece

    def send_pattern(self, size: int, *, is_chunked: bool) -> None:
        """Send so much of the pattern."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(size))
        self.end_headers()
        for piece in pattern(size):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def send_events(self) -> None:
        """Send each event only after the one before was heard of."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(5):
            self.wfile.write(b"data: %d\n\n" % number)
            if not self.origin.heard.acquire(timeout=STALL_SECONDS):
                break
        else:
            self.wfile.write(b"data: all were heard\n\n")
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Serves each connection in a thread."""

    origin: Origin

    def __init__(self, place: Place, pages: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = place.family
        super().__init__((place.address, 0), pages)

    def server_bind(self) -> None:
        """Bind it, and look no name up for that."""
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that give up are what some tests are about."""


class Origin:
    """A running server.

    Attributes:
        port: where it listens.
        url: by name, without a path.
        seen: every request so far.
        heard: counts what was acknowledged, or which pieces of content came in.
    """

    def __init__(
        self, context: ssl.SSLContext | None, pages: type[BaseHTTPRequestHandler], place: Place = HERE
    ) -> None:
        self.seen: list[Seen] = []
        self.heard = threading.Semaphore(0)
        self._server = Server(place, pages)
        self._server.origin = self
        if context is not None:
            # The handshake is left to the connection's own thread.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])
        self.url = f"{'http' if context is None else 'https'}://{place.host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
