"""Heads with their parsed values, and refused heads, each with its reason in the RFC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

from egress.errors import ProtocolError
from egress.wire.fields import Field
from egress.wire.request_head import RequestHead, RequestReader
from egress.wire.response_head import ResponseHead, ResponseReader

RequestValue: TypeAlias = tuple[str, bytes, bool, tuple[Field, ...], frozenset[bytes]]
ResponseValue: TypeAlias = tuple[int, bytes, bool, tuple[Field, ...], frozenset[bytes]]
Outcome: TypeAlias = tuple[list[RequestValue | ResponseValue], str | None, bytes]

LIMIT_BYTES = 1024
TARGET_LIMIT_BYTES = 256
FIELD_LIMIT = 16
NONE: frozenset[bytes] = frozenset()
HOST: Field = (b"host", b"Host", b"a")

REQUESTS: dict[bytes, RequestValue] = {
    b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n": ("GET", b"http://a/", True, (HOST,), NONE),
    b"GET http://a/ HTTP/1.0\r\n\r\n": ("GET", b"http://a/", False, (), NONE),
    b"GET http://a/ HTTP/1.0\r\nHost: a\r\n\r\n": ("GET", b"http://a/", False, (HOST,), NONE),
    b"\r\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n": ("GET", b"http://a/", True, (HOST,), NONE),
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n": (
        "CONNECT",
        b"a:443",
        True,
        ((b"host", b"Host", b"a:443"),),
        NONE,
    ),
    b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n": ("OPTIONS", b"*", True, ((b"host", b"Host", b""),), NONE),
    b"get!#$%&'*+-.^_`|~9 x HTTP/1.0\r\n\r\n": ("get!#$%&'*+-.^_`|~9", b"x", False, (), NONE),
    b"GET x HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n": ("GET", b"x", True, ((b"host", b"HOST", b"[::1]:80"),), NONE),
    b"GET x HTTP/1.0\r\na:b\r\nA: \t b c \t \r\na:\r\nB: \r\nc: \xff:\xe9\r\n\r\n": (
        "GET",
        b"x",
        False,
        (
            (b"a", b"a", b"b"),
            (b"a", b"A", b"b c"),
            (b"a", b"a", b""),
            (b"b", b"B", b""),
            (b"c", b"c", b"\xff:\xe9"),
        ),
        NONE,
    ),
    b"GET x HTTP/1.0\r\nConnection: Close\r\nX: 1\r\nconnection: ,TE , Foo,, \r\n\r\n": (
        "GET",
        b"x",
        False,
        (
            (b"connection", b"Connection", b"Close"),
            (b"x", b"X", b"1"),
            (b"connection", b"connection", b",TE , Foo,,"),
        ),
        frozenset([b"close", b"te", b"foo"]),
    ),
    b"GET x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n": (
        "GET",
        b"x",
        False,
        ((b"connection", b"Connection", b"keep-alive"),),
        frozenset([b"keep-alive"]),
    ),
}

_H = b"Host: a\r\n\r\n"
_G = b"GET x HTTP/1.1\r\n"
REFUSED_REQUESTS: list[tuple[str, str, bytes]] = [
    ("RFC 9112 2.2: a recipient may take bare LF for a line end; this one refuses it", "bad_head", b"GET x HTTP/1.1\n"),
    ("RFC 9112 2.2: the same in a field", "bad_head", _G + b"Host: a\n\r\n"),
    ("RFC 9112 2.2: the same for the blank line", "bad_head", _G + b"Host: a\r\n\n"),
    ("RFC 9112 2.2: a bare CR is invalid", "bad_head", _G + b"X: a\rb\r\n" + _H),
    ("RFC 9112 2.2: a bare CR is invalid in a request line", "bad_head", b"GET x\rHTTP/1.1\r\n" + _H),
    ("RFC 9112 2.2: a bare CR before CRLF", "bad_head", _G + b"Host: a\r\r\n\r\n"),
    ("RFC 9112 2.2: whitespace before the first field", "bad_head", _G + b" X: a\r\n" + _H),
    ("RFC 9112 2.2: one empty line at least is ignored; not two", "bad_head", b"\r\n\r\n" + _G + _H),
    ("RFC 9112 2.2: an empty line is CRLF", "bad_head", b"\n" + _G + _H),
    ("RFC 9112 2.2: CR alone is no empty line", "bad_head", b"\r" + _G + _H),
    ("RFC 9112 3: single spaces", "bad_head", b"GET  x HTTP/1.1\r\n" + _H),
    ("RFC 9112 3: three words", "bad_head", b"GET x y HTTP/1.1\r\n" + _H),
    ("RFC 9112 3: nothing after the version", "bad_head", b"GET x HTTP/1.1 \r\n" + _H),
    ("RFC 9112 3: nothing before the method", "bad_head", b" GET x HTTP/1.1\r\n" + _H),
    ("RFC 9112 3: a tab is no space", "bad_head", b"GET\tx\tHTTP/1.1\r\n" + _H),
    ("RFC 9112 3: no HTTP/0.9", "bad_head", b"GET x\r\n"),
    ("RFC 9112 3: a lonely method", "bad_head", b"GET\r\n"),
    ("RFC 9112 3.1: a method is a token", "bad_head", b"GE(T x HTTP/1.1\r\n" + _H),
    ("RFC 9112 3.1: the method is not empty", "bad_head", b" x HTTP/1.1\r\n" + _H),
    ("RFC 9112 3.2: the target is not empty", "bad_head", b"GET  HTTP/1.1\r\n" + _H),
    ("RFC 9112 3.2: no octets outside ASCII", "bad_target", b"GET /\xe9 HTTP/1.1\r\n" + _H),
    ("RFC 9112 3.2: no NUL", "bad_head", b"GET /\x00 HTTP/1.1\r\n" + _H),
    ("RFC 9112 3.2: no DEL", "bad_head", b"GET /\x7f HTTP/1.1\r\n" + _H),
    ("RFC 9112 3.2: one Host in HTTP/1.1", "bad_head", _G + b"X: a\r\n\r\n"),
    ("RFC 9112 3.2: one Host, without any field", "bad_head", _G + b"\r\n"),
    ("RFC 9112 3.2: never two", "bad_head", _G + b"Host: a\r\nhost: a\r\n\r\n"),
    ("RFC 9112 3.2: never two in HTTP/1.0", "bad_head", b"GET x HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n"),
    ("RFC 9112 3.2: an invalid Host", "bad_head", _G + b"Host: a b\r\n\r\n"),
    ("RFC 9112 3.2: an invalid Host with a path", "bad_head", _G + b"Host: a/b\r\n\r\n"),
    ("RFC 9110 7.2: Host has no userinfo", "bad_head", _G + b"Host: u@a\r\n\r\n"),
    ("RFC 9112 3.2: an invalid Host in HTTP/1.0", "bad_head", b"GET x HTTP/1.0\r\nHost: \xe9\r\n\r\n"),
    ("RFC 9112 2.3: a version that is not spoken", "bad_version", b"GET x HTTP/1.2\r\n" + _H),
    ("RFC 9112 2.3: the next version", "bad_version", b"GET x HTTP/2.0\r\n" + _H),
    ("RFC 9112 2.3: an old version", "bad_version", b"GET x HTTP/0.9\r\n\r\n"),
    ("RFC 9112 2.3: the name is case-sensitive", "bad_head", b"GET x http/1.1\r\n" + _H),
    ("RFC 9112 2.3: one digit", "bad_head", b"GET x HTTP/1.10\r\n" + _H),
    ("RFC 9112 2.3: with the minor version", "bad_head", b"GET x HTTP/1\r\n" + _H),
    ("RFC 9112 2.3: another protocol", "bad_head", b"GET x ICAP/1.0\r\n" + _H),
    ("RFC 9113 3.4: the preface of HTTP/2", "http2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("RFC 9112 2.2: bare LF after what would be the preface", "bad_head", b"PRI * HTTP/2.0\n"),
    ("RFC 9112 2.2: bare LF is not cut off with the octet before it", "bad_head", b"PRI * HTTP/2.0x\n"),
    ("RFC 8446 5.1: a TLS record", "bad_head", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("RFC 9112 3: not HTTP at all", "bad_head", b"\x80\x2e\x01"),
    ("RFC 9112 5.1: no blank before the colon", "bad_head", _G + b"Host : a\r\n\r\n"),
    ("RFC 9112 5.1: no tab before the colon", "bad_head", _G + b"Host\t: a\r\n\r\n"),
    ("RFC 9112 5: a field has a colon", "bad_head", _G + b"Host\r\n\r\n"),
    ("RFC 9110 5.1: a field has a name", "bad_head", _G + b": a\r\n" + _H),
    ("RFC 9110 5.1: a name is a token", "bad_head", _G + b"X(: a\r\n" + _H),
    ("RFC 9110 5.1: a name is ASCII", "bad_head", _G + b"X\xe9: a\r\n" + _H),
    ("RFC 9110 5.1: a name is one word", "bad_head", _G + b"X Y: a\r\n" + _H),
    ("RFC 9112 5.2: no folding", "bad_head", _G + b"X: a\r\n b\r\n" + _H),
    ("RFC 9112 5.2: no folding by tab", "bad_head", _G + b"X: a\r\n\tb: c\r\n" + _H),
    ("RFC 9112 5.2: no folding onto a blank line", "bad_head", _G + b"X: a\r\n \r\n" + _H),
    ("RFC 9110 5.5: no NUL in a value", "bad_head", _G + b"X: \x00\r\n" + _H),
    ("RFC 9110 5.5: no other control byte", "bad_head", _G + b"X: \x0b\r\n" + _H),
    ("RFC 9110 5.5: no DEL", "bad_head", _G + b"X: \x7f\r\n" + _H),
    ("RFC 6585 5: a head of bounded size", "head_too_large", _G + b"X: " + b"y" * LIMIT_BYTES + b"\r\n" + _H),
    ("RFC 6585 5: without an end too", "head_too_large", _G + b"X: " + b"y" * LIMIT_BYTES),
    ("RFC 6585 5: in many lines", "head_too_large", _G + b"X: yyyyyyyyy\r\n" * 100),
    ("RFC 6585 5: with a bounded number of fields", "head_too_large", _G + b"X: y\r\n" * FIELD_LIMIT + _H),
    ("RFC 9110 15.5.15: a target of bounded size", "target_too_long", b"GET " + b"x" * 257 + b" HTTP/1.1\r\n" + _H),
    (
        "RFC 9112 3: a request line of bounded size, whatever makes it long",
        "target_too_long",
        b"M" * 60 + b" " + b"x" * TARGET_LIMIT_BYTES + b" HTTP/1.1\r\n" + _H,
    ),
    ("RFC 9110 15.5.15: without an end too", "target_too_long", b"GET " + b"x" * 512),
]

_OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES: dict[bytes, ResponseValue] = {
    b"HTTP/1.1 200 OK\r\n\r\n": (200, b"OK", True, (), NONE),
    b"HTTP/1.0 404 Not Found \xe9\t!\r\nA: b\r\n\r\n": (
        404,
        b"Not Found \xe9\t!",
        False,
        ((b"a", b"A", b"b"),),
        NONE,
    ),
    b"HTTP/1.1 100 \r\n\r\n": (100, b"", True, (), NONE),
    b"HTTP/1.1 599\r\n\r\n": (599, b"", True, (), NONE),
    b"HTTP/1.1 204  \r\nconnection: close\r\n\r\n": (
        204,
        b" ",
        True,
        ((b"connection", b"connection", b"close"),),
        frozenset([b"close"]),
    ),
}

REFUSED_RESPONSES: list[tuple[str, bytes]] = [
    ("RFC 9112 2.2: no bare LF in a field", _OK + b"A: b\n\r\n"),
    ("RFC 9112 2.2: no bare CR", _OK + b"A: b\rc\r\n\r\n"),
    ("RFC 9112 2.2: no empty line before a status line", b"\r\n" + _OK + b"\r\n"),
    ("RFC 9112 2.3: the version", b"HTTP/1.2 200 OK\r\n\r\n"),
    ("RFC 9112 2.3: the next version", b"HTTP/2 200\r\n\r\n"),
    ("RFC 9112 2.3: the name", b"http/1.1 200 OK\r\n\r\n"),
    ("RFC 9112 4: single spaces", b"HTTP/1.1  200 OK\r\n\r\n"),
    ("RFC 9112 4: three digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("RFC 9112 4: not four", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("RFC 9112 4: a number", b"HTTP/1.1 2x0 OK\r\n\r\n"),
    ("RFC 9110 15: from 100", b"HTTP/1.1 099 OK\r\n\r\n"),
    ("RFC 9110 15: to 599", b"HTTP/1.1 600 OK\r\n\r\n"),
    ("RFC 9112 4: a status", b"HTTP/1.1\r\n\r\n"),
    ("RFC 9112 4: no control byte in the reason", b"HTTP/1.1 200 O\x00K\r\n\r\n"),
    ("RFC 9112 4: no tab for the space", b"HTTP/1.1 200\tOK\r\n\r\n"),
    ("RFC 9112 4: not HTTP", b"SSH-2.0-OpenSSH\r\n"),
    ("RFC 9110 5.5: no control byte in a value", _OK + b"A: \x01\r\n\r\n"),
    ("RFC 9112 5: a field has a colon", _OK + b"A\r\n\r\n"),
    ("RFC 9110 5.1: a field has a name", _OK + b": b\r\n\r\n"),
    ("RFC 9112 5.2: no folding of nothing", _OK + b" c\r\n\r\n"),
    ("a head of bounded size in many lines", _OK + b"X: y\r\n" * LIMIT_BYTES),
    ("a head of bounded size", _OK + b"X: " + b"y" * LIMIT_BYTES),
    ("a status line of bounded size", b"HTTP/1.1 200 " + b"y" * LIMIT_BYTES),
]


def request_reader() -> RequestReader:
    """Make a reader with the limits of the tables."""
    return RequestReader(LIMIT_BYTES, TARGET_LIMIT_BYTES, FIELD_LIMIT)


def response_reader() -> ResponseReader:
    """Make a reader with the limits of the tables."""
    return ResponseReader(LIMIT_BYTES)


def value_of(head: RequestHead | ResponseHead) -> RequestValue | ResponseValue:
    """Give all that a head holds, comparable."""
    if isinstance(head, RequestHead):
        return (head.method, head.target, head.is_http11, head.fields.all(), head.fields.options)
    return (head.status, head.reason, head.is_http11, head.fields.all(), head.fields.options)


def outcome(reader: RequestReader | ResponseReader, pieces: Iterable[bytes]) -> Outcome:
    """Feed pieces and whatever they leave: gives the heads, the code of the fault that ended it, and what is left."""
    heads: list[RequestValue | ResponseValue] = []
    left = b""
    try:
        for piece in pieces:
            left += piece
            while (head := reader.feed(piece)) is not None:
                heads.append(value_of(head))
                left = piece = reader.rest
                if not piece:
                    break
    except ProtocolError as fault:
        return heads, fault.code, b""
    return heads, None, left


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Cut once at every place, and then everywhere at once."""
    for place in range(len(data) + 1):
        yield [data[:place], data[place:]]
    yield [data[place : place + 1] for place in range(len(data))]


R = TypeVar("R", RequestReader, ResponseReader)


def uncut_and_cut(make: Callable[[], R], data: bytes) -> tuple[Outcome, list[Outcome]]:
    """Give the outcome of the data in one piece, and those of all its splits."""
    return outcome(make(), [data]), [outcome(make(), pieces) for pieces in splits(data)]
