"""What a request head means to the proxy, and a memory of heads that come again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from egress.errors import ProtocolError, Refused
from egress.wire.forwarding import check_options, forwards_left
from egress.wire.framing import NO_BODY, Framing, Kind, request_framing
from egress.wire.head import RequestHead, RequestReader, is_harmless
from egress.wire.target import Target, parse_target

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

SENSITIVE = frozenset((b"authorization", b"cookie", b"cookie2", b"proxy-authorization"))
"""Fields, in lower case, that are never reflected by TRACE (RFC 9110 section 9.3.8)."""

# A few thousand of them are a few megabytes. Whoever sends others all the time can have all be forgotten, which costs
# everybody the reading of a head.
_HEADS = 2048
_HEAD_BYTES = 1024


@define(eq=False)
class ParsedRequest:
    """A head, taken apart.

    Attributes:
        head: as it was read.
        target: what is asked for.
        framing: of the body.
        is_own: the proxy answers it itself: `OPTIONS *`, or it may be forwarded no further.
        credentials: what the client shows of itself (RFC 9110 section 11.7.2); None for nothing.
    """

    head: RequestHead
    target: Target
    framing: Framing
    is_own: bool
    credentials: bytes | None = field(default=None, repr=False)


def parse_request(head: RequestHead, body_limit_bytes: int) -> ParsedRequest:
    """Take a head apart.

    Args:
        head: as it was read.
        body_limit_bytes: of a body whose length is told.

    Raises:
        ProtocolError: it asks for what is not understood here, or for too much.
    """
    target = parse_target(head.method, head.target)
    if head.fields.is_plain:
        return ParsedRequest(head, target, NO_BODY, target.form == "asterisk")
    framing = request_framing(head)
    if framing.length > body_limit_bytes:
        raise ProtocolError("body_too_large", "The request body is longer than it may be.")
    _check_expectation(head)
    check_options(head)
    is_own = forwards_left(head) == 0 or target.form == "asterisk"
    credentials = _credentials(head)
    return ParsedRequest(head, target, framing, is_own, credentials)


class ParsedRequestMemo:
    """The CONNECT heads that were understood, by their octets: a client's differ by their destination only.

    Measured: reading and understanding one costs a tenth of a tunnel's set-up. Only heads of a few usual fields are
    kept, none of which holds a secret, and no request of another method: its path differs each time.
    """

    __slots__ = ("_known", "find")

    def __init__(self) -> None:
        self._known: dict[bytes, ParsedRequest] = {}
        self.find = self._known.get

    def keep(self, octets: bytes, parsed: ParsedRequest) -> None:
        """Remember a head, if that is allowed.

        Args:
            octets: the whole head and nothing else.
            parsed: what it means.
        """
        if (
            parsed.head.method != "CONNECT"
            or parsed.credentials is not None
            or parsed.framing.kind is not Kind.NONE
            or len(octets) > _HEAD_BYTES
            or not is_harmless(parsed.head.fields)
        ):
            return
        if len(self._known) >= _HEADS:
            self._known.clear()
        self._known[octets] = parsed

    def __len__(self) -> int:
        return len(self._known)


def read_on(client: ClientConnection, data: bytes) -> ParsedRequest | None:
    """Read more of a client's next head.

    Args:
        client: is answered and closed where the head is refused.
        data: what came.

    Returns:
        The head, once it is whole; what follows it is held by the client. None where it is not, or is refused.
    """
    server, reader = client.server, client.reader
    if reader is None:
        limits = server.limits
        reader = client.reader = RequestReader(limits.head_bytes, limits.target_bytes, limits.head_fields)
    try:
        head = reader.feed(data)
        if head is not None:
            parsed = parse_request(head, server.limits.request_body_bytes)
    except ProtocolError as error:
        client.refuse_unread(Refused(error.code, error.sentence))
        return None
    if head is None:
        if client.is_ended:
            client.close()
        elif not client.is_timed and reader.is_begun:
            client.is_timed = True
            server.timers.expect(client, server.limits.head_seconds)
        return None
    client.held = reader.rest
    if head.method == "CONNECT" and not client.is_timed and not client.held:
        server.parsed_requests.keep(data, parsed)
    client.is_timed = False
    return parsed


def _credentials(head: RequestHead) -> bytes | None:
    """Take what the client shows of itself. It goes no further than to the identifier."""
    found = None
    for lower, _, value in head.fields.special:
        if lower == b"proxy-authorization":
            if found is not None:
                raise ProtocolError("bad_head", "There is more than one Proxy-Authorization field.")
            found = value
    return found


def _check_expectation(head: RequestHead) -> None:
    """Refuse expectations that nobody can meet (RFC 9110 section 10.1.1)."""
    for value in head.fields.values(b"expect"):
        if value.lower() != b"100-continue":
            raise ProtocolError("expectation_failed", "The expectation is not known here.")
