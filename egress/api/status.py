"""The HTTP server of the status listener: `/livez`, `/readyz` and `/metrics`.

The status listener has few clients with short requests, so every connection serves one request and has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from egress.api.settings import CONNECTIONS_LIMIT
from egress.hostname import canonical_host

HEAD_SECONDS = 2.0
"""Seconds from the accept of a connection to the end of the request's head."""

CONNECTION_SECONDS = 10.0
"""Seconds from the accept of a connection to its end."""

_TEXT = b"text/plain; charset=utf-8"

Answer = tuple[int, bytes, bytes]


class StatusPage(Resource):
    """The resource of every path.

    Args:
        registry: the metrics that `/metrics` exposes.
        faults: returns the reasons why requests cannot be served now.
        hosts: the names that a Host field may have, besides addresses and localhost.
        warnings: returns what an operator must know although requests are served.
    """

    isLeaf = True

    def __init__(
        self,
        registry: CollectorRegistry,
        faults: Callable[[], Sequence[str]],
        hosts: Sequence[str],
        warnings: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        super().__init__()
        self._registry = registry
        self._faults = faults
        self._warnings = warnings
        self._hosts = frozenset(("localhost", *hosts))

    def render(self, request: Any) -> bytes:
        """Answer one request (IResource)."""
        status, kind, body = self._answer(request)
        request.setResponseCode(status, b"Misdirected Request" if status == 421 else None)
        headers = request.responseHeaders
        headers.removeHeader(b"server")
        headers.setRawHeaders(b"content-type", [kind])
        headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
        headers.setRawHeaders(b"cache-control", [b"no-store"])
        headers.setRawHeaders(b"x-content-type-options", [b"nosniff"])
        headers.setRawHeaders(b"content-security-policy", [b"default-src 'none'; frame-ancestors 'none'"])
        if status == 405:
            headers.setRawHeaders(b"allow", [b"GET, HEAD"])
        return b"" if request.method == b"HEAD" else body

    def _answer(self, request: Any) -> Answer:
        if not self._is_known(request.requestHeaders.getRawHeaders(b"host", [])):
            # A web page whose name resolves to this listener could read the response (DNS rebinding).
            return 421, _TEXT, b"This is not served under that name; [status] hosts lists names.\n"
        if request.method not in (b"GET", b"HEAD"):
            return 405, _TEXT, b"Only GET and HEAD.\n"
        if request.path == b"/livez":
            return 200, _TEXT, b"alive\n"
        if request.path == b"/readyz":
            faults = self._faults()
            if faults:
                return 503, _TEXT, _lines(faults)
            return 200, _TEXT, _lines(["ready", *self._warnings()])
        if request.path == b"/metrics":
            accept = b",".join(request.requestHeaders.getRawHeaders(b"accept", []))
            return 200, *self._exposition(accept.decode("latin-1"))
        return 404, _TEXT, b"There are /livez, /readyz and /metrics.\n"

    def _exposition(self, accept: str) -> tuple[bytes, bytes]:
        """Return the metrics in the format that the Accept field requests; as plain text if the field is malformed."""
        try:
            encode, kind = choose_encoder(accept)
            named = kind.encode("ascii")
        except Exception:
            encode, named = generate_latest, CONTENT_TYPE_PLAIN_0_0_4.encode("ascii")
        return named, encode(self._registry)

    def _is_known(self, values: Sequence[bytes]) -> bool:
        """Whether the Host field is missing, or contains an address, localhost or a configured name."""
        if len(values) != 1:
            return not values  # HTTP/1.0 needs no Host field, and browsers always send one
        text = values[0].decode("latin-1")
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isdigit() or not port):
            host = text
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        try:
            name, address = canonical_host(host)
        except ValueError:
            return False
        return address is not None or name in self._hosts


def _lines(sentences: Sequence[str]) -> bytes:
    return "".join(f"{sentence}\n" for sentence in sentences).encode("ascii")


class _OnlyRequest(Request):
    """The only request of its connection, without a body."""

    _is_refused = False

    def gotLength(self, length: int | None) -> None:
        """Refuse a request with a body (http.Request)."""
        self.content = BytesIO()
        channel: Any = self.channel
        channel.persistent = False
        self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        if length != 0:
            self._is_refused = True
            channel.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            channel.loseConnection()

    def handleContentChunk(self, _data: bytes) -> None:
        """Drop the body of a request that was refused (http.Request)."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, unless the request was refused (http.Request)."""
        if not self._is_refused:
            super().requestReceived(command, path, version)


class _QuietSite(Site):
    """A site without an access log. The base class would compute the log's time stamp every second."""

    def startFactory(self) -> None:
        """Open no log (Factory)."""

    def stopFactory(self) -> None:
        """Close no log (Factory)."""

    def log(self, request: object) -> None:
        """Write nothing (HTTPFactory)."""


class _Bounded(ProtocolWrapper):
    """One connection with a deadline.

    Attributes:
        is_answered: whether the response has begun.
    """

    is_answered = False
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start the deadline (IProtocol)."""
        super().connectionMade()
        factory: Any = self.factory
        factory.live[self] = None
        self._deadline = factory.clock.callLater(HEAD_SECONDS, self.end)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Cancel the deadline (IProtocol)."""
        self._forget()
        super().connectionLost(reason)

    def write(self, data: bytes) -> None:
        """Send a part of the response (ITransport)."""
        self._answer()
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send parts of the response (ITransport)."""
        self._answer()
        super().writeSequence(data)

    def end(self) -> None:
        """Reset the connection."""
        self._forget()
        transport: Any = self.transport
        transport.abortConnection()

    def _answer(self) -> None:
        if not self.is_answered:
            self.is_answered = True
            if self._deadline is not None:
                self._deadline.reset(CONNECTION_SECONDS - HEAD_SECONDS)

    def _forget(self) -> None:
        factory: Any = self.factory
        factory.live.pop(self, None)
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


class StatusFactory(WrappingFactory):
    """Builds the protocols of the status listener.

    Args:
        page: the resource that responds to all requests.
        clock: the clock of the deadlines.

    Attributes:
        live: the open connections, the oldest first.
    """

    protocol = _Bounded
    noisy = False

    def __init__(self, page: StatusPage, clock: IReactorTime) -> None:
        site = _QuietSite(page, _OnlyRequest, parsePOSTFormSubmission=False, timeout=None, reactor=clock)
        site.noisy = False
        super().__init__(site)
        self.clock = clock
        self.live: dict[_Bounded, None] = {}

    def buildProtocol(self, address: IAddress | None) -> ProtocolWrapper | None:  # type: ignore[override]  # as Factory
        """Build the protocol of one connection. At the limit, the oldest one without a response is reset."""
        if len(self.live) >= CONNECTIONS_LIMIT:
            oldest = next(iter(self.live))
            next((each for each in self.live if not each.is_answered), oldest).end()
        return super().buildProtocol(address)
