"""Unusual answers of origins, as a client gets them."""

from __future__ import annotations

from tests.proxy.support import DATE, ServerCase
from tests.wire.answer_cases import READ, REFUSED, REFUSED_BODIES, REPAIRED, Case

GET = b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n"
_NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class UnusualAnswerTests(ServerCase):
    """A client sends two requests on one connection. The first answer is unusual."""

    def answered(self, octets: bytes) -> tuple[bytes, bytes, int]:
        """Give what the client gets for either request, and how many connections the origin had."""
        answers = [octets, _NEXT]
        self.origin(answer=lambda peer, _: peer.says(answers.pop(0)))
        client = self.said(GET)
        first = client.take()
        if not client.is_closed:
            client.says(GET)
            self.network.settle()
        return first, client.take(), len(self.network.dialled)

    def test_read_and_repaired(self) -> None:
        """The client gets clean lines, a Date and the content, and the right answer to its next request.

        A connection whose answer was repaired is not used again.
        """
        for case in READ + REPAIRED:
            with self.subTest(case.name):
                self.setUp()
                first, second, connections = self.answered(case.octets)
                self.assertEqual(forwarded(case), first)
                self.assertEqual((b"next", 1 if case.is_reused else 2), (second[-4:], connections))

    def test_octet_by_octet(self) -> None:
        """An answer that comes octet by octet has the same head."""
        for case in READ + REPAIRED:
            if len(case.octets) < 300:
                with self.subTest(case.name):
                    self.setUp()
                    self.network.segment_bytes = 1
                    first, second, connections = self.answered(case.octets)
                    head, end = forwarded(case).partition(b"\r\n\r\n")[::2]
                    self.assertEqual(head, first.partition(b"\r\n\r\n")[0])
                    self.assertTrue(first.endswith(end[-5:]), first)
                    self.assertEqual((b"next", 1 if case.is_reused else 2), (second[-4:], connections))

    def test_refused(self) -> None:
        """An answer that can be read in two ways is a 502, and its connection ends."""
        for name, octets in REFUSED:
            with self.subTest(name):
                self.setUp()
                first, second, connections = self.answered(octets)
                self.assertTrue(first.startswith(b"HTTP/1.1 502 Bad Gateway by egress: origin_malformed "), first)
                self.assertNotIn(b"evil", first + second)
                self.assertEqual((b"next", 2), (second[-4:], connections))

    def test_refused_bodies(self) -> None:
        """A body that can be read in two ways is never taken for whole, and its connection ends."""
        for name, body in REFUSED_BODIES:
            with self.subTest(name):
                self.setUp()
                origin = self.origin()
                client = self.said(GET)
                for octets in (_CHUNKED_HEAD, body):
                    origin.peer.says(octets)
                    self.network.settle()
                self.assertTrue(client.was_reset)
                self.assertTrue(origin.peer.is_closed)
                self.assertNotIn(b"\r\n0\r\n", client.received)
                self.assertEqual("origin_malformed", self.ends()[-1].cause)


def forwarded(case: Case) -> bytes:
    """Write what a client gets."""
    via = b"Via: 1.0 egress\r\n" if b"/1.0" in case.octets else b"Via: 1.1 egress\r\n"
    framing, body = b"Content-Length: 2\r\n", b"hi"
    if case.is_chunked:
        framing, body = b"Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n0\r\n" + case.trailers + b"\r\n"
    return b"HTTP/1.1 200 OK\r\n" + case.fields + framing + via + DATE + b"\r\n" + body
