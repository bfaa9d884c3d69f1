"""Heads as they are sent on (RFC 9110 section 7.6, RFC 9112 sections 3.2 and 7).

Nothing that concerns one connection only is passed on, and what says where a message ends is written anew from how it
was read, so that the next reader cannot read it differently.
"""

from __future__ import annotations

from egress.errors import ProtocolError
from egress.wire.framing import Framing, Kind
from egress.wire.head import RequestHead, ResponseHead
from egress.wire.target import Target

# Proxy-* goes as a whole, by its prefix: an origin must not get the credentials meant for a proxy, nor ask for them.
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
# Connection options that name nothing which would otherwise be passed on: the common case needs no second look.
_HARMLESS_OPTIONS = _HOP_BY_HOP - {b"transfer-encoding", b"content-length"} | {b"close", b"proxy-connection"}
_FRAMING_OPTIONS = frozenset([b"host", b"transfer-encoding", b"content-length"])
_PROXY_OPTIONS = frozenset([b"via", b"max-forwards"])
_NOTHING: frozenset[bytes] = frozenset()

_VIA_11 = b"Via: 1.1 egress\r\n"
_VIA_10 = b"Via: 1.0 egress\r\n"
_VIA_11_END = _VIA_11 + b"\r\n"
_VIA_10_END = _VIA_10 + b"\r\n"
_COUNTED_METHODS = frozenset(["OPTIONS", "TRACE"])
_DIGITS = 18


def request_onward(
    head: RequestHead,
    target: Target,
    framing: Framing,
    *,
    upgrade: bytes | None = None,
    is_absolute: bool = False,
    authorization: bytes | None = None,
) -> bytes:
    """Write the head that goes to an origin, or to an upstream proxy.

    Args:
        head: as the client sent it.
        target: its target, read; not the asterisk form, which goes nowhere.
        framing: of its body.
        upgrade: the protocol to ask the origin for, such as b"websocket", where an Upgrade is to be passed on.
        is_absolute: it goes to a proxy, in absolute form (RFC 9112 section 3.2.2), else in origin form.
        authorization: what the proxy is sent as Proxy-Authorization (RFC 9110 section 11.7.2).

    Returns:
        The head with its blank line.

    Raises:
        ProtocolError: bad_framing: Connection names Host or a framing field. bad_head: Connection names Via or
            Max-Forwards, or a TRACE or OPTIONS request has a Max-Forwards that is not one number above zero (one with
            zero is to be answered by the proxy: see `forwards_left`).
        ValueError: the target is in asterisk form.
    """
    if target.authority is None:
        raise ValueError("a request for the proxy itself is not sent on")
    fields = head.fields
    kind = framing.kind
    onward, host, method = target.onward, target.host, head.method.encode("ascii")
    end = _VIA_11_END if head.is_http11 else _VIA_10_END
    if is_absolute:
        # `OPTIONS *` of the origin is the absolute form without a path (RFC 9112 section 3.2.4).
        onward = b"http://" + host + (onward if onward != b"*" else b"")
    elif fields.is_plain and kind is Kind.NONE and upgrade is None and authorization is None:
        return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b" % (method, onward, host, fields.ordinary, end)
    ordinary, named = fields.ordinary, _NOTHING
    if fields.options and not fields.options <= _HARMLESS_OPTIONS:
        named = _named_by_request(fields.options)
        ordinary = fields.ordinary_without(named)
    out = [b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (method, onward, host, ordinary)]
    if authorization is not None:
        out.append(b"Proxy-Authorization: %b\r\n" % authorization)
    has_trailers = False
    if not fields.is_plain:
        left = forwards_left(head)
        if left == 0:
            raise ProtocolError("bad_head", "Max-Forwards is used up: the request goes no further")
        for lower, name, value in fields.special:
            if lower == b"te":
                has_trailers = has_trailers or (head.is_http11 and _has_trailers(value))
            elif lower in named:
                continue
            elif lower == b"expect":
                # RFC 9110 section 10.1.1: from HTTP/1.0 it is ignored, for such a client does not know a 100.
                if head.is_http11 and value.lower() == b"100-continue":
                    out.append(b"Expect: 100-continue\r\n")
            elif lower == b"max-forwards":
                out.append(b"%b: %b\r\n" % (name, value if left is None else b"%d" % (left - 1)))
    if kind is Kind.LENGTH:
        out.append(b"Content-Length: %d\r\n" % framing.length)
    elif kind is Kind.CHUNKED:
        out.append(b"Transfer-Encoding: chunked\r\n")
    if upgrade is not None:
        out.append(b"Connection: %bUpgrade\r\nUpgrade: %b\r\n" % (b"TE, " if has_trailers else b"", upgrade))
    elif has_trailers:
        out.append(b"Connection: TE\r\n")
    if has_trailers:
        out.append(b"TE: trailers\r\n")
    out.append(end)
    return b"".join(out)


