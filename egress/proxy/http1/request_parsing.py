"""Reads and parses the request heads of client connections."""

from __future__ import annotations

from typing import Protocol

from attrs import define, evolve, field

from egress.errors import ProtocolError
from egress.memo import Memo
from egress.proxy.limits import Limits
from egress.wire.fields import may_be_memoized
from egress.wire.forwarding import check_connection_options, max_forwards
from egress.wire.framing import NO_BODY, Framing, Kind, request_framing
from egress.wire.request_head import RequestHead, RequestReader
from egress.wire.target import Target, parse_target
from egress.wire.via import Via

SENSITIVE = frozenset((b"authorization", b"cookie", b"cookie2", b"proxy-authorization"))
"""Fields, in lower case, that a response to TRACE never reflects (RFC 9110 section 9.3.8)."""

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
_MEMO_KEY_BYTES = 1024


@define(eq=False)
class ParsedRequest:
    """A request head and the decisions that follow from it alone.

    Attributes:
        head: the head as read.
        target: the parsed target.
        framing: the framing of the body.
        is_own: whether the proxy itself responds, because the request is `OPTIONS *`, its Max-Forwards is 0, or it is a
            loop.
        credentials: the value of Proxy-Authorization (RFC 9110 section 11.7.2); None without the field.
        is_loop: whether the request has passed this proxy before, and would be forwarded.
    """

    head: RequestHead
    target: Target
    framing: Framing
    is_own: bool
    credentials: bytes | None = field(default=None, repr=False)
    is_loop: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether the request may be sent again: its method is idempotent (RFC 9110 section 9.2.2), without a body."""
        return self.framing.kind is Kind.NONE and self.head.method in _IDEMPOTENT

    def without_overrides(self) -> ParsedRequest:
        """Return the request without its override fields."""
        return evolve(self, head=evolve(self.head, fields=self.head.fields.without_overrides()))


class HeadSource(Protocol):
    """A connection that request heads are read from.

    Attributes:
        reader: the reader of the next head; None before the first head that is not memoized.
        held: octets that arrived and are not processed yet.
    """

    reader: RequestReader | None
    held: bytes


class RequestParser:
    """Reads and parses the heads of all connections of a server, under one set of limits.

    A client's CONNECT heads differ by their destination only, and reading one costs a tenth of a tunnel's set-up. A
    memo therefore keeps parsed CONNECT heads by their octets: at most 2,048 of 1 KiB, below 8 MiB with their values.
    `may_be_memoized` keeps credentials and cookies out. Heads of other methods are not kept, because their paths
    differ.

    Attributes:
        limits: the limits of heads and bodies.
        via: the Via of this proxy.
    """

    __slots__ = ("_memo", "limits", "via")

    def __init__(self, limits: Limits, via: Via) -> None:
        """Create a parser.

        Args:
            limits: the limits of heads and bodies.
            via: the Via of this proxy.
        """
        self.limits = limits
        self.via = via
        self._memo: Memo[bytes, ParsedRequest] = Memo(2048)

    def read(self, source: HeadSource, data: bytes) -> ParsedRequest | None:
        """Read more of a connection's next head.

        Args:
            source: the connection.
            data: the octets that arrived.

        Returns:
            The request, once its head is complete; `source.held` is then the octets after the head. None before.

        Raises:
            ProtocolError: the head is refused. The connection cannot be read any further.
        """
        reader = source.reader
        if reader is None:
            # The fast path: a memoized head alone, on a connection without buffered octets.
            parsed = self._memo.get(data)
            if parsed is not None:
                return parsed
            limits = self.limits
            reader = source.reader = RequestReader(limits.head_bytes, limits.target_bytes, limits.head_fields)
        # A head that began in an earlier piece cannot be looked up by the octets of its last piece.
        is_whole = data[:1] == b"C" and not reader.is_begun
        head = reader.feed(data)
        if head is None:
            return None
        parsed = parse_request(head, self.limits.request_body_bytes, self.via)
        source.held = reader.rest
        if is_whole and head.method == "CONNECT" and not source.held:
            self._keep(data, parsed)
        return parsed

    def _keep(self, octets: bytes, parsed: ParsedRequest) -> None:
        if parsed.credentials is None and len(octets) <= _MEMO_KEY_BYTES and may_be_memoized(parsed.head.fields):
            self._memo.keep(octets, parsed)

    def __len__(self) -> int:
        """Return the number of memoized heads."""
        return len(self._memo)


def parse_request(head: RequestHead, body_limit_bytes: int, via: Via) -> ParsedRequest:
    """Parse the target, the framing and the credentials of a head.

    Args:
        head: the head as read.
        body_limit_bytes: the largest body with a Content-Length.
        via: the Via of this proxy.

    Raises:
        ProtocolError: the target, the framing, an expectation or an option is refused, or the body is too long. It has
            the method, and the destination where that could be read.
    """
    target = None
    try:
        target = parse_target(head.method, head.target)
        if head.fields.is_plain:
            # The fast path: plain fields contain no framing, expectation, Max-Forwards, Via or credentials.
            return ParsedRequest(head, target, NO_BODY, target.form == "asterisk")
        framing = request_framing(head)
        if framing.length > body_limit_bytes:
            raise ProtocolError("body_too_large", "The request body exceeds its limit.")
        _check_expectation(head)
        check_connection_options(head)
        is_own = max_forwards(head) == 0 or target.form == "asterisk"
        credentials, has_passed = _find_credentials(head, via)
        is_loop = has_passed and not is_own
        return ParsedRequest(head, target, framing, is_own or is_loop, credentials, is_loop)
    except ProtocolError as error:
        error.method = head.method
        if target is not None:
            error.authority = target.authority
        raise


def _find_credentials(head: RequestHead, via: Via) -> tuple[bytes | None, bool]:
    """Return the value of Proxy-Authorization, which only the identifier receives, and whether a Via names us."""
    found, has_passed = None, False
    for lower, _, value in head.fields.special:
        if lower == b"proxy-authorization":
            if found is not None:
                raise ProtocolError("bad_head", "There is more than one Proxy-Authorization field.")
            found = value
        elif lower == b"via":
            has_passed = has_passed or via.is_in(value)
    return found, has_passed


def _check_expectation(head: RequestHead) -> None:
    """Refuse unknown expectations (RFC 9110 section 10.1.1)."""
    for value in head.fields.values(b"expect"):
        if value.lower() != b"100-continue":
            raise ProtocolError("expectation_failed", "The expectation is not supported.")
