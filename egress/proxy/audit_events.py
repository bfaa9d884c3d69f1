"""The one builder of audit events about requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from egress.errors import Refused
from egress.model import Admission, AuditEvent, Client, Phases, Request
from egress.proxy.roles import AuditSubject


class TimeSource(Protocol):
    """The server, as far as an event needs it."""

    @property
    def now(self) -> Callable[[], float]:
        """Gives the seconds since the epoch."""

    @property
    def clock(self) -> IReactorTime:
        """The clock that `Request.begun` is of."""


class Progress(Protocol):
    """What a transaction adds to its audit events."""

    admission: Admission | None
    dialled: str
    server_name: str | None
    up: int
    down: int
    response_source: str


def build_event(
    event: str,
    time: TimeSource,
    subject: AuditSubject,
    request: Request | None,
    cause: str,
    refused: Refused | None = None,
    status: int = 0,
    request_id: str = "",
    progress: Progress | None = None,
    request_form: str = "",
    client: Client | None = None,
) -> AuditEvent:
    """Build an event.

    Args:
        event: "end", "open" or "refused".
        time: the server.
        subject: the client connection.
        request: None where no request could be read, or the proxy answered by itself.
        cause: what ended the request, one of `egress.errors.CAUSES`; "" while it lives on.
        refused: the refusal or failure, if any.
        status: of the response to the client; 0 for none.
        request_id: the id in the response, where there is no request.
        progress: what became of an admitted request.
        request_form: where there is no request.
        client: where there is no request and the facts of the connection alone do not tell the client.
    """
    if request is None:
        client, phases, duration_ms = client or subject.by_facts, Phases(), 0.0
    else:
        client, request_form, phases = request.client, request.request_form, request.phases
        duration_ms = (time.clock.seconds() - request.begun) * 1000.0
        if event == "open":
            # The phases so far: the request's own change until its end.
            phases = Phases(phases.judge, phases.resolve, phases.dial, phases.wait)
    made = AuditEvent(
        event,
        time.now(),
        request,
        client,
        subject.connection,
        subject.connection_id,
        request_form,
        refused=refused,
        status=status,
        phases=phases,
        duration_ms=duration_ms,
        cause=cause,
        request_id=request_id,
    )
    if progress is not None:
        made.admission, made.response_source = progress.admission, progress.response_source
        made.dialled, made.server_name = progress.dialled, progress.server_name
        made.client_bytes, made.server_bytes = progress.up, progress.down
    return made
