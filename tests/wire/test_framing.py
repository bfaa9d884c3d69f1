"""The framing of messages (RFC 9112 section 6)."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import CODES, ProtocolError
from egress.wire import fields as fields_module
from egress.wire.framing import CHUNKED, NO_BODY, UNTIL_CLOSE, Framing, Kind, request_framing, response_framing
from egress.wire.request_head import RequestHead
from egress.wire.response_head import ResponseHead

Fields = tuple[tuple[bytes, bytes], ...]

_LENGTH_5 = Framing(Kind.LENGTH, 5)

# Framing fields, and what they mean in a POST.
ACCEPTED: tuple[tuple[Fields, Framing], ...] = (
    (((b"Content-Length", b"5"),), _LENGTH_5),
    (((b"CONTENT-LENGTH", b"0"),), Framing(Kind.LENGTH, 0)),
    (((b"Content-Length", b"005"),), _LENGTH_5),
    (((b"Content-Length", b"9" * 18),), Framing(Kind.LENGTH, 10**18 - 1)),
    (((b"Transfer-Encoding", b"chunked"),), CHUNKED),
    (((b"transfer-encoding", b"ChunKED"),), CHUNKED),
    # Fields that look alike decide nothing.
    (((b"Content-Length", b"5"), (b"Content_Length", b"7")), _LENGTH_5),
    (((b"Content-Length", b"5"), (b"TE", b"trailers")), _LENGTH_5),
)

# Framing fields that nobody may send, and the sentence that says so.
REFUSED: tuple[tuple[str, Fields], ...] = (
    ("RFC 9112 6.1: both", ((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked"))),
    ("RFC 9112 6.1: both, other order", ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"0"))),
    ("RFC 9112 6.1: both, unknown coding", ((b"Transfer-Encoding", b"identity"), (b"Content-Length", b"5"))),
    ("RFC 9110 8.6: two lengths", ((b"Content-Length", b"5"), (b"Content-Length", b"6"))),
    ("RFC 9110 8.6: a list of two lengths", ((b"Content-Length", b"5, 6"),)),
    ("RFC 9110 8.6: a list with an empty member", ((b"Content-Length", b"5,"),)),
    ("RFC 9110 8.6: one length in two spellings", ((b"Content-Length", b"5"), (b"Content-Length", b"05"))),
    ("RFC 9110 8.6: empty", ((b"Content-Length", b""),)),
    ("RFC 9110 8.6: plus sign", ((b"Content-Length", b"+5"),)),
    ("RFC 9110 8.6: minus sign", ((b"Content-Length", b"-5"),)),
    ("RFC 9110 8.6: hexadecimal", ((b"Content-Length", b"0x5"),)),
    ("RFC 9110 8.6: hexadecimal digit", ((b"Content-Length", b"5a"),)),
    ("RFC 9110 8.6: underscore", ((b"Content-Length", b"1_0"),)),
    ("RFC 9110 8.6: fraction", ((b"Content-Length", b"5.0"),)),
    ("RFC 9110 8.6: exponent", ((b"Content-Length", b"5e1"),)),
    ("RFC 9110 8.6: inner space", ((b"Content-Length", b"1 0"),)),
    ("RFC 9110 8.6: vertical tab", ((b"Content-Length", b"\x0b5"),)),
    ("RFC 9110 8.6: digits of another script", ((b"Content-Length", "\u0665".encode()),)),
    ("RFC 9110 8.6: superscript in Latin-1", ((b"Content-Length", b"5\xb2"),)),
    ("RFC 9110 8.6: more than 18 digits", ((b"Content-Length", b"0" * 18 + b"5"),)),
    ("RFC 9110 8.6: wraps 64 bits", ((b"Content-Length", b"18446744073709551621"),)),
    ("RFC 9112 6.1: two fields", ((b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked"))),
    ("RFC 9112 6.1: two different", ((b"Transfer-Encoding", b"gzip"), (b"Transfer-Encoding", b"chunked"))),
    ("RFC 9112 6.1: chunked twice", ((b"Transfer-Encoding", b"chunked, chunked"),)),
    ("RFC 9112 7: gzip below", ((b"Transfer-Encoding", b"gzip, chunked"),)),
    ("RFC 9112 7: gzip above", ((b"Transfer-Encoding", b"chunked, gzip"),)),
    ("RFC 9112 7: gzip alone", ((b"Transfer-Encoding", b"gzip"),)),
    ("RFC 9112 7: identity", ((b"Transfer-Encoding", b"identity"),)),
    ("RFC 9112 7: identity and chunked", ((b"Transfer-Encoding", b"identity, chunked"),)),
    ("RFC 9112 7.1: parameter", ((b"Transfer-Encoding", b"chunked;q=1"),)),
    ("RFC 9110 10.1.4: quoted", ((b"Transfer-Encoding", b'"chunked"'),)),
    ("RFC 9110 5.6.1: trailing comma", ((b"Transfer-Encoding", b"chunked,"),)),
    ("RFC 9110 5.6.1: leading comma", ((b"Transfer-Encoding", b", chunked"),)),
    ("RFC 9110 5.5: vertical tab before", ((b"Transfer-Encoding", b"\x0bchunked"),)),
    ("RFC 9110 5.5: form feed after", ((b"Transfer-Encoding", b"chunked\x0c"),)),
    ("RFC 9110 5.5: no-break space", ((b"Transfer-Encoding", b"chunked\xa0"),)),
    ("RFC 9112 7: longer word", ((b"Transfer-Encoding", b"xchunked"),)),
    ("RFC 9112 7: Kelvin sign for k", ((b"Transfer-Encoding", "chun\u212aed".encode()),)),
    ("RFC 9112 6.1: empty", ((b"Transfer-Encoding", b""),)),
)


# Equal lengths. A response that has them is read; a request is refused, as RFC 9110 section 8.6 lets a recipient do.
EQUAL_LENGTHS: tuple[Fields, ...] = (
    ((b"Content-Length", b"5"), (b"content-length", b"5")),
    ((b"Content-Length", b"5, 5"),),
    ((b"Content-Length", b"5,5"), (b"Content-Length", b"5")),
)


def fields_of(fields: Iterable[tuple[bytes, bytes]]) -> fields_module.Fields:
    """Make the fields of a head from names and values."""
    return fields_module.parse_fields(
        b"".join(name + b": " + value + b"\r\n" for name, value in fields), is_request=True
    )


def request(fields: Fields = (), *, method: str = "POST", is_http11: bool = True) -> RequestHead:
    """Make a request head out of names and values."""
    return RequestHead(method, b"http://a/", is_http11, fields_of(fields))


def response(fields: Fields = (), *, status: int = 200, is_http11: bool = True) -> ResponseHead:
    """Make a response head out of names and values."""
    return ResponseHead(status, b"", is_http11, fields_of(fields))


class RequestFramingTests(SynchronousTestCase):
    """Requests are read in one way only, or not at all."""

    def assert_refused(self, head: RequestHead, row: str) -> None:
        """The head's framing is refused, in plain words that do not repeat it."""
        with self.assertRaises(ProtocolError, msg=row) as caught:
            request_framing(head)
        self.assertEqual(caught.exception.code, "bad_framing", row)
        self.assertTrue(caught.exception.reason.isascii())

    def test_no_fields_no_body(self) -> None:
        """A request whose head says nothing has no body, in any method and version."""
        for method in ("GET", "POST", "CONNECT", "TRACE", "HEAD", "BREW"):
            for is_http11 in (True, False):
                self.assertIs(request_framing(request(method=method, is_http11=is_http11)), NO_BODY)

    def test_accepted(self) -> None:
        """One plain Content-Length, or one chunked, frames the body."""
        for fields, framing in ACCEPTED:
            for method in ("POST", "GET", "HEAD", "DELETE"):
                self.assertEqual(request_framing(request(fields, method=method)), framing, fields)

    def test_refused(self) -> None:
        """Whatever can be read in two ways is refused, in any method."""
        for row, fields in REFUSED:
            for method in ("POST", "GET", "TRACE", "CONNECT"):
                self.assert_refused(request(fields, method=method), f"{row} ({method})")

    def test_equal_lengths(self) -> None:
        """A length that is given twice is refused, although both agree."""
        for fields in EQUAL_LENGTHS:
            self.assert_refused(request(fields), "RFC 9110 8.6")

    def test_http10(self) -> None:
        """HTTP/1.0 knows Content-Length only (RFC 9112 section 6.1)."""
        length = request(((b"Content-Length", b"5"),), is_http11=False)
        chunked = request(((b"Transfer-Encoding", b"chunked"),), is_http11=False)

        self.assertEqual(request_framing(length), _LENGTH_5)
        self.assert_refused(chunked, "RFC 9112 6.1: HTTP/1.0")

    def test_connect_has_no_content(self) -> None:
        """CONNECT with content is refused (RFC 9110 section 9.3.6); a length of 0 is none, and the tunnel follows."""
        zero = (b"Content-Length", b"0")
        for fields in (
            *(((b"Content-Length", length),) for length in (b"5", b"00", b"", b"-0", b"0, 0")),
            ((b"Transfer-Encoding", b"chunked"),),
            (zero, (b"Transfer-Encoding", b"chunked")),
            (zero, zero),
        ):
            self.assert_refused(request(fields, method="CONNECT"), "RFC 9110 9.3.6")

        self.assertIs(request_framing(request((zero,), method="CONNECT")), NO_BODY)

    def test_trace_has_no_content(self) -> None:
        """TRACE with content is refused (RFC 9110 section 9.3.8); a length of 0 is none."""
        empty = request(((b"Content-Length", b"0"),), method="TRACE")

        self.assertEqual(request_framing(empty), Framing(Kind.LENGTH, 0))
        for field in ((b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")):
            self.assert_refused(request((field,), method="TRACE"), "RFC 9110 9.3.8")

    def test_code_is_in_the_catalogue(self) -> None:
        """Both codes of framing errors have an answer."""
        self.assertEqual((CODES["bad_framing"].status, CODES["origin_malformed"].status), (400, 502))


class ResponseFramingTests(SynchronousTestCase):
    """Responses follow the same rules, and some never have a body."""

    def assert_refused(self, head: ResponseHead, row: str) -> None:
        """The head's framing is refused as the origin's fault."""
        with self.assertRaises(ProtocolError, msg=row) as caught:
            response_framing(head, "GET")
        self.assertEqual(caught.exception.code, "origin_malformed", row)

    def test_until_close(self) -> None:
        """Without framing fields the body lasts until the connection ends (RFC 9112 section 6.3, rule 8)."""
        for is_http11 in (True, False):
            self.assertIs(response_framing(response(is_http11=is_http11), "GET"), UNTIL_CLOSE)

    def test_accepted(self) -> None:
        """One plain Content-Length, or one chunked, frames the body."""
        for fields, framing in ACCEPTED:
            for status in (200, 205, 206, 301, 404, 500):
                self.assertEqual(response_framing(response(fields, status=status), "GET"), framing, fields)

    def test_equal_lengths(self) -> None:
        """A length that is given several times is one length."""
        for fields in EQUAL_LENGTHS:
            self.assertEqual(response_framing(response(fields), "GET"), _LENGTH_5)

    def test_refused(self) -> None:
        """Whatever can be read in two ways is the origin's fault."""
        for row, fields in REFUSED:
            self.assert_refused(response(fields), row)

    def test_http10(self) -> None:
        """HTTP/1.0 knows Content-Length only (RFC 9112 section 6.1)."""
        length = response(((b"Content-Length", b"5"),), is_http11=False)
        chunked = response(((b"Transfer-Encoding", b"chunked"),), is_http11=False)

        self.assertEqual(response_framing(length, "GET"), _LENGTH_5)
        self.assert_refused(chunked, "RFC 9112 6.1: HTTP/1.0")

    def test_without_body(self) -> None:
        """1xx, 204, 304 and answers to HEAD have no body, whatever their fields say (RFC 9112 section 6.3, rule 1)."""
        rows: list[Fields] = [(), *(fields for fields, _ in ACCEPTED), *(fields for _, fields in REFUSED)]
        for fields in rows:
            for status in (100, 101, 103, 199, 204, 304):
                self.assertIs(response_framing(response(fields, status=status), "GET"), NO_BODY)
            for status in (200, 404):
                self.assertIs(response_framing(response(fields, status=status), "HEAD"), NO_BODY)
