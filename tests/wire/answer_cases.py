"""Answers of origins that are not exactly as the grammar says: what is read, what is repaired, and what is refused.

The sections are those of RFC 9112 unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from egress.errors import ProtocolError
from egress.wire.body import body_reader
from egress.wire.chunked import forwardable_trailers
from egress.wire.fields import Field
from egress.wire.framing import response_framing
from egress.wire.response_head import ResponseReader

_OK = b"HTTP/1.1 200 OK\r\n"
_TWO = b"Content-Length: 2\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


@frozen
class Case:
    """One answer.

    Attributes:
        name: what is unusual, and the section of it.
        octets: what the origin sends. The content is `hi`.
        fields: the lines that the client gets between the status line and the framing.
        trailers: the lines that the client gets after the last chunk.
        is_reused: the connection to the origin may serve a further request.
    """

    name: str
    octets: bytes
    fields: bytes = b""
    trailers: bytes = b""
    is_reused: bool = True

    @property
    def is_chunked(self) -> bool:
        """Whether the body is chunked, for the client too."""
        return b"chunked" in self.octets


READ = (
    Case("nothing unusual", _OK + _TWO + b"\r\nhi"),
    Case("blanks behind a size (7.1)", _OK + _CHUNKED + b"\r\n2  \r\nhi\r\n0\t \r\n\r\n"),
    Case("blanks behind the second size (7.1)", _OK + _CHUNKED + b"\r\n1\r\nh\r\n1  \r\ni\r\n0\r\n\r\n"),
    Case("blanks in an extension (7.1.1)", _OK + _CHUNKED + b"\r\n2 ; a=b\r\nhi\r\n0\r\n\r\n"),
    Case("more of them (7.1.1)", _OK + _CHUNKED + b'\r\n2\t;\ta\t=\t"b ; c" ; d \r\nhi\r\n0 ;e\r\n\r\n'),
    Case("a length twice (RFC 9110, 8.6)", _OK + _TWO + _TWO + b"\r\nhi"),
    Case("a length twice in one field (RFC 9110, 8.6)", _OK + b"Content-Length: 2, 2\r\n\r\nhi"),
    Case("200 Set-Cookie", _OK + b"Set-Cookie: a=b\r\n" * 200 + _TWO + b"\r\nhi", b"Set-Cookie: a=b\r\n" * 200),
    Case("10,000 empty fields", _OK + b"A:\r\n" * 10_000 + _TWO + b"\r\nhi", b"A:\r\n" * 10_000),
    Case("4,000 Connection fields", _OK + b"Connection: a\r\n" * 4000 + _TWO + b"A: b\r\n\r\nhi"),
    Case(
        "trailers with blanks before the colon (5.1)",
        _OK + _CHUNKED + b"\r\n2\r\nhi\r\n0\r\nX \t: y\r\n\r\n",
        trailers=b"X: y\r\n",
    ),
    Case(
        "folded trailers (5.2)",
        _OK + _CHUNKED + b"\r\n2\r\nhi\r\n0\r\nX: y\r\n z\r\n\ta:b \r\n\r\n",
        trailers=b"X: y z a:b\r\n",
    ),
)
"""Answers whose head is read as it is."""

_REPAIRED = (
    Case(
        "a blank before a colon (5.1)", _OK + b"X-XSS-Protection : 1\r\n" + _TWO + b"\r\nhi", b"X-XSS-Protection: 1\r\n"
    ),
    Case("many blanks before a colon (5.1)", _OK + b"A \t \t:b\r\n" + _TWO + b"\r\nhi", b"A:b\r\n"),
    Case("a blank before the colon of a length (5.1)", _OK + b"Content-Length : 2\r\n\r\nhi"),
    Case(
        "a blank before the colon of a coding (5.1)", _OK + b"Transfer-Encoding : chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    ),
    Case("a blank before the colon of Connection (5.1)", _OK + b"Connection : A\r\nA: b\r\n" + _TWO + b"\r\nhi"),
    Case(
        "a folded field (5.2)",
        _OK + b"CSP: default-src 'self';\r\n  img-src *\r\n" + _TWO + b"\r\nhi",
        b"CSP: default-src 'self'; img-src *\r\n",
    ),
    Case(
        "a field folded twice, with a colon (5.2)",
        _OK + b"A: b\r\n\tc\r\n \t Content-Length: 5\r\n" + _TWO + b"\r\nhi",
        b"A: b c Content-Length: 5\r\n",
    ),
    Case("a folded field without a first value (5.2)", _OK + b"A:\r\n b\r\n" + _TWO + b"\r\nhi", b"A: b\r\n"),
    Case("folded, with blanks before the colon (5.2)", _OK + b"A :\r\n b\r\n" + _TWO + b"\r\nhi", b"A: b\r\n"),
    Case("LF alone (2.2)", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"),
    Case(
        "LF alone, and all the rest (2.2, 5.1, 5.2)",
        b"HTTP/1.1 200 OK\nA : b\n c\nContent-Length: 2\n\nhi",
        b"A: b c\r\n",
    ),
    Case("LF alone before chunks (2.2)", b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\r\nhi\r\n0\r\n\r\n"),
    Case("LF alone in HTTP/1.0 (2.2)", b"HTTP/1.0 200 OK\nContent-Length: 2\n\nhi"),
)
REPAIRED = tuple(evolve(case, is_reused=False) for case in _REPAIRED)
"""Answers whose head is repaired. Their connection is not used again."""

_NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
REFUSED: tuple[tuple[str, bytes], ...] = (
    ("LF alone, then CRLF (2.2)", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi"),
    ("CRLF, then LF alone (2.2)", _OK + b"A: b\nContent-Length: 2\r\n\r\nhi"),
    ("CRLF, and the blank line in LF alone (2.2)", _OK + _TWO + b"\nhi"),
    ("LF alone, and the blank line in CRLF (2.2)", b"HTTP/1.1 200 OK\nContent-Length: 2\n\r\nhi"),
    ("an answer in a field (2.2)", _OK + b"A: b\n\n" + _NEXT + b"\r\n" + _TWO + b"\r\nhi"),
    ("a bare CR (2.2)", _OK + b"A: b\rc\r\n" + _TWO + b"\r\nhi"),
    ("a bare CR where lines end in LF (2.2)", b"HTTP/1.1 200 OK\nA: b\rc\nContent-Length: 2\n\nhi"),
    ("CR and CRLF (2.2)", _OK + b"A: b\r\r\n" + _TWO + b"\r\nhi"),
    ("blanks before the first field (2.2)", _OK + b" A: b\r\n" + _TWO + b"\r\nhi"),
    ("blanks before the first field, LF alone (2.2)", b"HTTP/1.1 200 OK\n A: b\nContent-Length: 2\n\nhi"),
    ("an empty line before the status line (2.2)", b"\r\n" + _OK + _TWO + b"\r\nhi"),
    ("an empty line before it, LF alone (2.2)", b"\n" + _OK + _TWO + b"\r\nhi"),
    ("NUL (RFC 9110, 5.5)", _OK + b"A: \0\r\n" + _TWO + b"\r\nhi"),
    ("NUL in a folded line (RFC 9110, 5.5)", _OK + b"A: b\r\n \0\r\n" + _TWO + b"\r\nhi"),
    ("NUL before the colon (5.1)", _OK + b"A\0: b\r\n" + _TWO + b"\r\nhi"),
    ("a form feed before the colon (5.1)", _OK + b"A\x0c: b\r\n" + _TWO + b"\r\nhi"),
    ("two words before the colon (5.1)", _OK + b"A b: c\r\n" + _TWO + b"\r\nhi"),
    ("only blanks before the colon (5.1)", _OK + b"A: b\r\n: c\r\n" + _TWO + b"\r\nhi"),
    ("no colon (5)", _OK + b"A\r\n" + _TWO + b"\r\nhi"),
    ("a folded line of blanks, which may end the head (5.2)", _OK + b"A: b\r\n \r\n" + _TWO + b"\r\nhi"),
    ("the same with a tab (5.2)", _OK + b"A: b\r\n\t\t\r\n" + _TWO + b"\r\nhi"),
    ("the same, LF alone (5.2)", b"HTTP/1.1 200 OK\nA: b\n \nContent-Length: 2\n\nhi"),
    ("a folded length (5.2)", _OK + b"Content-Length:\r\n 2\r\n\r\nhi"),
    ("a length folded within (5.2)", _OK + b"Content-Length: 2\r\n 2\r\n\r\nhi"),
    ("a length folded, LF alone (5.2)", b"HTTP/1.1 200 OK\nContent-Length:\n 2\n\nhi"),
    ("a folded coding (5.2)", _OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    (
        "a folded coding, with a blank before the colon (5.2)",
        _OK + b"transfer-encoding :\r\n\tchunked\r\n\r\n0\r\n\r\n",
    ),
    ("length and coding (6.1)", _OK + _TWO + _CHUNKED + b"\r\n0\r\n\r\n"),
    (
        "length and coding, with a blank before a colon (6.1)",
        _OK + _TWO + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    ("the other way round (6.1)", _OK + b"Content-Length : 2\r\n" + _CHUNKED + b"\r\n0\r\n\r\n"),
    ("length and coding, LF alone (6.1)", b"HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\nhi"),
    ("differing lengths (6.3)", _OK + _TWO + b"Content-Length: 3\r\n\r\nhi"),
    ("differing lengths, with a blank before a colon (6.3)", _OK + _TWO + b"Content-Length : 3\r\n\r\nhi"),
    ("differing lengths in one field (6.3)", _OK + b"Content-Length: 2, 3\r\n\r\nhi"),
    ("one length, written differently (6.3)", _OK + _TWO + b"Content-Length: 02\r\n\r\nhi"),
    ("a length and nothing (6.3)", _OK + b"Content-Length: 2,\r\n\r\nhi"),
    ("a length in a blank (6.2)", _OK + b"Content-Length: 2 2\r\n\r\nhi"),
    ("chunked twice (6.1)", _OK + _CHUNKED + _CHUNKED + b"\r\n0\r\n\r\n"),
)
"""Answers whose head is refused."""

REFUSED_BODIES: tuple[tuple[str, bytes], ...] = (
    ("LF alone behind a size (7.1)", b"2\nhi\r\n0\r\n\r\n"),
    ("blanks and LF alone behind a size (7.1)", b"2 \nhi\r\n0\r\n\r\n"),
    ("LF alone behind an extension (7.1.1)", b"2;a\nhi\r\n0\r\n\r\n"),
    ("LF within an extension (7.1.1)", b"2;a\nb\r\nhi\r\n0\r\n\r\n"),
    ("CR within an extension (7.1.1)", b"2;a\rb\r\nhi\r\n0\r\n\r\n"),
    ("LF alone behind a chunk (7.1)", b"2\r\nhi\n0\r\n\r\n"),
    ("blanks behind a chunk (7.1)", b"2\r\nhi \r\n0\r\n\r\n"),
    ("blanks before a size (7.1)", b" 2\r\nhi\r\n0\r\n\r\n"),
    ("blanks within a size (7.1)", b"0 2\r\nhi\r\n0\r\n\r\n"),
    ("a form feed behind a size (7.1)", b"2\x0c\r\nhi\r\n0\r\n\r\n"),
    ("NUL behind a size (7.1)", b"2\0\r\nhi\r\n0\r\n\r\n"),
    ("an extension without a name (7.1.1)", b"2 ; \r\nhi\r\n0\r\n\r\n"),
    ("blanks and no semicolon (7.1.1)", b"2 a\r\nhi\r\n0\r\n\r\n"),
    ("a folded line of blanks in trailers (5.2)", b"0\r\nA: b\r\n \r\n\r\n"),
    ("blanks before the first trailer (2.2)", b"0\r\n A: b\r\n\r\n"),
    ("LF alone behind a trailer (2.2)", b"0\r\nA: b\n\r\n"),
)
"""Chunked bodies that are refused, of answers with a plain head."""


def read_answer(pieces: Iterable[bytes]) -> tuple[int, tuple[Field, ...], bytes, tuple[Field, ...], bool] | str:
    """Read an answer to GET, whose connection stays open.

    Returns:
        The status, the fields, the content, the trailers, and whether the body is complete; or the reason of the fault.
    """
    reader = ResponseReader(1 << 16)
    head, body, content = None, None, b""
    try:
        for piece in pieces:
            data = piece
            if body is None:
                head = reader.feed(data)
                if head is None:
                    continue
                data = reader.rest
                body = body_reader(response_framing(head, "GET"), "origin_malformed")
            content += body.feed(data)
    except ProtocolError as error:
        assert error.code == "origin_malformed"
        return error.reason
    if head is None or body is None:
        return "incomplete"
    return head.status, head.fields.all(), content, forwardable_trailers(body.trailers), body.is_complete
