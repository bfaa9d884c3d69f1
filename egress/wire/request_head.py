"""Request heads (RFC 9112 sections 2, 3 and 5), read strictly by the grammar and never repaired.

A head that two readers understand differently can smuggle a request past a policy: bare LF, folded lines, blanks before
a colon, a second Host. Such heads are refused. Regular expressions read a head that arrived in one piece. A head that
arrived in pieces, or has a fault, is checked line by line, so that the reported fault does not depend on the split.
"""

from __future__ import annotations

import re

from attrs import define, field

from egress.errors import ProtocolError
from egress.memo import Memo
from egress.wire.connection_authentication import has_credentials
from egress.wire.fields import MEMO_BLOCK_BYTES, Fields, may_be_memoized, parse_fields
from egress.wire.head_buffer import FIELD_LINES, HeadBuffer, HeadRules

_REQUEST_LINE = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([\x21-\x7e]++) HTTP/1\.([01])\r\n"
_match_request = re.compile(_REQUEST_LINE + FIELD_LINES + rb"\r\n").match
_match_request_line = re.compile(_REQUEST_LINE).match
_match_field_lines = re.compile(FIELD_LINES + rb"\r\n").match
_is_request_line = re.compile(_REQUEST_LINE).fullmatch
_is_version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VISIBLE = bytes(range(0x21, 0x7F))
_CONTROL = bytes((*range(0x20), 0x7F))
_HOST = b"-._~!$&'()*+,;=:[]%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TLS_HANDSHAKE = 0x16
# Octets of a request line without its target: a method, two spaces, the version and CRLF.
_LINE_WITHOUT_TARGET = 64
_METHOD_LIMIT = _LINE_WITHOUT_TARGET - 12

# The fields of one client hardly differ between its requests. At most 1,024 blocks of 1 KiB: keys and values together
# are below 4 MiB. `may_be_memoized` keeps secrets out.
_fields_memo: Memo[bytes, Fields] = Memo(1024)

_METHODS = {b"CONNECT": "CONNECT", b"GET": "GET", b"HEAD": "HEAD", b"POST": "POST", b"PUT": "PUT"}


@define(eq=False)
class RequestHead:
    """The head of one request.

    Attributes:
        method: as sent; methods are case-sensitive.
        target: the request target as sent.
        is_http11: HTTP/1.1, else HTTP/1.0.
        fields: the parsed fields.
        authenticates_connection: it has credentials of a scheme that authenticates the connection to the origin.
    """

    method: str
    target: bytes = field(repr=False)
    is_http11: bool
    fields: Fields = field(repr=False)
    authenticates_connection: bool = False

    @property
    def is_persistent(self) -> bool:
        """Whether the client wants its connection to persist (RFC 9112 section 9.3)."""
        options = self.fields.options
        return b"close" not in options and (self.is_http11 or b"keep-alive" in options)


