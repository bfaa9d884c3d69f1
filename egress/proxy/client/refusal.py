"""Refusals without a transaction: no request could be read, or no client could be identified."""

from __future__ import annotations

from egress.errors import Refused
from egress.model import Authority, Request
from egress.proxy.audit_events import build_event
from egress.proxy.refusals import is_failure
from egress.proxy.roles import AuditSubject, TunnelClient
from egress.proxy.server import ProxyServer


def refuse(
    server: ProxyServer,
    client: TunnelClient,
    refused: Refused,
    request: Request | None = None,
    *,
    keep_alive: bool = False,
    has_body: bool = True,
) -> None:
    """Write the response to a refusal, and record it. The caller ends or keeps the connection.

    Args:
        server: the server, which records the refusal.
        client: the connection.
        refused: the refusal.
        request: the request; None where no request could be read.
        keep_alive: whether the response announces that the connection stays open.
        has_body: whether the response has a body.
    """
    request_id = server.request_id() if request is None else request.id
    client.write_refusal(refused, request_id, keep_alive=keep_alive, has_body=has_body)
    if request is not None and is_failure(refused):
        record(server, client, "end", "failed", request, refused, refused.status)
    else:
        record(server, client, "refused", "refused", request, refused, refused.status, request_id)


def refuse_head(
    server: ProxyServer, client: TunnelClient, refused: Refused, method: str = "", authority: Authority | None = None
) -> None:
    """Write the response to the refusal of a head, and record it with as much of the request as was read.

    Args:
        server: records.
        client: the connection.
        refused: why.
        method: of the request, where its target was read; else "".
        authority: the destination in the target; None where none was read.
    """
    request = None
    # A request without a destination has no method in the log either, and its answer has a body.
    has_body = authority is None or method != "HEAD"
    if authority is not None:
        request_form, listener = "connect" if method == "CONNECT" else "http", client.connection.listener
        request_id, begun = server.request_id(), server.clock.seconds()
        request = Request(request_id, request_form, method, authority, None, client.by_facts, listener, begun)
    refuse(server, client, refused, request, has_body=has_body)


def record(
    server: ProxyServer,
    subject: AuditSubject,
    event: str,
    cause: str,
    request: Request | None,
    refused: Refused | None = None,
    status: int = 0,
    request_id: str = "",
) -> None:
    """Record the end of a request without a transaction. See `build_event`."""
    server.audit_log.record(build_event(event, server, subject, request, cause, refused, status, request_id=request_id))
