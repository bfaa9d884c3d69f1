"""Reading bodies without chunks (RFC 9112 section 6)."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.body import BodyReader, CloseBody, LengthBody, NoBody, body_reader
from egress.wire.chunked import ChunkedBody
from egress.wire.framing import CHUNKED, NO_BODY, UNTIL_CLOSE, Framing, Kind


def splits(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """Cut data in two at every place, and into single octets."""
    for at in range(len(data) + 1):
        yield data[:at], data[at:]
    yield tuple(data[at : at + 1] for at in range(len(data)))


def read(reader: BodyReader, pieces: tuple[bytes, ...]) -> bytes:
    """Feed pieces and join the content."""
    return b"".join(map(reader.feed, pieces))


class PlainBodyTests(SynchronousTestCase):
    """Bodies without chunks."""

    def test_length(self) -> None:
        """A body of known length ends after that many octets, however they come."""
        for pieces in splits(b"helloGET /"):
            reader = LengthBody(5)

            self.assertEqual(read(reader, pieces), b"hello")
            self.assertTrue(reader.is_complete)
            self.assertEqual((reader.rest, reader.trailers), (b"GET /", ()))
            reader.end_of_input()

    def test_length_is_not_copied(self) -> None:
        """A piece that is content as a whole comes back as the same object."""
        piece = b"x" * 1000
        reader = LengthBody(2000)

        self.assertIs(reader.feed(piece), piece)
        self.assertFalse(reader.is_complete)
        self.assertIs(reader.feed(piece), piece)
        self.assertTrue(reader.is_complete)

    def test_length_zero(self) -> None:
        """An announced length of 0 is complete before anything comes."""
        reader = LengthBody(0)

        self.assertTrue(reader.is_complete)
        self.assertEqual(reader.feed(b"GET /"), b"")
        self.assertEqual(reader.rest, b"GET /")

    def test_length_cut_short(self) -> None:
        """An end of input within the body is an error with the code of its side (RFC 9112 section 8)."""
        for code in ("bad_framing", "origin_malformed"):
            reader = LengthBody(5, code)
            reader.feed(b"hell")

            error = self.assertRaises(ProtocolError, reader.end_of_input)
            self.assertEqual(error.code, code)
            self.assertEqual((reader.is_complete, reader.rest), (False, b""))

    def test_none(self) -> None:
        """Without a body everything is rest."""
        reader = NoBody()

        self.assertTrue(reader.is_complete)
        self.assertEqual((reader.feed(b"GET"), reader.feed(b" /"), reader.rest), (b"", b"", b"GET /"))
        reader.end_of_input()

    def test_close(self) -> None:
        """A body until the end of the connection is complete with that end and not before."""
        reader = CloseBody()
        piece = b"hello"

        self.assertIs(reader.feed(piece), piece)
        self.assertFalse(reader.is_complete)
        reader.end_of_input()
        self.assertTrue(reader.is_complete)
        self.assertEqual((reader.rest, reader.trailers), (b"", ()))

    def test_factory(self) -> None:
        """Each framing has its reader, which carries the code of its side."""
        cases: tuple[tuple[Framing, type], ...] = (
            (NO_BODY, NoBody),
            (Framing(Kind.LENGTH, 5), LengthBody),
            (CHUNKED, ChunkedBody),
            (UNTIL_CLOSE, CloseBody),
        )
        for framing, kind in cases:
            self.assertIsInstance(body_reader(framing, "bad_framing"), kind)
        for framing in (Framing(Kind.LENGTH, 5), CHUNKED):
            error = self.assertRaises(ProtocolError, body_reader(framing, "origin_malformed").end_of_input)
            self.assertEqual(error.code, "origin_malformed")
