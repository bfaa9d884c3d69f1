"""What heads mean, and the memory of those that come again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.proxy.http1.request_parsing import ParsedRequest, ParsedRequestMemo, parse_request
from egress.proxy.limits import Limits
from egress.wire.head import RequestReader
from tests.proxy.reload.test_reevaluation import ReevaluationCase
from tests.proxy.tunnel.test_tunnel import CONNECT, ESTABLISHED, TunnelCase


def read(octets: bytes, limit_bytes: int = 16_384) -> ParsedRequest:
    """Read and understand a whole head."""
    head = RequestReader(limit_bytes, 8192, 100).feed(octets)
    assert head is not None, "it is whole"
    return parse_request(head, 1000)


class UnderstandTests(SynchronousTestCase):
    """What a head asks for."""

    def test_own(self) -> None:
        """What may be forwarded no further, and what asks about the proxy itself, is answered here."""
        for octets, is_own in (
            (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", True),
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


class KnownHeadsTests(SynchronousTestCase):
    """What is remembered, and what is not."""

    def keep(self, octets: bytes) -> ParsedRequestMemo:
        """Have one remembered, if that is allowed."""
        known = ParsedRequestMemo()
        known.keep(octets, read(octets))
        return known

    def test_remembered(self) -> None:
        """A CONNECT that holds nothing secret is found by its octets, and by no others."""
        octets = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nUser-Agent: x\r\nProxy-Connection: keep-alive\r\n\r\n"
        known = self.keep(octets)

        found = known.find(octets)
        assert found is not None
        self.assertEqual(read(octets).target.authority, found.target.authority)
        self.assertIsNone(known.find(octets + b"x"))

    def test_not_remembered(self) -> None:
        """Secrets, other methods and long heads are not kept."""
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
            self.assertEqual(0, len(self.keep(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" + line + b"\r\n\r\n")), line)
        self.assertEqual(0, len(self.keep(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n")))

    def test_bounded(self) -> None:
        """However many different ones come, few are kept."""
        known = ParsedRequestMemo()
        for port in range(1, 5000):
            octets = b"CONNECT a:%d HTTP/1.1\r\nHost: a:%d\r\n\r\n" % (port, port)
            known.keep(octets, read(octets))
            self.assertLessEqual(len(known), 2048)
        self.assertIsNotNone(known.find(octets))


class MemoryTests(TunnelCase):
    """The memory at work."""

    def test_again(self) -> None:
        """A head that came before is served as it was then, and each request has its record."""
        origin = self.origin(port=443)
        for number in (1, 2):
            client = self.said(CONNECT)
            client.heard(ESTABLISHED)
            client.says(b"ping %d" % number)
            self.network.settle()
            origin.heard(b"ping %d" % number)
            client.aborts()
            self.network.settle()

        self.assertEqual(1, len(self.server.parsed_requests))
        ends = [line for line in self.audit_log.records if line.event == "end"]
        self.assertEqual([("CONNECT", 200)] * 2, [(line.request.method, line.status) for line in ends if line.request])

    def test_pieces(self) -> None:
        """A head that comes in two pieces is the same, and its last piece is not taken for a whole one."""
        self.origin(port=443)
        for cut in range(1, len(CONNECT)):
            client = self.client()
            for piece in (CONNECT[:cut], CONNECT[cut:]):
                client.says(piece)
                self.network.settle()

            client.heard(ESTABLISHED)
            client.aborts()
            self.network.settle()
        self.assertEqual(0, len(self.server.parsed_requests))

    def test_early_bytes(self) -> None:
        """What follows a head in the same read is no part of what is remembered."""
        origin = self.origin(port=443)
        for _ in range(2):
            self.said(CONNECT + b"early").heard(ESTABLISHED)
            origin.heard(b"early")

        self.assertEqual(0, len(self.server.parsed_requests))


class ReloadTests(ReevaluationCase):
    """Limits that change."""

    def test_new_limits(self) -> None:
        """What was understood under other limits is forgotten."""
        self.origin(port=443)
        self.said(CONNECT).heard(ESTABLISHED)
        self.assertEqual(1, len(self.server.parsed_requests))

        self.renew()

        self.assertEqual(0, len(self.server.parsed_requests))

    def test_connections_that_stand(self) -> None:
        """New limits hold for the next head of a connection that stands, too."""
        self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        get = b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20 + b"\r\n"
        client = self.said(get)
        client.heard(b"HTTP/1.1 200 ")
        client.take()
        gate = self.gate
        self.server.renew(gate.snapshot, self.server.identifier, Limits(head_fields=8), self.server.tls)
        client.says(get)
        self.network.settle()

        client.heard(b"HTTP/1.1 431 ")
