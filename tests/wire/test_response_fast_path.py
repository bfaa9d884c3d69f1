"""Tests of egress.wire.response_fast_path."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.forwarding import response_onward
from egress.wire.framing import Kind, response_framing
from egress.wire.head import ResponseReader
from egress.wire.response_fast_path import read_usual

LIMIT_BYTES = 300
FIELD_LIMIT = 6

USUAL = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 404 \r\nDate: x\r\nContent-Length: 0\r\nServer: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: keep-alive\r\nContent-Length: 007\r\nETag: z\r\n\r\n",
    b"HTTP/1.1 301 A B\xe9\r\nContent-Length: 1\r\nKeep-Alive: timeout=5\r\nConnection: Keep-Alive\r\nC:d\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nCookie: a\r\nContents: b\r\nTea: c\r\nHosts: d\r\n_: e\r\nContent-Length: 2\r\n\r\n",
]

UNUSUAL = [
    b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\ncontent-length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: keep-alive, X\r\nX: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nProxy-Authenticate: Basic\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\npRoXy-: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: +13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA : b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n A: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA: \x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA: b\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n" + b"A: b\r\n" * FIELD_LIMIT + b"\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA: " + b"b" * LIMIT_BYTES + b"\r\n\r\n",
]

LINES = [
    *(b"A: b\r\n", b"a:\r\n", b"Cookie: c\r\n", b"Content-Type: text/plain\r\n", b"Content-Length: 3\r\n"),
    *(b"Content-Length:3\r\n", b"content-length: 4\r\n", b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Connection: keep-alive\r\n", b"Connection: Keep-Alive\r\n", b"connection: keep-alive\r\n", b"TE: a\r\n"),
    *(b"Connection: close\r\n", b"Connection: A\r\n", b"Keep-Alive: timeout=5\r\n", b"keep-alive: x\r\n"),
    *(b"Upgrade: h2c\r\n", b"Proxy-Status: a\r\n", b"Expect: a\r\n", b"Host: a\r\n", b"Max-Forwards: 1\r\n"),
    *(b"HTTP2-Settings: a\r\n", b"A\r\n", b" a: b\r\n", b"a: b\n", b"a : b\r\n", b"\x00: b\r\n", b"\r\n", b"a"),
]
STARTS = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200\r\n", b"HTTP/1.1 404 \r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 a\r\n"),
    *(
        b"HTTP/1.1 304 a\r\n",
        b"HTTP/1.1 101 a\r\n",
        b"HTTP/1.1 599 \xff\r\n",
        b"HTTP/1.1 600 a\r\n",
        b"HTTP/1.1 200 \n",
    ),
]


def read_with_care(data: bytes) -> tuple[int, bytes, int, int] | None:
    """Read and write a head as it is done where it is not usual."""
    reader = ResponseReader(LIMIT_BYTES, FIELD_LIMIT)
    try:
        head = reader.feed(data)
        if head is None:
            return None
        framing = response_framing(head, "GET")
    except ProtocolError:
        return None
    onward = response_onward(head, framing, is_http11=True, keep_alive=True)
    is_reusable = head.is_http11 and b"close" not in head.fields.options
    if framing.kind is not Kind.LENGTH or not is_reusable:
        return None
    return head.status, onward[:-2], framing.length, len(data) - len(reader.rest)


class UsualTests(SynchronousTestCase):
    """Answers that are taken in one go."""

    def test_taken(self) -> None:
        """What most origins send is taken, and comes out as it does elsewhere."""
        for data in USUAL:
            self.assertIsNotNone(read_usual(data, LIMIT_BYTES, FIELD_LIMIT), data)
            self.assertEqual(read_usual(data + b"body", LIMIT_BYTES, FIELD_LIMIT), read_with_care(data + b"body"), data)

    def test_left(self) -> None:
        """What means more than its body's length, or is at fault, is left to those who know everything."""
        for data in UNUSUAL:
            self.assertIsNone(read_usual(data, LIMIT_BYTES, FIELD_LIMIT), data)

    def test_limits_are_reachable(self) -> None:
        """A head of exactly the limits is taken; one octet or one field more is not."""
        for data in USUAL:
            octets, fields = len(data), data.count(b"\n") - 2
            self.assertIsNotNone(read_usual(data, octets, fields))
            self.assertIsNone(read_usual(data, octets - 1, fields))
            self.assertIsNone(read_usual(data, octets, fields - 1))

    def test_not_whole(self) -> None:
        """A head of which anything is missing is left."""
        for data in USUAL:
            for place in range(len(data)):
                self.assertIsNone(read_usual(data[:place], LIMIT_BYTES, FIELD_LIMIT))

    @settings(max_examples=1000, deadline=None)
    @given(
        st.sampled_from(STARTS),
        st.lists(st.sampled_from(LINES), max_size=8),
        st.sampled_from([b"\r\n", b"\r\nrest", b""]),
    )
    def test_as_with_care(self, start: bytes, lines: list[bytes], end: bytes) -> None:
        """Whatever is taken comes out exactly as it does elsewhere."""
        data = start + b"".join(lines) + end
        usual = read_usual(data, LIMIT_BYTES, FIELD_LIMIT)
        if usual is not None:
            self.assertEqual(usual, read_with_care(data))
