"""Parsing of request heads, and the memo of CONNECT heads."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.proxy.http1.request_parsing import ParsedRequest, parse_request
from egress.proxy.limits import Limits
from egress.wire.request_head import RequestReader
from egress.wire.via import Via
from tests.proxy.reload.test_reevaluation import ReevaluationCase
from tests.proxy.tunnel.support import CONNECT, ESTABLISHED, TunnelCase

VIA = Via(b"egress-1a2b")


def read(octets: bytes, limit_bytes: int = 16_384) -> ParsedRequest:
    """Read and understand a whole head."""
    head = RequestReader(limit_bytes, 8192, 100).feed(octets)
    assert head is not None, "it is whole"
    return parse_request(head, 1000, VIA)


class UnderstandTests(SynchronousTestCase):
    """What a head asks for."""

    def test_loop(self) -> None:
        """A request is a loop if any of its Via fields names this proxy, and it would be forwarded."""
        for lines, is_loop in (
            (b"", False),
            (b"X-Via: 1.1 egress-1a2b\r\n", False),
            (b"Via: 1.1 egress-ffff\r\n", False),
            (b"vIA:1.1 egress-1a2b\r\n", True),
            (b"Via: 1.1 egress-1a2b\r\nVia: 1.1 other\r\n", True),
            (b"Via: 1.1 other\r\nCookie: a\r\nVia: 1.1 egress-1a2b\r\n", True),
        ):
            for start in (b"GET http://a/", b"CONNECT a:443", b"TRACE http://a/"):
                parsed = read(start + b" HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
                self.assertEqual((parsed.is_loop, parsed.is_own), (is_loop, is_loop), lines)
            own = read(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
            self.assertEqual((own.is_loop, own.is_own), (False, True), lines)

    def test_own(self) -> None:
        """What may be forwarded no further, and what asks about the proxy itself, is answered here."""
        for octets, is_own in (
            (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", True),
            (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 egress-1a2b\r\n\r\n", True),
            (b"TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", True),
            (b"TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n", False),
            (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", False),
        ):
            self.assertEqual(is_own, read(octets).is_own, octets)

    def test_refused(self) -> None:
        """What is not understood has its code."""
        for octets, code in (
            (b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "body_too_large"),
            (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", "expectation_failed"),
            (
                b"GET http://a/ HTTP/1.1\r\nHost: a\r\n" + b"Proxy-Authorization: Basic YQ==\r\n" * 2 + b"\r\n",
                "bad_head",
            ),
        ):
            self.assertEqual(code, self.assertRaises(ProtocolError, read, octets).code)

    def test_credentials_have_no_spelling(self) -> None:
        """What a client shows of itself is in no `repr`."""
        parsed = read(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n")

        self.assertEqual(b"Basic c2VjcmV0", parsed.credentials)
        self.assertNotIn("c2VjcmV0", repr(parsed))


class MemoTests(TunnelCase):
    """The memo of parsed CONNECT heads."""

    def read_twice(self, octets: bytes) -> int:
        """Send a head on two connections; return how many heads are memoized."""
        for _ in range(2):
            self.said(octets).aborts()
            self.network.settle()
        return len(self.server.request_parser)

    def test_memoized(self) -> None:
        """A CONNECT head without secrets is memoized."""
        head = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nUser-Agent: x\r\nProxy-Connection: keep-alive\r\n\r\n"

        self.assertEqual(1, self.read_twice(head))

    def test_not_memoized(self) -> None:
        """Heads with credentials, cookies or unknown fields, of other methods and long heads are not memoized."""
        for line in (
            b"Proxy-Authorization: Basic YTpi",
            b"authorization: Bearer x",
            b"Cookie: a=b",
            b"cookie2: a=b",
            b"X-Api-Key: hunter2",
            b"Proxy-Authentication: Bearer x",
            b"User-Agent: " + b"x" * 1000,
            b"\r\n".join([b"Connection: close"] * 24),
        ):
            head = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" + line + b"\r\n\r\n"
            self.assertEqual(0, self.read_twice(head), line)
        self.assertEqual(0, self.read_twice(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"))

    def test_again(self) -> None:
        """A memoized head is served like the first, and each request has its own line in the audit log."""
        origin = self.origin(port=443)
        for number in (1, 2):
            client = self.said(CONNECT)
            client.heard(ESTABLISHED)
            client.says(b"ping %d" % number)
            self.network.settle()
            origin.heard(b"ping %d" % number)
            client.aborts()
            self.network.settle()

        self.assertEqual(1, len(self.server.request_parser))
        ends = [line for line in self.audit_log.records if line.event == "end"]
        self.assertEqual([("CONNECT", 200)] * 2, [(line.request.method, line.status) for line in ends if line.request])

    def test_pieces(self) -> None:
        """A head in two pieces is read like a whole one, and its last piece is not memoized."""
        self.origin(port=443)
        for cut in range(1, len(CONNECT)):
            client = self.client()
            for piece in (CONNECT[:cut], CONNECT[cut:]):
                client.says(piece)
                self.network.settle()

            client.heard(ESTABLISHED)
            client.aborts()
            self.network.settle()
        self.assertEqual(0, len(self.server.request_parser))

    def test_memoized_head_after_a_piece(self) -> None:
        """Octets of a memoized head that continue an incomplete head are read as its continuation."""
        self.origin(port=443)
        self.said(CONNECT).heard(ESTABLISHED)
        client = self.client()
        for piece in (b"CONNECT origin.example:443 HTTP/1.1\r\nX: ", CONNECT):
            client.says(piece)
            self.network.settle()

        client.heard(ESTABLISHED)

    def test_early_bytes(self) -> None:
        """Octets after a head in the same read are not memoized."""
        origin = self.origin(port=443)
        for _ in range(2):
            self.said(CONNECT + b"early").heard(ESTABLISHED)
            origin.heard(b"early")

        self.assertEqual(0, len(self.server.request_parser))


class ReloadTests(ReevaluationCase):
    """Limits that change."""

    def test_new_limits(self) -> None:
        """A reload with new limits empties the memo."""
        self.origin(port=443)
        self.said(CONNECT).heard(ESTABLISHED)
        self.assertEqual(1, len(self.server.request_parser))

        self.renew()

        self.assertEqual(0, len(self.server.request_parser))

    def test_connections_that_stand(self) -> None:
        """New limits hold for the next head of a connection that stands, too."""
        self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        get = b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20 + b"\r\n"
        client = self.said(get)
        client.heard(b"HTTP/1.1 200 ")
        client.take()
        gate = self.gate
        self.server.renew(gate.snapshot, self.server.identifier, Limits(head_fields=8), self.tls, self.http)
        client.says(get)
        self.network.settle()

        client.heard(b"HTTP/1.1 431 ")
