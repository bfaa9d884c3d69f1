"""Request and response heads (RFC 9112 sections 2 to 5), read exactly as the grammar has them and never repaired.

What two readers can take in two ways is how a request is smuggled past a policy: bare LF, folded lines, blanks before a
colon, a second Host. All of it is refused. A head that came in one piece is taken by one regular expression. One that
came in pieces, or is at fault, is judged line by line, so that its first fault is told, however it was cut.
"""

from __future__ import annotations

import re
from sys import intern

from attrs import define, field

from egress.errors import ProtocolError
from egress.wire.fields import Fields, sift
from egress.wire.gathering import FIELD_LINES, Gathering, Start

_REQUEST_LINE = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([\x21-\x7e]++) HTTP/1\.([01])\r\n"
_STATUS_LINE = rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n"
_match_request = re.compile(_REQUEST_LINE + FIELD_LINES + rb"\r\n").match
_match_response = re.compile(_STATUS_LINE + FIELD_LINES + rb"\r\n").match
_is_request_line = re.compile(_REQUEST_LINE).fullmatch
_is_status_line = re.compile(_STATUS_LINE).fullmatch
_is_version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VISIBLE = bytes(range(0x21, 0x7F))
_CONTROL = bytes((*range(0x20), 0x7F))
_HOST = b"-._~!$&'()*+,;=:[]%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TLS_HANDSHAKE = 0x16
# What a request line holds besides its target: a method, two spaces, the version and CRLF.
_LINE_BESIDES_TARGET = 64


@define(eq=False)
class RequestHead:
    """One request's head.

    Attributes:
        method: as sent; methods are case-sensitive.
        target: as it stands in the request line.
        is_http11: HTTP/1.1, else HTTP/1.0.
        fields: sifted.
    """

    method: str
    target: bytes = field(repr=False)
    is_http11: bool
    fields: Fields = field(repr=False)


@define(eq=False)
class ResponseHead:
    """One response's head.

    Attributes:
        status: 100 to 599.
        reason: as sent, often empty.
        is_http11: HTTP/1.1, else HTTP/1.0.
        fields: sifted.
    """

    status: int
    reason: bytes = field(repr=False)
    is_http11: bool
    fields: Fields = field(repr=False)


class RequestReader:
    """Reads request heads, one after the other.

    Attributes:
        rest: the octets that followed the last head; what of them is another head must be fed again.
    """

    __slots__ = ("_field_limit", "_gathering", "_limit_bytes", "_target_limit_bytes", "rest")

    def __init__(self, limit_bytes: int, target_limit_bytes: int, field_limit: int) -> None:
        """Make a reader.

        Args:
            limit_bytes: of a whole head, its blank line counted.
            target_limit_bytes: of a request target.
            field_limit: field lines in a head.
        """
        self._limit_bytes = limit_bytes
        self._target_limit_bytes = target_limit_bytes
        self._field_limit = field_limit
        self._gathering: Gathering | None = None
        self.rest = b""

    @property
    def is_begun(self) -> bool:
        """Octets of a head are held."""
        return self._gathering is not None and self._gathering.is_begun

    def feed(self, data: bytes) -> RequestHead | None:
        """Take more octets.

        Args:
            data: any number of octets, in wire order.

        Returns:
            The head once its blank line is here, else None. The octets after it are in `rest`.

        Raises:
            ProtocolError: bad_head, bad_target, bad_version, http2_preface, head_too_large or target_too_long. The
                connection cannot be read any further; feeding more raises the same again.
        """
        gathering = self._gathering
        if gathering is None or gathering.is_idle:
            match = _match_request(data)
            if (
                match is not None
                and match.end() <= self._limit_bytes
                and len(match[1]) <= _LINE_BESIDES_TARGET - 12
                and len(match[2]) <= self._target_limit_bytes
                and match[4].count(b"\n") <= self._field_limit
            ):
                head = _request(match)
                if isinstance(head, RequestHead):
                    self.rest = data[match.end() :]
                    return head
        if gathering is None:
            # Only for a head in pieces, or at fault: most come whole.
            start = Start(
                judge_octet=_judge_first_octet,
                judge_line=self._judge_line,
                limit_bytes=self._target_limit_bytes + _LINE_BESIDES_TARGET,
                can_follow_empty_line=True,
            )
            gathering = self._gathering = Gathering(start, self._limit_bytes, self._field_limit)
        gathered = gathering.add(data)
        if gathered is None:
            return None
        match = _match_request(gathered)
        head = "the head is malformed" if match is None else _request(match)
        if not isinstance(head, RequestHead):
            raise ProtocolError("bad_head", head)
        self.rest = gathering.take_rest()
        return head

    def _judge_line(self, line: bytes) -> None:
        """Judge a request line, its CRLF included, against RFC 9112 section 3."""
        if _is_request_line(line):
            if len(line.split(b" ")[1]) > self._target_limit_bytes:
                raise ProtocolError("target_too_long", "the request target is too long")
            return
        content = line[:-2]
        if content == b"PRI * HTTP/2.0":
            raise ProtocolError("http2_preface", "HTTP/2 was spoken to a port of HTTP/1.1")
        if len(content.translate(None, _CONTROL)) != len(content):
            raise ProtocolError("bad_head", "the request line holds a control byte")
        parts = content.split(b" ")
        if len(parts) == 2 and not parts[0].translate(None, _TOKEN):
            raise ProtocolError("bad_head", "the request line has no version: HTTP/0.9 is not spoken")
        if len(parts) != 3 or not all(parts):
            raise ProtocolError("bad_head", "the request line is not three words with single spaces between")
        method, target, version = parts
        if method.translate(None, _TOKEN):
            raise ProtocolError("bad_head", "the method is not a token")
        if target.translate(None, _VISIBLE):
            raise ProtocolError("bad_target", "the request target holds octets outside ASCII")
        if _is_version(version):
            raise ProtocolError("bad_version", "the version is neither HTTP/1.1 nor HTTP/1.0")
        raise ProtocolError("bad_head", "the request line does not end in an HTTP version")


