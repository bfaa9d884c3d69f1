"""Tests of egress.wire.response_repair, and of all that is read of unusual answers."""

from __future__ import annotations

from collections.abc import Iterator

import h11
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.wire.answer_cases import READ, REFUSED, REFUSED_BODIES, REPAIRED, Case, read_answer
from tests.wire.head_cases import splits

_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def pieces_of(octets: bytes) -> Iterator[list[bytes]]:
    """Cut everywhere, or long answers at a few places."""
    if len(octets) < 300:
        yield from splits(octets)
        return
    for size in (100, 999, len(octets) - 5):
        yield [octets[at : at + size] for at in range(0, len(octets), size)]


class CaseTests(SynchronousTestCase):
    """The tables, in one piece and in two, at every place."""

    def assert_read(self, case: Case) -> None:
        """The answer is whole and has the content of its case, however it is cut."""
        found = read_answer([case.octets])
        assert isinstance(found, tuple), (case.name, found)
        status, _, content, trailers, is_complete = found
        self.assertEqual((status, content, is_complete), (200, b"hi", True), case.name)
        self.assertEqual(case.trailers, b"".join(b"%b: %b\r\n" % trailer[1:] for trailer in trailers), case.name)
        for pieces in pieces_of(case.octets):
            self.assertEqual(found, read_answer(pieces), case.name)

    def test_read(self) -> None:
        """Each answer is read alike however it is cut."""
        for case in READ + REPAIRED:
            self.assert_read(case)

    def test_refused_heads(self) -> None:
        """Each head that can be read in two ways is refused, for one reason however it is cut."""
        for name, octets in REFUSED:
            reason = read_answer([octets])
            assert isinstance(reason, str), (name, reason)
            self.assertNotEqual("incomplete", reason, name)
            for pieces in pieces_of(octets):
                self.assertEqual(reason, read_answer(pieces), name)

    def test_refused_bodies(self) -> None:
        """Each body that can be read in two ways is refused, for one reason however it is cut."""
        for name, body in REFUSED_BODIES:
            reason = read_answer([_CHUNKED_HEAD + body])
            assert isinstance(reason, str), (name, reason)
            self.assertNotEqual("incomplete", reason, name)
            for pieces in pieces_of(_CHUNKED_HEAD + body):
                self.assertEqual(reason, read_answer(pieces), name)


def h11_reads(octets: bytes) -> tuple[int, bytes]:
    """Read a complete answer to GET with h11: status and content.

    Raises:
        h11.RemoteProtocolError: h11 refuses it.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 17)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(octets)
    status, content = 0, b""
    while True:
        event = connection.next_event()
        assert event is not h11.NEED_DATA, octets
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return status, content


# Parts of heads, most of them unusual.
_PARTS = st.sampled_from(
    (
        *(b"A: b\r\n", b"A: b\n", b"A : b\r\n", b" c\r\n", b"\tc\n", b" \r\n", b"\t\n", b"\r\n", b"\n", b"\r"),
        *(b"Content-Length: 2\r\n", b"Content-Length: 2\n", b"Content-Length : 2\r\n", b"content-length: 3\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding : chunked\n", b"Transfer-Encoding:\r\n chunked\r\n"),
        *(
            b"Content-Length:",
            b"Connection: A\r\n",
            b"A",
            b":",
            b"\0",
            b"2",
            b"0",
            b";",
            b"hi\r\n",
            b"\r\n\r\n",
            b"\n\n",
        ),
        *(b"2\r\nhi\r\n0\r\n\r\n", b"2 \r\nhi\r\n0 ; a\r\n\r\n", b"hi"),
    )
)
_STARTS = st.sampled_from((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\n"))


class SecondOpinionTests(SynchronousTestCase):
    """What is read and repaired, h11 reads alike, or refuses."""

    def assert_h11_agrees(self, octets: bytes) -> bool:
        """h11 finds status and content of an answer that was read; False where it refuses the answer."""
        found = read_answer([octets])
        if isinstance(found, str) or not found[4]:
            return False
        try:
            status, content = h11_reads(octets)
        except h11.RemoteProtocolError:
            return False
        self.assertEqual((status, content), (found[0], found[2]), octets)
        return True

    def test_tables(self) -> None:
        """The answers of the tables."""
        agreed = [case.name for case in READ + REPAIRED if self.assert_h11_agrees(case.octets)]

        # h11 knows no blanks before a colon, none around "=" in an extension, and no 10,000 fields.
        self.assertGreaterEqual(len(agreed), 15)

    @settings(max_examples=500, deadline=None, database=None, derandomize=True)
    @given(_STARTS, st.lists(_PARTS, max_size=9), st.integers(0, 200))
    def test_any_parts(self, start: bytes, parts: list[bytes], place: int) -> None:
        """Any answer, which is also read alike in one piece and in two."""
        octets = start + b"".join(parts)
        cut = place % len(octets)

        self.assertEqual(read_answer([octets]), read_answer([octets[:cut], octets[cut:]]))
        self.assert_h11_agrees(octets)
