"""The framing of a message: where its body ends, decided from its head (RFC 9112 section 6, RFC 9110 section 8.6).

Two readers that disagree about the end of a message can be used to smuggle a request past a policy. Ambiguous framing
is therefore refused, in requests and in responses.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define

from egress.errors import ProtocolError

if TYPE_CHECKING:
    from egress.wire.fields import Fields
    from egress.wire.request_head import RequestHead
    from egress.wire.response_head import ResponseHead

# 10**18 - 1 octets fit into the signed 64 bits that other implementations count with.
_LENGTH_DIGITS = 18


class Kind(Enum):
    """How the end of a body is determined."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"

    # Members are singletons; hashing by identity is faster.
    __hash__ = object.__hash__


@define
class Framing:
    """The framing of one message.

    Attributes:
        kind: how the end of the body is determined.
        length: the octets of content where `kind` is LENGTH, else 0.
    """

    kind: Kind
    length: int = 0


NO_BODY = Framing(Kind.NONE)
CHUNKED = Framing(Kind.CHUNKED)
UNTIL_CLOSE = Framing(Kind.CLOSE)


def request_framing(head: RequestHead) -> Framing:
    """Decide how the body of a request is framed.

    Args:
        head: a request head that was read strictly.

    Returns:
        NONE, LENGTH or CHUNKED. `Content-Length: 0` gives LENGTH with length 0, so that it can be passed on.

    Raises:
        ProtocolError: bad_framing. Both Content-Length and Transfer-Encoding, either of them twice, a length that is
            not 1 to 18 digits, a coding other than exactly `chunked`, Transfer-Encoding in HTTP/1.0, content in a
            TRACE request (RFC 9110 section 9.3.8), or content in a CONNECT request: its tunnel begins at the end of the
            head (RFC 9110 section 9.3.6), and a reader that obeys the field would let it begin elsewhere.
    """
    lengths, codings = _find(head.fields)
    if not lengths and not codings:
        return NO_BODY
    if head.method == "CONNECT":
        if codings or lengths != [b"0"]:
            raise ProtocolError("bad_framing", "a CONNECT request has no content")
        return NO_BODY
    framing = _framing("bad_framing", lengths, codings, head.is_http11)
    if head.method == "TRACE" and (framing.kind is Kind.CHUNKED or framing.length):
        raise ProtocolError("bad_framing", "a TRACE request has no content")
    return framing


def response_framing(head: ResponseHead, method: str) -> Framing:
    """Decide how the body of a response is framed (RFC 9112 section 6.3).

    A response to HEAD, and any 1xx, 204 or 304, has no body whatever its fields say; octets that follow such a head are
    not part of the response. A successful response to CONNECT has no framing and must not be passed to this function.

    Args:
        head: a response head that was read strictly.
        method: the method of the request that the response answers.

    Returns:
        Any kind of framing; CLOSE where the head has no framing field.

    Raises:
        ProtocolError: origin_malformed, for the ambiguities that are bad_framing in a request. A length that is given
            several times is not ambiguous (RFC 9110 section 8.6).
    """
    framing = head.framing
    if framing is not None and method != "HEAD":
        # The fast path of a simple head.
        return framing
    status = head.status
    if method == "HEAD" or status < 200 or status == 204 or status == 304:
        return NO_BODY
    lengths, codings = _find(head.fields)
    if not lengths and not codings:
        return UNTIL_CLOSE
    return _framing("origin_malformed", distinct_lengths(lengths), codings, head.is_http11)


def distinct_lengths(values: list[bytes]) -> list[bytes]:
    """Return the lengths in the Content-Length fields of a response, each once (RFC 9110 section 8.6)."""
    return list(dict.fromkeys(value.strip(b" \t") for value in b",".join(values).split(b","))) if values else values


def _find(fields: Fields) -> tuple[list[bytes], list[bytes]]:
    """Return the values of Content-Length and of Transfer-Encoding."""
    lengths, codings = [], []
    for lower, _, value in fields.special:
        if lower == b"content-length":
            lengths.append(value)
        elif lower == b"transfer-encoding":
            codings.append(value)
    return lengths, codings


def _framing(code: str, lengths: list[bytes], codings: list[bytes], is_http11: bool) -> Framing:
    """Evaluate the framing fields, at least one of which is present."""
    if codings:
        if lengths:
            raise ProtocolError(code, "both Content-Length and Transfer-Encoding are given")
        if not is_http11:
            raise ProtocolError(code, "Transfer-Encoding is not part of HTTP/1.0")
        if len(codings) > 1:
            raise ProtocolError(code, "there is more than one Transfer-Encoding field")
        if codings[0].lower() != b"chunked":
            raise ProtocolError(code, "the only transfer coding understood is chunked, once")
        return CHUNKED
    if len(lengths) > 1:
        raise ProtocolError(code, "there is more than one Content-Length field")
    digits = lengths[0]
    # bytes.isdigit accepts only the ten ASCII digits. int alone would also accept signs, underscores and spaces.
    if not digits.isdigit() or len(digits) > _LENGTH_DIGITS:
        raise ProtocolError(code, "Content-Length is not a plain number of octets")
    return Framing(Kind.LENGTH, int(digits))