class ResponseReader:
    """Reads response heads, one after the other.

    Attributes:
        rest: the octets that followed the last head.
    """

    __slots__ = ("_field_limit", "_gathering", "_limit_bytes", "rest")

    def __init__(self, limit_bytes: int, field_limit: int) -> None:
        """Make a reader.

        Args:
            limit_bytes: of a whole head, its blank line counted.
            field_limit: field lines in a head.
        """
        self._limit_bytes = limit_bytes
        self._field_limit = field_limit
        self._gathering: Gathering | None = None
        self.rest = b""

    @property
    def is_begun(self) -> bool:
        """Octets of a head are held."""
        return self._gathering is not None and self._gathering.is_begun

    def feed(self, data: bytes) -> ResponseHead | None:
        """Take more octets.

        Args:
            data: any number of octets, in wire order.

        Returns:
            The head once its blank line is here, else None. The octets after it are in `rest`.

        Raises:
            ProtocolError: origin_malformed. The connection cannot be read any further.
        """
        gathering = self._gathering
        if gathering is None or gathering.is_idle:
            match = _match_response(data)
            if match is not None and match.end() <= self._limit_bytes and match[4].count(b"\n") <= self._field_limit:
                self.rest = data[match.end() :]
                return _response(match)
        if gathering is None:
            start = Start(
                judge_octet=_judge_first_status_octet,
                judge_line=_judge_status_line,
                limit_bytes=None,
                can_follow_empty_line=False,
            )
            gathering = self._gathering = Gathering(start, self._limit_bytes, self._field_limit)
        try:
            gathered = gathering.add(data)
        except ProtocolError as error:
            raise ProtocolError("origin_malformed", error.reason) from None
        if gathered is None:
            return None
        match = _match_response(gathered)
        if match is None:
            raise ProtocolError("origin_malformed", "the head is malformed")
        self.rest = gathering.take_rest()
        return _response(match)


def _request(match: re.Match[bytes]) -> RequestHead | str:
    """Build a head from a match of its whole; where its Host fields are at fault, give the reason instead."""
    method, target, minor, block = match.groups()
    fields = sift(block)
    host: bytes | None = None
    for lower, _, value in fields.special:
        if lower == b"host":
            if host is not None:
                return "there is more than one Host field"
            host = value
    # RFC 9112 section 3.2: 400 for any HTTP/1.1 request without one, and for any request with two or an invalid one.
    if host is None:
        if minor == b"1":
            return "an HTTP/1.1 request has a Host field"
    elif host.translate(None, _HOST):
        return "the Host field is not a host and port"
    return RequestHead(intern(method.decode("ascii")), target, minor == b"1", fields)


def _response(match: re.Match[bytes]) -> ResponseHead:
    minor, status, reason, block = match.groups()
    return ResponseHead(int(status), reason or b"", minor == b"1", sift(block))


def _judge_first_octet(octet: int) -> None:
    if octet == _TLS_HANDSHAKE:
        raise ProtocolError("bad_head", "TLS was spoken to a plain-text port")
    if octet not in _TOKEN:
        raise ProtocolError("bad_head", "the request does not begin with a method")


def _judge_first_status_octet(octet: int) -> None:
    if octet != 0x48:
        raise ProtocolError("origin_malformed", "the answer does not begin with HTTP/1.1 or HTTP/1.0")


def _judge_status_line(line: bytes) -> None:
    if not _is_status_line(line):
        raise ProtocolError("origin_malformed", "the status line is malformed or not of HTTP/1.1 or HTTP/1.0")
