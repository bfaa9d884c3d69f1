"""Reading and writing chunks (RFC 9112 section 7)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import h11
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.model import OVERRIDES
from egress.wire.body import BodyReader
from egress.wire.chunked import ChunkedBody, chunk, forwardable_trailers, last_chunk
from egress.wire.fields import Field
from tests.wire.test_body import read, splits

# Chunked bodies, their content and their trailers.
CHUNKED_BODIES: tuple[tuple[bytes, bytes, tuple[Field, ...]], ...] = (
    (b"0\r\n\r\n", b"", ()),
    (b"0000000000000000\r\n\r\n", b"", ()),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", ()),
    (b"0000000000000005\r\nhello\r\n00\r\n\r\n", b"hello", ()),
    (b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", b"abcdef", ()),
    (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, ()),
    # Content that looks like framing.
    (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", ()),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", ()),
    # Extensions are dropped.
    (b"1;a\r\nx\r\n0;last=1\r\n\r\n", b"x", ()),
    (b"1;a=b;c=d;e\r\nx\r\n0\r\n\r\n", b"x", ()),
    (b'1;a="";b="c d\t;\\"\\\\=\xe9"\r\nx\r\n0\r\n\r\n', b"x", ()),
    # Trailers.
    (b"0\r\nDigest: abc\r\n\r\n", b"", ((b"digest", b"Digest", b"abc"),)),
    (
        b"1\r\nx\r\n0\r\nA:\r\nb: \t c d\t \r\nA:\xe9:2\r\n\r\n",
        b"x",
        ((b"a", b"A", b""), (b"b", b"b", b"c d"), (b"a", b"A", b"\xe9:2")),
    ),
)

# What the chunked body of a response may hold, and that of a request may not.
RESPONSE_BODIES: tuple[tuple[str, bytes], ...] = (
    ("7.1: trailing space", b"5 \r\n"),
    ("7.1: trailing tab", b"5\t\r\n"),
    ("7.1.1: whitespace before the extension", b"5 ;a\r\n"),
    ("7.1.1: whitespace after the semicolon", b"5; a\r\n"),
    ("7.1.1: whitespace around the equals sign", b'5;a = "b" \r\n'),
    ("5.2: folded trailer", b"0\r\nA: b\r\n c\r\n"),
    ("5.1: space before the colon of a trailer", b"0\r\nA : b\r\n"),
)

# What no chunked body may hold, and the section that says so. Each is refused before what follows it is needed.
BROKEN_BODIES: tuple[tuple[str, bytes], ...] = (
    ("7.1: no size", b"\r\n"),
    ("7.1: only an extension", b";a\r\n"),
    ("7.1: sign", b"+5\r\n"),
    ("7.1: negative", b"-1\r\n"),
    ("7.1: prefix", b"0x5\r\n"),
    ("7.1: underscore", b"1_0\r\n"),
    ("7.1: not hexadecimal", b"5g\r\n"),
    ("7.1: 17 digits", b"00000000000000005\r\n"),
    ("7.1: wraps 64 bits", b"10000000000000005\r\n"),
    ("7.1: leading space", b" 5\r\n"),
    ("7.1: bare LF after the size", b"5\n"),
    ("7.1: bare LF first", b"\n"),
    ("7.1: two CR after the size", b"5\r\r\n"),
    ("7.1: CR inside", b"5\rx\r\n"),
    ("7.1: data longer than the size", b"5\r\nhellox"),
    ("7.1: data shorter than the size", b"7\r\nhello\r\n0\r\n\r\n"),
    ("7.1: bare LF after the data", b"5\r\nhello\n"),
    ("7.1: CR and no LF after the data", b"5\r\nhello\rx"),
    ("7.1: line missing between chunks", b"1\r\nx\r\n\r\n"),
    ("7.1.1: no name", b"5;\r\n"),
    ("7.1.1: no name but a value", b"5;=a\r\n"),
    ("7.1.1: no value", b"5;a=\r\n"),
    ("7.1.1: comma", b"5,a\r\n"),
    ("7.1.1: bare LF in an extension", b"5;a\nb\r\n"),
    ("7.1.1: bare CR in an extension", b"5;a\rb\r\n"),
    ("7.1.1: NUL in an extension", b"5;a\x00\r\n"),
    ("7.1.1: control in quotes", b'5;a="\x01"\r\n'),
    ("7.1.1: DEL in quotes", b'5;a="\x7f"\r\n'),
    ("7.1.1: line end in quotes", b'5;a="\r\n"\r\n'),
    ("7.1.1: open quotes", b'5;a="b\r\n'),
    ("7.1.1: escaped end of quotes", b'5;a="b\\"\r\n'),
    ("7.1.1: quotes and more", b'5;a="b"c\r\n'),
    ("7.1.2: first trailer folded", b"0\r\n A: b\r\n"),
    ("7.1.2: no colon", b"0\r\nA\r\n"),
    ("7.1.2: no name", b"0\r\n: b\r\n"),
    ("7.1.2: NUL", b"0\r\nA: \x00\r\n"),
    ("7.1.2: vertical tab", b"0\r\nA: \x0b\r\n"),
    ("7.1.2: DEL", b"0\r\nA: \x7f\r\n"),
    ("7.1.2: bare CR", b"0\r\nA: b\rc\r\n"),
    ("7.1.2: bare LF", b"0\r\nA: b\nc\r\n"),
    ("7.1.2: name outside of ASCII", b"0\r\n\xe9: b\r\n"),
    ("7.1: bare LF ends the body", b"0\r\n\n"),
    ("7.1: bare CR before the end", b"0\r\n\r\r\n"),
    ("7.1: next request instead of trailers", b"0\r\nGET / HTTP/1.1\r\n"),
)


def h11_reads(body: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """Read a chunked body with h11: content, trailers and rest.

    Raises:
        h11.RemoteProtocolError: h11 refuses it.
        EOFError: h11 wants more.
    """
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    content = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            raise EOFError
        if isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return content, [(bytes(name), bytes(value)) for name, value in event.headers], connection.trailing_data[0]


class ChunkedBodyTests(SynchronousTestCase):
    """Chunked bodies are read by the grammar (RFC 9112 section 7.1)."""

    def test_accepted(self) -> None:
        """Content, trailers and rest are the same for every split."""
        for body, content, trailers in CHUNKED_BODIES:
            for pieces in splits(body + b"GET /"):
                reader = ChunkedBody("bad_framing")

                self.assertEqual(read(reader, pieces), content, pieces)
                self.assertEqual((reader.is_complete, reader.trailers, reader.rest), (True, trailers, b"GET /"), pieces)
                reader.end_of_input()

    def test_incomplete(self) -> None:
        """No beginning of a body is complete, and an end of input there is an error (RFC 9112 section 8)."""
        for body, _, _ in CHUNKED_BODIES:
            for size in range(len(body)):
                reader = ChunkedBody("origin_malformed")
                reader.feed(body[:size])

                self.assertEqual((reader.is_complete, reader.rest), (False, b""), body[:size])
                error = self.assertRaises(ProtocolError, reader.end_of_input)
                self.assertEqual(error.code, "origin_malformed")

    def test_broken(self) -> None:
        """What the grammar does not allow is refused for every split, with the code of its side."""
        for row, body in BROKEN_BODIES:
            for code in ("bad_framing", "origin_malformed"):
                for pieces in splits(body):
                    with self.assertRaises(ProtocolError, msg=f"RFC 9112 {row}: {pieces}") as caught:
                        read(ChunkedBody(code), pieces)
                    self.assertEqual(caught.exception.code, code)

    def test_responses_only(self) -> None:
        """What responses may hold is refused in requests, for every split."""
        for row, body in RESPONSE_BODIES:
            for pieces in splits(body):
                with self.assertRaises(ProtocolError, msg=f"RFC 9112 {row}: {pieces}"):
                    read(ChunkedBody("bad_framing"), pieces)
                self.assertEqual(b"", read(ChunkedBody("origin_malformed"), pieces))

    def test_piece_inside_a_chunk_is_not_copied(self) -> None:
        """A piece that is content as a whole comes back as the same object."""
        reader = ChunkedBody("bad_framing")
        piece = b"x" * 1000

        reader.feed(b"7d0\r\n")

        self.assertIs(reader.feed(piece), piece)
        self.assertIs(reader.feed(piece), piece)

    def test_content_is_given_at_once(self) -> None:
        """Content does not wait for the end of its chunk."""
        reader = ChunkedBody("bad_framing")

        self.assertEqual(reader.feed(b"5\r\nhe"), b"he")
        self.assertEqual(reader.feed(b"llo\r\n3\r\na"), b"lloa")

    def test_largest_size(self) -> None:
        """Sixteen digits are counted in full, not modulo anything."""
        reader = ChunkedBody("bad_framing")

        self.assertEqual(reader.feed(b"ffffffffffffffff\r\n0\r\n\r\n"), b"0\r\n\r\n")
        self.assertFalse(reader.is_complete)

    def test_line_limit(self) -> None:
        """A size line may take `line_limit_bytes` with its CRLF, and not one more."""
        line = b"1;" + b"a" * 16 + b"\r\n"
        body = line + b"x\r\n0\r\n\r\n"
        for pieces in splits(body):
            self.assertEqual(read(ChunkedBody("bad_framing", line_limit_bytes=len(line)), pieces), b"x")
            with self.assertRaises(ProtocolError):
                read(ChunkedBody("bad_framing", line_limit_bytes=len(line) - 1), pieces)

    def test_endless_line(self) -> None:
        """A size line that does not end is refused at the limit, not gathered."""
        reader = ChunkedBody("bad_framing", line_limit_bytes=64)
        reader.feed(b"1;" + b"a" * 61)

        with self.assertRaises(ProtocolError):
            reader.feed(b"a")

    def test_trailer_limit(self) -> None:
        """A trailer section may take `trailer_limit_bytes` in all, and not one more."""
        section = b"A: b\r\n" * 5 + b"\r\n"
        body = b"0\r\n" + section
        for pieces in splits(body):
            reader = ChunkedBody("bad_framing", trailer_limit_bytes=len(section))
            read(reader, pieces)
            self.assertEqual((reader.is_complete, len(reader.trailers)), (True, 5))
            with self.assertRaises(ProtocolError):
                read(ChunkedBody("bad_framing", trailer_limit_bytes=len(section) - 1), pieces)

    def test_excess(self) -> None:
        """Framing far longer than its content is refused; small chunks are not, nor is an extension here and there."""
        small, long = b"1\r\nx\r\n", b"1;" + b"a" * 200 + b"\r\nx\r\n"
        reader = ChunkedBody("bad_framing")

        self.assertEqual(b"x" * 100_000, reader.feed(small * 100_000))
        self.assertEqual(b"x" * 50, reader.feed(long * 50))
        self.assertEqual(b"x" * 0x2000, reader.feed(b"2000\r\n" + b"x" * 0x2000 + b"\r\n"))
        # A size line of 202 or 3 octets and 32 for its extension, less 16 and twice the content: 216 or 17 a chunk.
        for line, count in ((long, 75), (b"1;a\r\nx\r\n", 963)):
            reader = ChunkedBody("bad_framing")
            self.assertEqual(b"x" * count, reader.feed(line * count))
            self.assertEqual(self.assertRaises(ProtocolError, reader.feed, line).code, "bad_framing")

    def test_large_chunks_make_up_for_extensions(self) -> None:
        """The excess of a chunk's framing is made up for by later content."""
        long, large = b"1;" + b"a" * 200 + b"\r\nx\r\n", b"100;a=b\r\n" + b"x" * 256 + b"\r\n"
        reader = ChunkedBody("bad_framing")

        for _ in range(100):
            reader.feed(long + large)

    def test_h11_agrees_on_the_table(self) -> None:
        """Whatever the table accepts, h11 reads alike."""
        for body, content, trailers in CHUNKED_BODIES:
            expected = (content, [(lower, value) for lower, _, value in trailers], b"GET /")
            self.assertEqual(h11_reads(body + b"GET /"), expected, body)


