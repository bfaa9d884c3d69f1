"""Clients that behave, check each octet, and know what the line of each request must say."""

from __future__ import annotations

import random
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from tests.live.soak.comparison import Comparison, Expectation, Outcome, exactly
from tests.live.soak.content import Digest, content, random_size
from tests.live.soak.entrance import Entrance, Response, read_body, read_response
from tests.live.soak.good_origin import BOTH, CLIENT_FIRST, ORIGIN_FIRST, GoodOrigin, TunnelUse, chunks
from tests.live.soak.server import address_of
from tests.live.soak.streams import STALL_SECONDS, Stream

_LARGE_BYTES = 1 << 23


@frozen
class Page:
    """One plain request of a good client.

    Attributes:
        serial: its serial number.
        method: GET, HEAD or POST.
        framing: of the response: `length`, `chunked` or `close`.
        down: octets of the response.
        up: octets of the request.
        is_chunked: whether the request has chunks in place of a length.
    """

    serial: int
    method: str
    framing: str
    down: int
    up: int = 0
    is_chunked: bool = False

    @property
    def path(self) -> str:
        """Its path."""
        return f"/{self.serial}/{self.framing}/{self.down}"

    @property
    def received(self) -> int:
        """The octets of content that the client receives."""
        return 0 if self.method == "HEAD" else self.down

    def pieces(self) -> Iterator[bytes]:
        """The octets of the request behind its head."""
        if self.method != "POST":
            return iter(())
        pieces = content(self.serial, self.up)
        return chunks(self.serial, pieces) if self.is_chunked else pieces


