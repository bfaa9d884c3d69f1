"""Starts what serves a request: an exchange, a tunnel, or a response of the proxy itself."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from egress.errors import Refused
from egress.model import Client, Request
from egress.proxy.audit_events import build_event
from egress.proxy.client.connection import ClientConnection
from egress.proxy.client.identification import PendingIdentification, ask
from egress.proxy.client.refusal import record
from egress.proxy.exchange import Exchange
from egress.proxy.http1.client_stream import Http1ClientStream
from egress.proxy.http1.own_responses import options_response, trace_response
from egress.proxy.http1.request_parsing import SENSITIVE, ParsedRequest
from egress.proxy.refusals import loop
from egress.proxy.tunnel.setup import TunnelSetup
from egress.wire.framing import Framing, Kind
from egress.wire.request_head import RequestHead
from egress.wire.user_information import without_user_information


def dispatch(client: ClientConnection, parsed: ParsedRequest) -> None:
    """Start what serves a request, once its client is identified."""
    caller: Client | Deferred[Client] | Refused
    if client.settled_by is client.server.identifier:
        caller = client.by_facts
    else:
        caller = ask(client, parsed.credentials)
    # Not by isinstance: that is slow to say no for Deferred, which has an abstract base class.
    if type(caller) is Client and (caller is client.client or client.server.connections.move(client, caller) is None):
        if parsed.is_own:
            _answer(client, parsed)
        else:
            _serve(client, parsed, _request(client, parsed, caller))
        return
    head = parsed.head
    request = None if parsed.is_own and not parsed.is_loop else _request(client, parsed, client.by_facts)

    def proceed() -> None:
        if request is None or parsed.is_loop:
            _answer(client, parsed)
        else:
            _serve(client, parsed, request)

    PendingIdentification(client, head, parsed.framing, request, proceed).begin(caller)


def _request(client: ClientConnection, parsed: ParsedRequest, caller: Client) -> Request:
    """Make what is judged."""
    target = parsed.target
    assert target.authority is not None, "only the asterisk form has no authority"
    server = client.server
    return Request(
        server.request_id(),
        "connect" if target.form == "authority" else "http",
        parsed.head.method,
        target.authority,
        target.path,
        caller,
        client.connection.listener,
        server.clock.seconds(),
        target.is_path_ambiguous,
        parsed.head.fields.overrides,
    )


def _serve(client: ClientConnection, parsed: ParsedRequest, request: Request) -> None:
    """Start the exchange or the tunnel of a request whose client is identified."""
    head = parsed.head
    if request.request_form == "connect":
        TunnelSetup(client.server, client, request, head).begin()
        return
    upgrade = None if head.fields.is_plain else _upgrade(head, parsed.framing)
    Exchange(client.server, Http1ClientStream(client, parsed), request, parsed, upgrade).begin()


def _upgrade(head: RequestHead, framing: Framing) -> bytes | None:
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


def _answer(client: ClientConnection, parsed: ParsedRequest) -> None:
    """Answer for ourselves: `OPTIONS *`, or a request that may be forwarded no further."""
    head, framing = parsed.head, parsed.framing
    if parsed.is_loop:
        refused, request = loop(), _request(client, parsed, client.client)
        client.write_refusal(refused, request.id, keep_alive=False, has_body=head.method != "HEAD")
        record(client.server, client, "refused", "refused", request, refused, refused.status)
        client.finished(keep_alive=False, is_read=False)
        return
    keep_alive = head.is_persistent and framing.kind is Kind.NONE and client.can_continue
    if head.method == "TRACE":
        lines = [b"TRACE " + without_user_information(head.target) + (b" HTTP/1.1" if head.is_http11 else b" HTTP/1.0")]
        for lower, name, value in head.fields.all():
            if lower not in SENSITIVE:
                lines.append(name + b": " + (value.rpartition(b"@")[2] if lower == b"host" else value))
        answer = trace_response(b"\r\n".join([*lines, b"", b""]), keep_alive=keep_alive)
        status = 200
    else:
        answer = options_response(keep_alive=keep_alive)
        status = 204
    client.send(answer)
    server = client.server
    server.audit_log.record(
        build_event(
            "end",
            server,
            client,
            None,
            "complete",
            status=status,
            request_id=server.request_id(),
            request_form="http",
            client=client.client,
        )
    )
    client.finished(keep_alive=keep_alive, is_read=framing.kind is Kind.NONE)