class WritingTests(SynchronousTestCase):
    """Chunks that we write."""

    def test_chunk(self) -> None:
        """Content becomes one chunk, with its size in hexadecimal."""
        self.assertEqual(chunk(b"0123456789"), b"a\r\n0123456789\r\n")

    def test_nothing_is_no_chunk(self) -> None:
        """Nothing is written for nothing: an empty chunk would end the body."""
        self.assertEqual(chunk(b""), b"")

    def test_last_chunk(self) -> None:
        """The end is a last chunk, with the trailers as they were named."""
        self.assertEqual(last_chunk(), b"0\r\n\r\n")
        trailers = ((b"digest", b"Digest", b"abc"), (b"x-empty", b"X-Empty", b""))
        self.assertEqual(last_chunk(trailers), b"0\r\nDigest: abc\r\nX-Empty: \r\n\r\n")

    def test_trailers_that_pass(self) -> None:
        """Trailers that only add to the content are kept, in order."""
        names = (b"Content-Digest", b"grpc-status", b"ETag", b"Server-Timing", b"X-Checksum", b"Signature")
        trailers = tuple((name.lower(), name, b"1") for name in names)

        self.assertEqual(forwardable_trailers(trailers), trailers)

    def test_trailers_that_do_not_pass(self) -> None:
        """Trailers that frame, route, authenticate, control or describe the content are dropped (RFC 9110, 6.5.1)."""
        names = (
            "Content-Length Transfer-Encoding Host Connection Keep-Alive Proxy-Authorization Proxy-Authenticate "
            "Proxy-Connection Proxy-Status TE Trailer Upgrade Authorization Cookie Set-Cookie WWW-Authenticate Expect "
            "Max-Forwards Range Cache-Control Content-Encoding Content-Type Content-Range Age Expires Date Location "
            "Retry-After Vary Via If-Match If-None-Match If-Range Accept-Encoding Forwarded X-Forwarded-For Pragma "
            "Access-Control-Allow-Origin Sec-WebSocket-Accept Strict-Transport-Security Warning"
        )
        for name in names.encode().split():
            for spelling in (name, name.upper(), name.lower()):
                self.assertEqual(forwardable_trailers([(name.lower(), spelling, b"1")]), (), spelling)

    def test_overrides_do_not_pass(self) -> None:
        """A trailer by which an origin may take another method or path goes no further: trailers come unjudged."""
        for name in OVERRIDES:
            for spelling in (name.encode(), name.replace("-", "_").encode(), name.replace("-", ".").encode()):
                self.assertEqual(forwardable_trailers([(spelling, spelling.title(), b"1")]), (), spelling)

    def test_nominated_trailers_do_not_pass(self) -> None:
        """A trailer that the Connection field names goes no further (RFC 9110 section 7.6.1)."""
        hop, end = (b"x-hop", b"X-Hop", b"1"), (b"x-end", b"X-End", b"1")

        self.assertEqual(forwardable_trailers((hop, end), nominated={b"x-hop"}), (end,))