class GoodClient:
    """One client that makes requests of all kinds, by all listeners.

    Args:
        comparison: what it tells its expectations.
        origin: the origin that it uses.
        inner: for TLS with the origin inside of a tunnel.

    Attributes:
        done: how many requests were checked, by kind.
        checked_bytes: how many octets were compared.
    """

    def __init__(self, comparison: Comparison, origin: GoodOrigin, inner: ssl.SSLContext, rng: random.Random) -> None:
        self._comparison, self._origin, self._inner, self._rng = comparison, origin, inner, rng
        self.done: Counter[str] = Counter()
        self.checked_bytes = 0
        self._ways: dict[str, Callable[[Entrance], None]] = {
            "session": self.session,
            "pipeline": self.pipeline,
            "tunnel": self.tunnel,
            "tunnel with TLS": self.tls_tunnel,
            "websocket": self.websocket,
        }

    def act(self, entrances: Sequence[Entrance]) -> None:
        """Do one thing."""
        entrance, way = self._rng.choice(entrances), self._rng.choice([*self._ways, "session"])
        try:
            self._ways[way](entrance)
        except Exception as error:
            self._comparison.fail(f"a good client failed ({way} by {entrance.listener}): {error!r}")

    # Plain requests.

    def session(self, entrance: Entrance) -> None:
        """Requests one after the other, on one connection."""
        with entrance.connect() as stream:
            for page in self._pages(self._rng.randint(1, 8)):
                stream.send(self._head(entrance, page))
                for piece in page.pieces():
                    stream.send(piece)
                if not self._check(entrance, page, stream):
                    return

    def pipeline(self, entrance: Entrance) -> None:
        """Requests that are all sent before the first response is read."""
        pages = [each for each in self._pages(self._rng.randint(2, 20)) if each.method != "POST"]
        with entrance.connect() as stream:
            stream.send(b"".join(self._head(entrance, page) for page in pages))
            for page in pages:
                if not self._check(entrance, page, stream) and page is not pages[-1]:
                    self._fail("pipeline", page.serial, "the connection was closed before the last response")

    def _pages(self, count: int) -> list[Page]:
        """Choose requests. Only the last one may have a response that ends with the connection."""
        rng, pages = self._rng, []
        for left in range(count - 1, -1, -1):
            serial = self._comparison.next_serial()
            method = rng.choice(("GET", "GET", "GET", "HEAD", "POST", "POST"))
            framing = rng.choice(("length", "chunked", *(() if left else ("close",))))
            large = _LARGE_BYTES if rng.random() < 0.01 else 1 << 20
            up = random_size(rng, large) if method == "POST" else 0
            pages.append(Page(serial, method, framing, random_size(rng, large), up, rng.random() < 0.5))
        return pages

    def _head(self, entrance: Entrance, page: Page) -> bytes:
        more = b""
        if page.method == "POST":
            more = b"Transfer-Encoding: chunked\r\n" if page.is_chunked else b"Content-Length: %d\r\n" % page.up
        host = "localhost" if page.serial % 3 else "127.0.0.1"
        return entrance.head(page.method, f"http://{host}:{self._origin.port}{page.path}", more)

    def _check(self, entrance: Entrance, page: Page, stream: Stream) -> bool:
        """Read the response of a request, and compare everything.

        Returns:
            Whether the connection is kept.
        """
        response, digest = read_response(stream), Digest()
        if page.method != "HEAD":
            read_body(stream, response, digest.take)
        kind = page.method
        self._compare(kind, page.serial, digest, page.received)
        if page.method == "POST":
            self._compare_upload(kind, page.serial, page.up)
        if response.status != 200:
            self._fail(kind, page.serial, f"status {response.status}")
        facts = entrance.facts(page.method, url_path=page.path, server_port=self._origin.port)
        self._expect(kind, page.serial, page.up, page.received, {**facts, "response_source": "origin"})
        return not _is_closing(response)

    # Tunnels.

    def tunnel(self, entrance: Entrance) -> None:
        """A tunnel with content in both directions at once, or with a half-close between them."""
        self._use_tunnel("tunnel", entrance, self._origin.port, None)

    def tls_tunnel(self, entrance: Entrance) -> None:
        """A tunnel with TLS inside."""
        self._use_tunnel("tunnel with TLS", entrance, self._origin.tls_port, "localhost")

    def _use_tunnel(self, kind: str, entrance: Entrance, port: int, name: str | None) -> None:
        serial = self._comparison.next_serial()
        address, use = address_of(serial), self._choose_use(serial)
        early = use.pack() if name is None and self._rng.random() < 0.3 else b""
        with entrance.connect() as stream:
            stream.send(entrance.head("CONNECT", f"{address}:{port}") + early)
            response = read_response(stream)
            stream.open_tunnel(len(early))
            if name is not None:
                stream.secure(self._inner, name)
            if not early:
                stream.send(use.pack())
            self._exchange(kind, use, stream)
            sent, received = stream.tunnel_bytes
        if response.status != 200:
            self._fail(kind, serial, f"status {response.status}")
        facts = entrance.facts("CONNECT", server_address=address, server_port=port, network_peer_address=address)
        more = {"tls_client_server_name": name, "response_source": "egress", "url_path": None}
        self._expect(kind, serial, sent, received, {**facts, **more})

    def websocket(self, entrance: Entrance) -> None:
        """An upgraded connection, which is a tunnel."""
        serial = self._comparison.next_serial()
        use = self._choose_use(serial)
        path = f"/{serial}/upgrade/0"
        with entrance.connect() as stream:
            more = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
            stream.send(entrance.head("GET", f"http://127.0.0.1:{self._origin.port}{path}", more))
            response = read_response(stream)
            stream.open_tunnel()
            if response.status == 101:
                stream.send(use.pack())
                self._exchange("websocket", use, stream)
            sent, received = stream.tunnel_bytes
        if response.status != 101:
            self._fail("websocket", serial, f"status {response.status}")
        facts = entrance.facts("GET", url_path=path, server_port=self._origin.port)
        self._expect("websocket", serial, sent, received, facts, 101)

    def _choose_use(self, serial: int) -> TunnelUse:
        order = self._rng.choice((BOTH, CLIENT_FIRST, ORIGIN_FIRST))
        return TunnelUse(serial, random_size(self._rng, _LARGE_BYTES), order)

    def _exchange(self, kind: str, use: TunnelUse, stream: Stream) -> None:
        """Use an open tunnel up to its end, when the origin has been told how."""
        up, digest = random_size(self._rng, _LARGE_BYTES), Digest()
        if use.order == ORIGIN_FIRST:
            stream.read_all(digest.take)
        stream.duplex(content(use.serial, up), digest.take)
        self._compare(kind, use.serial, digest, use.down)
        self._compare_upload(kind, use.serial, up)

    # Comparing.

    def _compare_upload(self, kind: str, serial: int, size: int) -> None:
        arrived = self._origin.take(serial, STALL_SECONDS)
        if arrived is None:
            self._fail(kind, serial, "the origin did not receive the end")
        else:
            self._compare(kind, serial, arrived, size)

    def _compare(self, kind: str, serial: int, digest: Digest, size: int) -> None:
        self.checked_bytes += digest.size
        if fault := digest.fault(serial, size):
            self._fail(kind, serial, fault)

    def _expect(
        self, kind: str, serial: int, sent: int, received: int, facts: dict[str, object], status: int = 200
    ) -> None:
        self.done[kind] += 1
        outcomes = (Outcome("complete", status),)
        self._comparison.expect(
            Expectation(serial, kind, outcomes, exactly(sent), exactly(received), {**facts, "verdict": "allow"})
        )

    def _fail(self, kind: str, serial: int, fault: str) -> None:
        self._comparison.fail(f"request {serial} ({kind}): {fault}")


def _is_closing(response: Response) -> bool:
    return response.fields.get("connection") == "close"
