"""Response heads (RFC 9112 sections 2, 4 and 5), read by the grammar, with the repairs of `response_repair`.

Most responses are simple: HTTP/1.1, one Content-Length, and no other field that a proxy acts on except a persistent
connection. One regular expression reads such a head and divides it into the octets that are forwarded and those that
are not. `response_framing` and `serialize_response` use that division instead of parsing the fields.
"""

from __future__ import annotations

import re
from math import inf

from attrs import define, field

from egress.errors import ProtocolError
from egress.memo import Memo
from egress.wire.fields import Fields, parse_fields
from egress.wire.framing import Framing, Kind
from egress.wire.head_buffer import FIELD_LINES, HeadBuffer, HeadRules
from egress.wire.keep_alive import find_idle_seconds
from egress.wire.response_repair import repair_head

_STATUS_LINE = rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n"
_match_response = re.compile(_STATUS_LINE + FIELD_LINES + rb"\r\n").match
_is_status_line = re.compile(_STATUS_LINE).fullmatch

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
# Lines of fields that are forwarded unchanged: all but those of `egress.wire.fields.SPECIAL` and Proxy-*.
_ORDINARY = (
    rb"(?:(?:[!#$%&'*+\-.^_`|~0-9ABDFGIJLNOQRSVWXYZabdfgijlnoqrsvwxyz]|(?!(?i:CON(?:NECTION|TENT-LENGTH)|EXPECT"
    rb"|H(?:OST|TTP2-SETTINGS)|KEEP-ALIVE|MAX-FORWARDS|PROXY-[^:]*+|T(?:E|RANSFER-ENCODING)|UPGRADE):)[A-Za-z])"
    + _TOKEN
    + rb"*+:"
    + _VALUE
    + rb"\r\n)*+"
)
_PERSISTENT = rb"(?:(?:Connection: [Kk]eep-[Aa]live|(Keep-Alive):" + _VALUE + rb")\r\n)*+"
_find_keep_alive = re.compile(rb"\nKeep-Alive:([^\r]*+)").findall
# 1xx, 204 and 304 have no body, whatever their length says (RFC 9112 section 6.3).
_match_simple = re.compile(
    rb"(HTTP/1\.1 ((?!204|304)[2-5][0-9][0-9]) ("
    + _VALUE
    + rb")\r\n"
    + _ORDINARY
    + rb")"
    + _PERSISTENT
    + (rb"(" + _ORDINARY + rb")Content-Length: ([0-9]{1,18})\r\n(" + _ORDINARY + rb")")
    + _PERSISTENT
    + (rb"(" + _ORDINARY + rb")\r\n")
).match

_memo: Memo[bytes, Framing] = Memo(1024)


def _check_first_octet(octet: int) -> None:
    if octet != 0x48:
        raise ProtocolError("origin_malformed", "the answer does not begin with HTTP/1.1 or HTTP/1.0")


def _check_status_line(line: bytes) -> None:
    if not _is_status_line(line):
        raise ProtocolError("origin_malformed", "the status line is malformed or not of HTTP/1.1 or HTTP/1.0")


_RULES = HeadRules(
    check_octet=_check_first_octet,
    check_line=_check_status_line,
    line_limit_bytes=None,
    field_limit=None,
    allows_empty_line=False,
    allows_repair=True,
)


