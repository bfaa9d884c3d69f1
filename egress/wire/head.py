"""Request and response heads (RFC 9112 sections 2 to 5), read exactly as the grammar has them and never repaired.

What two readers can take in two ways is how a request is smuggled past a policy: bare LF, folded lines, blanks before a
colon, a second Host. All of it is refused. A head that came in one piece is taken by regular expressions. One that came
in pieces, or is at fault, is judged line by line, so that its first fault is told, however it was cut.
"""

from __future__ import annotations

import re

from attrs import define, field

from egress.errors import ProtocolError
from egress.wire.fields import Fields, sift
from egress.wire.head_buffer import FIELD_LINES, HeadBuffer, Start

_REQUEST_LINE = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([\x21-\x7e]++) HTTP/1\.([01])\r\n"
_STATUS_LINE = rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n"
_match_request = re.compile(_REQUEST_LINE + FIELD_LINES + rb"\r\n").match
_match_request_line = re.compile(_REQUEST_LINE).match
_match_field_lines = re.compile(FIELD_LINES + rb"\r\n").match
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
_LONGEST_METHOD = _LINE_BESIDES_TARGET - 12

# A client's fields hardly differ from one request to the next; only what it asks for does. So fields that were read are
# remembered whole, where they are plain and all of their names are on this list, as clients spell them. None of these
# holds a secret, and none has another value each time.
_REMEMBERED = 1024
_REMEMBERED_OCTETS = 1024
_REMEMBERED_LINES = 24
_HARMLESS = (
    b"Accept Accept-Charset Accept-Encoding Accept-Language Cache-Control Connection DNT Host Keep-Alive Pragma "
    b"Priority Proxy-Connection Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform Sec-Fetch-Dest Sec-Fetch-Mode "
    b"Sec-Fetch-Site Sec-Fetch-User Sec-GPC Upgrade-Insecure-Requests User-Agent"
)
_are_harmless = re.compile(
    rb"(?:(?:%b):[^\r]*+\r\n)*+" % b"|".join([*_HARMLESS.split(), *_HARMLESS.lower().split()])
).fullmatch
_remembered: dict[bytes, Fields] = {}

_METHODS = {b"CONNECT": "CONNECT", b"GET": "GET", b"HEAD": "HEAD", b"POST": "POST", b"PUT": "PUT"}


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
        self._gathering: HeadBuffer | None = None
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
            head = self._whole(data)
            if head is not None:
                return head
        if gathering is None:
            # Only for a head in pieces, or at fault: most come whole.
            start = Start(
                judge_octet=_judge_first_octet,
                judge_line=self._judge_line,
                limit_bytes=self._target_limit_bytes + _LINE_BESIDES_TARGET,
                can_follow_empty_line=True,
            )
            gathering = self._gathering = HeadBuffer(start, self._limit_bytes, self._field_limit)
        gathered = gathering.add(data)
        if gathered is None:
            return None
        match = _match_request(gathered)
        if match is None:
            raise ProtocolError("bad_head", "the head is malformed")
        method, target, minor, block = match.groups()
        fields = sift(block)
        if fault := _host_fault(fields, minor):
            raise ProtocolError("bad_head", fault)
        self.rest = gathering.take_rest()
        return RequestHead(_METHODS.get(method) or method.decode("ascii"), target, minor == b"1", fields)

    def _whole(self, data: bytes) -> RequestHead | None:
        """Take a head that is here whole and without fault."""
        end = data.find(b"\r\n\r\n") + 4
        line = _match_request_line(data)
        if line is None or not 4 <= end <= self._limit_bytes:
            return None
        method, target, minor = line.groups()
        if len(method) > _LONGEST_METHOD or len(target) > self._target_limit_bytes:
            return None
        at = line.end()
        block = data[at : end - 2]
        fields = _remembered.get(block)
        if fields is None:
            # Counted first: what is longer than it may be is not worth being taken apart.
            if block.count(b"\n") > self._field_limit:
                return None
            match = _match_field_lines(data, at)
            if match is None:
                return None
            fields = sift(block)
            if _host_fault(fields, minor):
                return None
            # With a Host: so they are good for either version.
            if minor == b"1" and at + _REMEMBERED_OCTETS > end and is_harmless(fields):
                if len(_remembered) >= _REMEMBERED:
                    _remembered.clear()
                _remembered[block] = fields
        if fields.lines > self._field_limit:
            return None
        self.rest = data[end:]
        return RequestHead(_METHODS.get(method) or method.decode("ascii"), target, minor == b"1", fields)

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
        limit_bytes: of a whole head, its blank line counted.
        field_limit: field lines in a head.
        rest: the octets that followed the last head.
    """

    __slots__ = ("_gathering", "field_limit", "limit_bytes", "rest")

    def __init__(self, limit_bytes: int, field_limit: int) -> None:
        """Make a reader.

        Args:
            limit_bytes: of a whole head, its blank line counted.
            field_limit: field lines in a head.
        """
        self.limit_bytes = limit_bytes
        self.field_limit = field_limit
        self._gathering: HeadBuffer | None = None
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
            if match is not None and (end := match.end()) <= self.limit_bytes:
                minor, status, reason, block = match.groups()
                if block.count(b"\n") <= self.field_limit:
                    self.rest = data[end:]
                    return ResponseHead(int(status), reason or b"", minor == b"1", sift(block))
        if gathering is None:
            start = Start(
                judge_octet=_judge_first_status_octet,
                judge_line=_judge_status_line,
                limit_bytes=None,
                can_follow_empty_line=False,
            )
            gathering = self._gathering = HeadBuffer(start, self.limit_bytes, self.field_limit)
        try:
            gathered = gathering.add(data)
        except ProtocolError as error:
            raise ProtocolError("origin_malformed", error.reason) from None
        if gathered is None:
            return None
        match = _match_response(gathered)
        if match is None:
            raise ProtocolError("origin_malformed", "the head is malformed")
        minor, status, reason, block = match.groups()
        self.rest = gathering.take_rest()
        return ResponseHead(int(status), reason or b"", minor == b"1", sift(block))


def is_harmless(fields: Fields) -> bool:
    """Tell whether fields may be remembered: few, plain, and none of them could hold a secret."""
    return fields.is_plain and fields.lines <= _REMEMBERED_LINES and _are_harmless(fields.block) is not None


def _host_fault(fields: Fields, minor: bytes) -> str:
    """Say what is wrong with the Host fields of a request; "" if nothing is (RFC 9112 section 3.2)."""
    host: bytes | None = None
    for lower, _, value in fields.special:
        if lower == b"host":
            if host is not None:
                return "there is more than one Host field"
            host = value
    if host is None:
        return "an HTTP/1.1 request has a Host field" if minor == b"1" else ""
    return "the Host field is not a host and port" if host.translate(None, _HOST) else ""


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