def check_options(head: RequestHead) -> None:
    """Judge what Connection names, before anything is dialled for it.

    Raises:
        ProtocolError: see `request_onward`.
    """
    options = head.fields.options
    if options and not options <= _HARMLESS_OPTIONS:
        _named_by_request(options)


def forwards_left(head: RequestHead) -> int | None:
    """Read Max-Forwards (RFC 9110 section 7.6.2), which counts for TRACE and OPTIONS only.

    Returns:
        How many more proxies the request may pass; with 0 the proxy answers it itself. None where nothing is said.

    Raises:
        ProtocolError: bad_head: it is no number, or there are two.
    """
    if head.method not in _COUNTED_METHODS:
        return None
    values = head.fields.values(b"max-forwards")
    if not values:
        return None
    if len(values) > 1 or not _is_count(values[0]):
        raise ProtocolError("bad_head", "Max-Forwards is not one plain number")
    return int(values[0])


def response_onward(
    head: ResponseHead, framing: Framing, *, is_http11: bool, keep_alive: bool, upgrade: bytes | None = None
) -> bytes:
    """Write the head that goes to the client.

    Args:
        head: as the origin sent it.
        framing: of its body. What a client of HTTP/1.0 gets of a chunked body is its content alone.
        is_http11: the client speaks HTTP/1.1, else HTTP/1.0.
        keep_alive: the client's connection is to stay open. Where only the connection's end can tell the body's, the
            client is told that it closes, whatever this says.
        upgrade: the protocol that a 101 changes to.

    Returns:
        The head with its blank line.
    """
    status = head.status
    kind = framing.kind
    fields = head.fields
    ordinary, named = fields.ordinary, _NOTHING
    if fields.options and not fields.options <= _HARMLESS_OPTIONS:
        # RFC 9110 section 7.6.1: what Connection names goes. Framing and Via are written below, whatever it names.
        named = fields.options
        ordinary = fields.ordinary_without(named)
    passed = framed = connection = b""
    for lower, name, value in fields.special:
        if lower not in _HOP_BY_HOP and lower[:6] != b"proxy-" and lower not in named:
            passed += b"%b: %b\r\n" % (name, value)
    if kind is Kind.LENGTH:
        framed = b"Content-Length: %d\r\n" % framing.length
    elif kind is Kind.CHUNKED:
        if is_http11:
            framed = b"Transfer-Encoding: chunked\r\n"
    elif kind is Kind.NONE and status >= 200 and status != 204:
        # RFC 9110 section 8.6: in answers to HEAD and in 304 it is the length that a GET would have had.
        lengths = fields.values(b"content-length")
        if len(lengths) == 1 and _is_count(lengths[0]):
            framed = b"Content-Length: %b\r\n" % lengths[0]
    if upgrade is not None:
        connection = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade
    elif status >= 200:
        if not keep_alive or kind is Kind.CLOSE or (kind is Kind.CHUNKED and not is_http11):
            connection = b"Connection: close\r\n"
        elif not is_http11:
            connection = b"Connection: keep-alive\r\n"
    via = _VIA_11 if head.is_http11 else _VIA_10
    return b"HTTP/1.1 %d %b\r\n%b%b%b%b%b\r\n" % (status, head.reason, ordinary, passed, framed, via, connection)


def _named_by_request(options: frozenset[bytes]) -> frozenset[bytes]:
    """Say which fields a client's Connection removes, or refuse it.

    RFC 9110 section 7.6.1 has every named field removed, even one meant for all recipients, which a sender must not
    name. So Authorization, Cookie, Content-Type, Cache-Control or Expect go when they are named: the client could as
    well have left them out, no policy reads them, and keeping them would break the rule. Not so the fields that this
    proxy itself acts on: to remove Host or the framing would contradict what was judged and read (they are written anew
    in any case), to remove Via or Max-Forwards would defeat the guards against loops (sections 7.6.2 and 7.6.3).
    """
    if not options.isdisjoint(_FRAMING_OPTIONS):
        raise ProtocolError("bad_framing", "Connection names Host, Content-Length or Transfer-Encoding")
    if not options.isdisjoint(_PROXY_OPTIONS):
        raise ProtocolError("bad_head", "Connection names Via or Max-Forwards")
    return options


def _has_trailers(value: bytes) -> bool:
    return any(member.strip(b" \t").lower() == b"trailers" for member in value.split(b","))


def _is_count(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _DIGITS
