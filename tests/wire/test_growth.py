"""The cost of reading a head is at most linear in its length."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.chunked import ChunkedBody
from egress.wire.client_hello import ClientHelloReader
from egress.wire.fields import parse_fields
from egress.wire.forwarding import serialize_response
from egress.wire.framing import response_framing
from egress.wire.request_head import RequestReader
from egress.wire.response_head import ResponseReader
from egress.wire.target import parse_target


def calls(do: Callable[[], object]) -> int:
    """Count the calls of functions, built-in ones and generators' steps included."""
    count = 0

    def see(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        do()
    finally:
        sys.setprofile(before)
    return count


class GrowthTests(SynchronousTestCase):
    """A head is never worth more than a few steps for each of its lines and words."""

    def test_connection_lines(self) -> None:
        """Many Connection lines, and many words in them, are gone through once."""
        for line in (
            b"Connection:a\r\n",
            b"Connection: " + b"a," * 50 + b"\r\n",
            b"Host:a\r\n",
            b"X:a\r\n",
            b"X-HTTP-Method:a\r\n",
        ):
            few, many = (calls(lambda n=n, line=line: parse_fields(line * n, is_request=True)) for n in (50, 500))  # type: ignore[misc]
            self.assertLess(many, few * 11, line)
        self.assertEqual(
            frozenset([b"a", b"b"]),
            parse_fields(b"Connection: a\r\nX: y\r\nconnection: B, a\r\n", is_request=True).options,
        )

    def test_small_chunks(self) -> None:
        """A chunk that is here as a whole takes six calls, whatever its size is and however it is written."""
        for code, size in (
            ("bad_framing", b"1"),
            ("bad_framing", b"0000000000000001"),
            ("origin_malformed", b"00001"),
            ("origin_malformed", b"1 \t"),
        ):
            feed, data = ChunkedBody(code).feed, (size + b"\r\nx\r\n") * 1000
            self.assertLess(calls(lambda feed=feed, data=data: feed(data)), 6100, size)  # type: ignore[misc]

    def test_hello_in_small_records(self) -> None:
        """Records of one octet are not gone through beyond the limit of a ClientHello."""
        records = b"".join(b"\x16\x03\x01\x00\x01%c" % octet for octet in b"\x01\x00\x03\x00" + b"x" * 9_000)
        feed = ClientHelloReader(1024).feed

        self.assertLess(calls(lambda: self.assertRaises(ProtocolError, feed, records)), 2_000)

    def test_trailers(self) -> None:
        """Each trailer field is gone through once."""
        few, many = (
            calls(lambda n=n: ChunkedBody("bad_framing").feed(b"0\r\n" + b"a:\r\n" * n + b"\r\n"))  # type: ignore[misc]
            for n in (100, 1000)
        )
        self.assertLess(many, few * 11)

    def test_escapes(self) -> None:
        """An escape of a path takes few calls."""
        target = b"http://a/" + b"%41%2f%e2" * 1000

        self.assertLess(calls(lambda: parse_target("GET", target)), 10_000)

    def test_too_many_lines(self) -> None:
        """A request with more lines than it may have is refused before its fields are taken apart."""
        whole = b"GET http://a/ HTTP/1.1\r\n" + b"Connection:a\r\n" * 4000 + b"\r\n"
        feed = RequestReader(65_536, 8192, 128).feed

        self.assertLess(calls(lambda: self.assertRaises(ProtocolError, feed, whole)), 4000)

    def test_answers_with_many_lines(self) -> None:
        """An answer with many lines is read and written in few steps a line, in one piece and in many."""
        for line in (b"Connection:a\r\n", b"Host:a\r\n", b"X:a\r\n", b"X : a\r\n", b" a\r\n", b"Content-Length: 0\r\n"):

            def forward(count: int, cut: int, line: bytes = line) -> None:
                whole = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\r\n" + line * count + b"\r\n"
                reader, head = ResponseReader(1 << 20), None
                for at in range(0, len(whole), cut):
                    head = reader.feed(whole[at : at + cut])
                assert head is not None
                framing = response_framing(head, "GET")
                serialize_response(head, framing, is_http11=True, keep_alive=True, make_date=bytes)

            for cut in (1 << 20, 100):
                few, many = (calls(lambda n=n, cut=cut: forward(n, cut)) for n in (50, 500))  # type: ignore[misc]
                self.assertLess(many, few * 11, line)
                self.assertLess(many, 500 * 12, line)
