"""Serializes heads that are forwarded (RFC 9110 section 7.6, RFC 9112 sections 3.2 and 7).

Hop-by-hop fields are removed. The framing fields are generated from the framing that was read, so that the recipient
cannot read another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from egress.errors import ProtocolError
from egress.wire.connection_authentication import PROXY_SUPPORT
from egress.wire.framing import Framing, Kind, distinct_lengths
from egress.wire.request_head import RequestHead
from egress.wire.response_head import ResponseHead
from egress.wire.target import Target
from egress.wire.via import Via

# Fields that begin with Proxy- are removed by their prefix: an origin must not receive or request proxy credentials.
_HOP_BY_HOP = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"te",
        b"upgrade",
        b"http2-settings",
        b"transfer-encoding",
        b"content-length",
    ]
)
# Connection options that name no field which would otherwise be forwarded.
_HARMLESS_OPTIONS = _HOP_BY_HOP - {b"transfer-encoding", b"content-length"} | {b"close", b"proxy-connection"}
_FRAMING_OPTIONS = frozenset([b"host", b"transfer-encoding", b"content-length"])
_PROXY_OPTIONS = frozenset([b"via", b"max-forwards"])
_NOTHING: frozenset[bytes] = frozenset()
_authorization_line = re.compile(rb"(?im)^authorization:").search
_date_line = re.compile(rb"(?im)^date:").search
# The usual spelling, which is found in a third of the time.
_usual_date_line = re.compile(rb"\nDate:").search

# Of responses, in which no loop is looked for.
_VIA_11 = b"Via: 1.1 egress\r\n"
_VIA_10 = b"Via: 1.0 egress\r\n"
_CLOSE_END = b"Connection: close\r\n\r\n"
_COUNTED_METHODS = frozenset(["OPTIONS", "TRACE"])
_DIGITS = 18


def serialize_request(
    head: RequestHead,
    target: Target,
    framing: Framing,
    via: Via,
    *,
    upgrade: bytes | None = None,
    is_absolute: bool = False,
    authorization: bytes | None = None,
) -> bytes:
    """Serialize a request head for an origin or an upstream proxy.

    Args:
        head: the head that the client sent.
        target: the parsed target; not in asterisk form, which is not forwarded. Its user information is sent where the
            client sends no Authorization.
        framing: the framing of the body.
        via: the Via of this proxy.
        upgrade: the protocol of the Upgrade field to send, such as b"websocket"; None for no such field.
        is_absolute: the target in absolute form, for a proxy (RFC 9112 section 3.2.2), else in origin form.
        authorization: the value of the Proxy-Authorization field for the proxy (RFC 9110 section 11.7.2).

    Returns:
        The head with its blank line.

    Raises:
        ProtocolError: bad_framing: Connection names Host or a framing field. bad_head: Connection names Via or
            Max-Forwards, or a TRACE or OPTIONS request has a Max-Forwards that is not one number above zero (the proxy
            itself answers a request with zero: see `max_forwards`).
        ValueError: the target is in asterisk form.
    """
    if target.authority is None:
        raise ValueError("a request for the proxy itself is not forwarded")
    fields = head.fields
    kind = framing.kind
    request_target, host, method = target.forward_target, target.host_field, head.method.encode("ascii")
    end = via.end_11 if head.is_http11 else via.end_10
    if is_absolute:
        # `OPTIONS *` of the origin is the absolute form without a path (RFC 9112 section 3.2.4).
        request_target = b"http://" + host + (request_target if request_target != b"*" else b"")
    elif (
        fields.is_plain
        and kind is Kind.NONE
        and upgrade is None
        and authorization is None
        and target.authorization is None
    ):
        # The fast path of a request without a body and without fields that need a decision.
        return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b" % (method, request_target, host, fields.ordinary, end)
    ordinary, named = fields.ordinary, _NOTHING
    if fields.options and not fields.options <= _HARMLESS_OPTIONS:
        named = _named_by_request(fields.options)
        ordinary = fields.ordinary_without(named)
    out = [b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (method, request_target, host, ordinary)]
    # RFC 9110 section 9.3.8: a TRACE request carries no credentials.
    if target.authorization is not None and head.method != "TRACE" and not _authorization_line(fields.ordinary):
        out.append(b"Authorization: %b\r\n" % target.authorization)
    if authorization is not None:
        out.append(b"Proxy-Authorization: %b\r\n" % authorization)
    if not fields.is_plain:
        left = max_forwards(head)
        if left == 0:
            raise ProtocolError("bad_head", "Max-Forwards is used up: the request goes no further")
        for lower, name, value in fields.special:
            if lower in named:
                continue
            if lower == b"expect":
                # RFC 9110 section 10.1.1: Expect is ignored in HTTP/1.0, because 100 (Continue) is not defined there.
                if head.is_http11 and value.lower() == b"100-continue":
                    out.append(b"Expect: 100-continue\r\n")
            elif lower == b"max-forwards":
                out.append(b"%b: %b\r\n" % (name, value if left is None else b"%d" % (left - 1)))
            elif lower == b"via":
                out.append(b"%b: %b\r\n" % (name, value))
    if kind is Kind.LENGTH:
        out.append(b"Content-Length: %d\r\n" % framing.length)
    elif kind is Kind.CHUNKED:
        out.append(b"Transfer-Encoding: chunked\r\n")
    if upgrade is not None:
        out.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade)
    out.append(end)
    return b"".join(out)


def check_connection_options(head: RequestHead) -> None:
    """Check the names in Connection, before a connection is made for the request.

    Raises:
        ProtocolError: see `serialize_request`.
    """
    options = head.fields.options
    if options and not options <= _HARMLESS_OPTIONS:
        _named_by_request(options)


def max_forwards(head: RequestHead) -> int | None:
    """Parse Max-Forwards (RFC 9110 section 7.6.2), which applies to TRACE and OPTIONS only.

    Returns:
        The number of further proxies that may forward the request; with 0 the proxy itself answers. None for no limit.

    Raises:
        ProtocolError: bad_head: the value is not a plain number, or the field is repeated.
    """
    if head.method not in _COUNTED_METHODS:
        return None
    values = head.fields.values(b"max-forwards")
    if not values:
        return None
    if len(values) > 1 or not _is_count(values[0]):
        raise ProtocolError("bad_head", "Max-Forwards is not one plain number")
    return int(values[0])


def serialize_response(
    head: ResponseHead,
    framing: Framing,
    *,
    is_http11: bool,
    keep_alive: bool,
    make_date: Callable[[], bytes],
    upgrade: bytes | None = None,
    is_bound: bool = False,
) -> bytes:
    """Serialize a response head for the client.

    Args:
        head: the head that the origin sent.
        framing: of the body. A client of HTTP/1.0 gets the content of a chunked body without the chunks.
        is_http11: the client speaks HTTP/1.1, else HTTP/1.0.
        keep_alive: the client's connection stays open. Where only the end of the connection can end the body, the
            head says `Connection: close` in any case.
        make_date: gives the line of the Date field for a final response without one (RFC 9110 section 6.6.1).
        upgrade: the protocol that a 101 changes to.
        is_bound: the connection to the origin is kept for this client, which may authenticate it (`PROXY_SUPPORT`).

    Returns:
        The head with its blank line.
    """
    if framing is head.framing and is_http11 and upgrade is None and not is_bound:
        # The fast path of a simple head.
        lines, end = head.forward_lines, b"\r\n" if keep_alive else _CLOSE_END
        if _usual_date_line(lines) or _date_line(lines):
            return lines + end
        return lines + make_date() + end
    return _serialize_response(head, framing, is_http11, keep_alive, make_date, upgrade, is_bound)


def _serialize_response(
    head: ResponseHead,
    framing: Framing,
    is_http11: bool,
    keep_alive: bool,
    make_date: Callable[[], bytes],
    upgrade: bytes | None,
    is_bound: bool = False,
) -> bytes:
    status = head.status
    kind = framing.kind
    fields = head.fields
    ordinary, named = fields.ordinary, _NOTHING
    if fields.options and not fields.options <= _HARMLESS_OPTIONS:
        # RFC 9110 section 7.6.1: the named fields are removed. Framing and Via are generated below in any case.
        named = fields.options
        ordinary = fields.ordinary_without(named)
    framed = connection = b""
    # Not one piece after the other: a head may have thousands of such lines.
    special = b"".join(
        b"%b: %b\r\n" % (name, value)
        for lower, name, value in fields.special
        if lower not in _HOP_BY_HOP and lower[:6] != b"proxy-" and lower not in named
    )
    if kind is Kind.LENGTH:
        framed = b"Content-Length: %d\r\n" % framing.length
    elif kind is Kind.CHUNKED:
        if is_http11:
            framed = b"Transfer-Encoding: chunked\r\n"
    elif kind is Kind.NONE and status >= 200 and status != 204:
        # RFC 9110 section 8.6: in a response to HEAD, and in a 304, the length that the response to a GET has.
        lengths = distinct_lengths(fields.values(b"content-length"))
        if len(lengths) == 1 and _is_count(lengths[0]):
            framed = b"Content-Length: %b\r\n" % lengths[0]
    if upgrade is not None:
        connection = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade
    elif status >= 200:
        if not keep_alive or kind is Kind.CLOSE or (kind is Kind.CHUNKED and not is_http11):
            connection = b"Connection: close\r\n"
        elif is_bound:
            kept = b"" if is_http11 else b"keep-alive, "
            connection = b"%bConnection: %bProxy-Support\r\n" % (PROXY_SUPPORT, kept)
        elif not is_http11:
            connection = b"Connection: keep-alive\r\n"
    via = _VIA_11 if head.is_http11 else _VIA_10
    date = make_date() if status >= 200 and not _date_line(ordinary) else b""
    lines = (ordinary, special, framed, via, date, connection)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, head.reason, b"".join(lines))


def _named_by_request(options: frozenset[bytes]) -> frozenset[bytes]:
    """Return the fields that a client's Connection removes, or refuse the request.

    RFC 9110 section 7.6.1 removes every named field, even one for all recipients, which a sender must not name.
    Authorization, Cookie, Content-Type, Cache-Control and Expect are therefore removed where they are named: the client
    could have omitted them, and no policy reads them. A request is refused where Connection names a field that the
    proxy acts on. Removing Host or the framing would contradict the admission and the body that was read. Removing Via
    or Max-Forwards would disable the protection against loops (sections 7.6.2 and 7.6.3).
    """
    if not options.isdisjoint(_FRAMING_OPTIONS):
        raise ProtocolError("bad_framing", "Connection names Host, Content-Length or Transfer-Encoding")
    if not options.isdisjoint(_PROXY_OPTIONS):
        raise ProtocolError("bad_head", "Connection names Via or Max-Forwards")
    return options


def _is_count(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _DIGITS
