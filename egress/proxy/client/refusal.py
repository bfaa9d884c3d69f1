"""Answers and records what ends before it has a transaction: no request could be read, or nobody could be named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from egress.errors import Refused
from egress.model import AuditEvent, Request
from egress.proxy import error_responses as answers
from egress.proxy.transaction import is_failure

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection


def refuse(
    client: ClientConnection,
    refused: Refused,
    request: Request | None = None,
    *,
    keep_alive: bool = False,
    has_body: bool = True,
) -> None:
    """Answer with a refusal, and record it. What becomes of the connection is the caller's matter.

    Args:
        client: the connection.
        refused: why.
        request: what was asked for, as far as it could be read.
        keep_alive: what the answer says of the connection.
        has_body: the answer has one.
    """
    request_id = client.server.request_id() if request is None else request.id
    client.send(answers.refusal(refused, request_id, keep_alive=keep_alive, has_body=has_body))
    if request is not None and is_failure(refused):
        record(client, "end", "failed", request, refused, refused.status)
    else:
        record(client, "refused", "refused", request, refused, refused.status, request_id)


def record(
    client: ClientConnection,
    kind: str,
    cause: str,
    request: Request | None,
    refused: Refused | None = None,
    status: int = 0,
    request_id: str = "",
) -> None:
    """Write the record of such an end; see `AuditEvent`.

    Args:
        client: the connection. Without a request, its facts alone say whose it is.
        kind: "end" or "refused".
        cause: what ended it.
        request: what was asked for.
        refused: the refusal, if there is one.
        status: of the answer; 0 for none.
        request_id: what the answer called it, where there is no request.
    """
    server = client.server
    server.audit_log.record(
        AuditEvent(
            kind,
            server.now(),
            request,
            client.by_facts if request is None else request.client,
            client.connection,
            client.connection_id,
            "" if request is None else request.request_form,
            refused=refused,
            status=status,
            duration_ms=0.0 if request is None else (server.clock.seconds() - request.begun) * 1000.0,
            cause=cause,
            request_id=request_id,
        )
    )