class RequestReader:
    """Reads request heads, one after the other.

    Attributes:
        rest: the octets after the last head. They are not buffered: the caller feeds them again for the next head.
    """

    __slots__ = ("_buffer", "_field_limit", "_limit_bytes", "_target_limit_bytes", "rest")

    def __init__(self, limit_bytes: int, target_limit_bytes: int, field_limit: int) -> None:
        """Create a reader.

        Args:
            limit_bytes: of a whole head, its blank line counted.
            target_limit_bytes: of a request target.
            field_limit: the number of field lines in a head.
        """
        self._limit_bytes = limit_bytes
        self._target_limit_bytes = target_limit_bytes
        self._field_limit = field_limit
        self._buffer: HeadBuffer | None = None
        self.rest = b""

    @property
    def is_begun(self) -> bool:
        """Whether octets of an incomplete head are buffered."""
        return self._buffer is not None and self._buffer.is_begun

    def feed(self, data: bytes) -> RequestHead | None:
        """Take more octets.

        Args:
            data: any number of octets, in wire order.

        Returns:
            The head once its blank line has arrived, else None. The octets after it are in `rest`.

        Raises:
            ProtocolError: bad_head, bad_target, bad_version, http2_preface, head_too_large or target_too_long. The
                connection cannot be read any further; each further call raises the error again.
        """
        if self._buffer is not None:
            return self._feed_buffer(data)
        # The fast path: a head that is complete and without fault. Everything else is left to the buffer.
        end = data.find(b"\r\n\r\n") + 4
        line = _match_request_line(data)
        if line is None or not 4 <= end <= self._limit_bytes:
            return self._feed_buffer(data)
        method, target, minor = line.groups()
        if len(method) > _METHOD_LIMIT or len(target) > self._target_limit_bytes:
            return self._feed_buffer(data)
        at = line.end()
        block = data[at : end - 2]
        fields = _fields_memo.get(block)
        authenticates = False
        if fields is None:
            # Lines are counted first: a head with too many is not worth parsing.
            if block.count(b"\n") > self._field_limit or _match_field_lines(data, at) is None:
                return self._feed_buffer(data)
            fields = parse_fields(block, is_request=True)
            if _host_fault(fields, minor, target):
                return self._feed_buffer(data)
            # Fields with a Host are valid in both versions.
            if minor == b"1" and len(block) <= MEMO_BLOCK_BYTES and may_be_memoized(fields):
                _fields_memo.keep(block, fields)  # it has no credentials
            else:
                authenticates = has_credentials(data[:end])
        elif fields.lines > self._field_limit:
            return self._feed_buffer(data)
        self.rest = data[end:]
        return RequestHead(_METHODS.get(method) or method.decode("ascii"), target, minor == b"1", fields, authenticates)

    def _feed_buffer(self, data: bytes) -> RequestHead | None:
        """Read a head that arrives in pieces, or find the fault of one."""
        buffer = self._buffer
        if buffer is None:
            if not data:
                return None
            rules = HeadRules(
                check_octet=_check_first_octet,
                check_line=self._check_line,
                line_limit_bytes=self._target_limit_bytes + _LINE_WITHOUT_TARGET,
                field_limit=self._field_limit,
                allows_empty_line=True,
                allows_repair=False,
            )
            buffer = self._buffer = HeadBuffer(rules, self._limit_bytes)
        octets = buffer.add(data)
        if octets is None:
            return None
        match = _match_request(octets)
        if match is None:
            raise ProtocolError("bad_head", "the head is malformed")
        method, target, minor, block = match.groups()
        fields = parse_fields(block, is_request=True)
        if fault := _host_fault(fields, minor, target):
            raise ProtocolError("bad_head", fault)
        self.rest = buffer.rest()
        self._buffer = None
        return RequestHead(
            _METHODS.get(method) or method.decode("ascii"), target, minor == b"1", fields, has_credentials(octets)
        )

    def _check_line(self, line: bytes) -> None:
        """Check a request line, its CRLF included (RFC 9112 section 3)."""
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


def _host_fault(fields: Fields, minor: bytes, target: bytes) -> str:
    """Describe the fault of the Host fields of a request, "" for none (RFC 9112 section 3.2)."""
    host: bytes | None = None
    for lower, _, value in fields.special:
        if lower == b"host":
            if host is not None:
                return "there is more than one Host field"
            host = value
    if host is None:
        return "an HTTP/1.1 request has a Host field" if minor == b"1" else ""
    if host.translate(None, _HOST) and not _repeats_user_information(host, target):
        return "the Host field is not a host and port"
    return ""


def _repeats_user_information(host: bytes, target: bytes) -> bool:
    """Whether Host repeats the authority of the target with its user information, as urllib sends it.

    A proxy ignores the Host field of an absolute form (RFC 9112 section 3.2.2), and the two do not disagree.
    """
    rest = target.partition(b"://")[2]
    return b"@" in host and rest.startswith(host) and rest[len(host) :][:1] in (b"", b"/", b"?")


def _check_first_octet(octet: int) -> None:
    if octet == _TLS_HANDSHAKE:
        raise ProtocolError("bad_head", "TLS was spoken to a plain-text port")
    if octet not in _TOKEN:
        raise ProtocolError("bad_head", "the request does not begin with a method")