@define(eq=False)
class ResponseHead:
    """The head of one response.

    Attributes:
        status: 100 to 599.
        reason: as sent, often empty.
        is_http11: HTTP/1.1, else HTTP/1.0.
        framing: of a response with body, where the head is simple (see the module), else None.
        forward_lines: the head as a client of HTTP/1.1 gets it, without Connection and the blank line, where the head
            is simple; else b"".
        is_persistent: the origin keeps its connection open after the response (RFC 9112 section 9.3). False after a
            repair: if the origin reads its answer differently, the next answer may begin elsewhere.
        idle_seconds: the seconds for which the origin keeps its idle connection open, by Keep-Alive; infinity if it
            does not say.
    """

    status: int
    reason: bytes = field(repr=False)
    is_http11: bool
    # The octets of the head until the fields are needed.
    _fields: Fields | bytes = field(repr=False)
    framing: Framing | None = None
    forward_lines: bytes = field(default=b"", repr=False)
    is_persistent: bool = field()
    idle_seconds: float = field()

    @is_persistent.default
    def _find_persistence(self) -> bool:
        return self.is_http11 and b"close" not in self.fields.options

    @idle_seconds.default
    def _find_idle_seconds(self) -> float:
        return find_idle_seconds(self.fields.values(b"keep-alive"))

    @property
    def fields(self) -> Fields:
        """The fields, parsed at the first use."""
        fields = self._fields
        if isinstance(fields, bytes):
            fields = self._fields = parse_fields(fields[fields.index(b"\r\n") + 2 : -2], is_request=False)
        return fields


class ResponseReader:
    """Reads response heads, one after the other.

    Attributes:
        rest: the octets after the last head.
    """

    __slots__ = ("_buffer", "_limit_bytes", "rest")

    def __init__(self, limit_bytes: int) -> None:
        """Create a reader.

        Args:
            limit_bytes: of a whole head, its blank line counted. The number of fields has no limit of its own.
        """
        self._limit_bytes = limit_bytes
        self._buffer: HeadBuffer | None = None
        self.rest = b""

    @property
    def is_begun(self) -> bool:
        """Whether octets of an incomplete head are buffered."""
        return self._buffer is not None and self._buffer.is_begun

    def feed(self, data: bytes) -> ResponseHead | None:
        """Take more octets.

        Args:
            data: any number of octets, in wire order.

        Returns:
            The head once its blank line has arrived, else None. The octets after it are in `rest`.

        Raises:
            ProtocolError: origin_malformed. The connection cannot be read any further.
        """
        if self._buffer is not None:
            return self._feed_buffer(data)
        # Fast paths: a complete simple head, and any other complete head without fault.
        match = _match_simple(data)
        if match is not None:
            at = match.end()
            if at > self._limit_bytes:
                return self._feed_buffer(data)
            begin, status, reason, kept_before, middle, digits, end, kept_after, last = match.groups()
            # Most lengths come again: their framing is kept by its digits, at most 18 octets each.
            framing = _memo.get(digits) or _memo.keep(digits, Framing(Kind.LENGTH, int(digits)))
            lines = b"%b%b%b%bContent-Length: %d\r\nVia: 1.1 egress\r\n" % (begin, middle, end, last, framing.length)
            self.rest = data[at:]
            idle_seconds = find_idle_seconds(_find_keep_alive(data, 0, at)) if kept_before or kept_after else inf
            return ResponseHead(int(status), reason, True, data[:at], framing, lines, True, idle_seconds)
        match = _match_response(data)
        if match is None or match.end() > self._limit_bytes:
            return self._feed_buffer(data)
        minor, status, reason, block = match.groups()
        self.rest = data[match.end() :]
        return ResponseHead(int(status), reason or b"", minor == b"1", parse_fields(block, is_request=False))

    def _feed_buffer(self, data: bytes) -> ResponseHead | None:
        """Read a head that arrives in pieces, or find the fault of one."""
        buffer = self._buffer
        if buffer is None:
            if not data:
                return None
            buffer = self._buffer = HeadBuffer(_RULES, self._limit_bytes)
        try:
            octets = buffer.add(data)
        except ProtocolError as error:
            raise ProtocolError("origin_malformed", error.reason) from None
        if octets is None:
            return None
        match = _match_response(octets)
        is_repaired = match is None
        if match is None:
            match = _match_response(repair_head(octets))
        if match is None:
            raise ProtocolError("origin_malformed", "the head is malformed")
        minor, status, reason, block = match.groups()
        self.rest = buffer.rest()
        self._buffer = None
        head = ResponseHead(int(status), reason or b"", minor == b"1", parse_fields(block, is_request=False))
        if is_repaired:
            head.is_persistent = False
        return head