_NAMES = st.text("abcXYZ019-_.!", min_size=1, max_size=8).map(lambda text: b"x-" + text.encode())
_VALUES = st.text('ab:;,"=\\ \t~\u00e9', max_size=8).map(lambda text: text.encode("latin-1").strip(b" \t"))
_TRAILERS = st.lists(st.tuples(_NAMES, _VALUES).map(lambda pair: (pair[0].lower(), *pair)), max_size=3).map(tuple)
_PIECES = st.lists(st.binary(max_size=40), max_size=5)
_CUTS = st.lists(st.integers(0, 300), max_size=6)
# Strings over the octets that mean something in a chunked body.
_NEARLY = st.lists(
    st.sampled_from(
        (b"\r\n", b"\r", b"\n", b"0", b"1", b"5", b"a", b"F", b";", b"=", b'"', b"\\", b" ", b"\t", b":", b"\0")
    )
    | st.sampled_from((b"0\r\n", b"1\r\nx\r\n", b"2;a=b\r\nxy\r\n", b"A: b\r\n", b"\r\n\r\n")),
    max_size=12,
).map(b"".join)


def cut(data: bytes, places: list[int]) -> tuple[bytes, ...]:
    """Cut data at the given places."""
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return tuple(data[begin:end] for begin, end in pairwise(edges))


