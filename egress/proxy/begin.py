"""Decides what kind of work a request head is: an exchange, a tunnel, or an answer of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from egress.errors import ProtocolError, Refused
from egress.model import AuditRecord, Client, Request
from egress.proxy import answers
from egress.proxy.exchange import Exchange
from egress.proxy.identifying import Identifying
from egress.proxy.tunnel import Tunnel
from egress.wire.fields import has_more_than_host
from egress.wire.forward import check_options, forwards_left
from egress.wire.framing import Framing, Kind, request_framing
from egress.wire.head import RequestHead
from egress.wire.target import Target, parse_target

if TYPE_CHECKING:
    from egress.proxy.client import ClientProtocol

_log = Logger()

# Never reflected by TRACE (RFC 9110 section 9.3.8).
_SENSITIVE = frozenset((b"authorization", b"cookie", b"cookie2", b"proxy-authorization"))


def begin(client: ClientProtocol, head: RequestHead) -> None:
    """Make the work for a head and set it going."""
    door = client.door
    credentials = None
    try:
        target = parse_target(head.method, head.target)
        framing = request_framing(head)
        if framing.length > door.limits.request_body_bytes:
            raise ProtocolError("body_too_large", "The request body is longer than it may be.")
        forwards = None
        if has_more_than_host(head.fields):
            _check_expectation(head)
            check_options(head)
            forwards = forwards_left(head)
            credentials = _credentials(head)
    except ProtocolError as error:
        client.refuse_unread(Refused(error.code, error.sentence))
        return
    is_own = target.form == "asterisk" or forwards == 0
    caller: Client | Deferred[Client] | Refused
    try:
        # Asked each time: whoever looks at nothing but facts has the answer at hand, and a reload may have changed it.
        caller = door.identifier.identify(client.connection, credentials)
    except Refused as refused:
        caller = refused
    except Exception:
        _log.failure("identifying a client failed")
        caller = Refused("internal_error", "The proxy failed.")
    # Not by isinstance, which is slow to say no where the class has an abstract base, as Deferred has.
    if type(caller) is Client and (caller is client.client or door.recount(client, caller) is None):
        if is_own:
            _answer(client, head, framing)
        else:
            _serve(client, head, target, framing, _request(client, head, target, caller))
        return
    request = None if is_own else _request(client, head, target, client.by_facts)

    def proceed() -> None:
        if request is None:
            _answer(client, head, framing)
        else:
            _serve(client, head, target, framing, request)

    Identifying(client, head, framing, request, _is_kept(head), proceed).begin(caller)


def _request(client: ClientProtocol, head: RequestHead, target: Target, caller: Client) -> Request:
    """Make what is judged."""
    assert target.authority is not None, "only the asterisk form has no authority"
    door = client.door
    return Request(
        door.request_id(),
        "connect" if target.form == "authority" else "http",
        head.method,
        target.authority,
        target.path,
        caller,
        client.connection.listener,
        door.clock.seconds(),
        target.is_path_ambiguous,
    )


def _serve(client: ClientProtocol, head: RequestHead, target: Target, framing: Framing, request: Request) -> None:
    """Set the work going, now that it is known whose it is."""
    if request.front == "connect":
        Tunnel(client, request).begin()
    else:
        Exchange(client, request, head, target, framing, _is_kept(head), _upgrade(head, target, framing)).begin()


def _credentials(head: RequestHead) -> bytes | None:
    """Take what the client shows of itself (RFC 9110 section 11.7.2). It goes no further than to the identifier."""
    found = None
    for lower, _, value in head.fields.special:
        if lower == b"proxy-authorization":
            if found is not None:
                raise ProtocolError("bad_head", "There is more than one Proxy-Authorization field.")
            found = value
    return found


def _is_kept(head: RequestHead) -> bool:
    """Tell whether the client wants its connection to live on (RFC 9112 section 9.3)."""
    if b"close" in head.fields.options:
        return False
    return head.is_http11 or b"keep-alive" in head.fields.options


def _check_expectation(head: RequestHead) -> None:
    """Refuse expectations that nobody can meet (RFC 9110 section 10.1.1)."""
    for value in head.fields.values(b"expect"):
        if value.lower() != b"100-continue":
            raise ProtocolError("expectation_failed", "The expectation is not known here.")


def _upgrade(head: RequestHead, target: Target, framing: Framing) -> bytes | None:
    """Tell which protocol the client may change to.

    Only WebSocket is passed on. Any other, h2c above all, would be a connection on which further requests travel
    unjudged; the field is dropped and the request goes on without it, as RFC 9110 section 7.8 lets a recipient do.
    """
    if (
        b"upgrade" not in head.fields.options
        or head.method != "GET"
        or not head.is_http11
        or framing.kind is not Kind.NONE
    ):
        return None
    for value in head.fields.values(b"upgrade"):
        for token in value.split(b","):
            if token.strip(b" \t").lower() == b"websocket":
                return b"websocket"
    return None


def _answer(client: ClientProtocol, head: RequestHead, framing: Framing) -> None:
    """Answer for ourselves: `OPTIONS *`, or a request that may be forwarded no further."""
    keep_alive = _is_kept(head) and framing.kind is Kind.NONE and not client.door.is_stopping
    if head.method == "TRACE":
        lines = [b"TRACE " + head.target + (b" HTTP/1.1" if head.is_http11 else b" HTTP/1.0")]
        lines += [name + b": " + value for lower, name, value in head.fields.all() if lower not in _SENSITIVE]
        answer = answers.trace(b"\r\n".join([*lines, b"", b""]), keep_alive=keep_alive)
        status = 200
    else:
        answer = answers.options(keep_alive=keep_alive)
        status = 204
    client.send(answer)
    door = client.door
    door.journal.record(
        AuditRecord(
            "end",
            door.now(),
            None,
            client.client,
            client.connection,
            client.connection_id,
            "http",
            status=status,
            cause="complete",
            request_id=door.request_id(),
        )
    )
    client.finished(keep_alive=keep_alive, is_read=framing.kind is Kind.NONE)