def outcome(make: Callable[[], BodyReader], pieces: tuple[bytes, ...]) -> tuple[object, ...]:
    """Say what a reader makes of pieces: an error, or everything it gives."""
    reader = make()
    try:
        content = read(reader, pieces)
    except ProtocolError:
        return ("error",)
    return content, reader.is_complete, reader.trailers, reader.rest


class ChunkedPropertyTests(SynchronousTestCase):
    """What holds for every chunked body."""

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(_PIECES, _TRAILERS, _CUTS, st.binary(max_size=8))
    def test_round_trip(self, pieces: list[bytes], trailers: tuple[Field, ...], cuts: list[int], rest: bytes) -> None:
        """What is written as chunks is read back, by us and by h11."""
        body = b"".join(map(chunk, pieces)) + last_chunk(trailers)
        content = b"".join(pieces)

        found = outcome(lambda: ChunkedBody("bad_framing"), cut(body + rest, cuts))

        self.assertEqual(found, (content, True, trailers, rest))
        self.assertEqual(h11_reads(body + rest), (content, [(lower, value) for lower, _, value in trailers], rest))

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(_NEARLY | st.binary(max_size=40), _CUTS)
    def test_any_octets(self, data: bytes, cuts: list[int]) -> None:
        """Any octets are read or refused, alike for every split; what is read, h11 reads alike."""
        found = outcome(lambda: ChunkedBody("bad_framing"), (data,))

        self.assertEqual(outcome(lambda: ChunkedBody("bad_framing"), cut(data, cuts)), found)
        if len(found) == 4 and found[1]:
            reader = ChunkedBody("bad_framing")
            content = reader.feed(data)
            expected = (content, [(lower, value) for lower, _, value in reader.trailers], reader.rest)
            self.assertEqual(h11_reads(data), expected)
