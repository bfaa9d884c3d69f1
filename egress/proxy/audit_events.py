"""The only builder of audit events about requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from egress.errors import Refused
from egress.model import Admission, AuditEvent, Client, HelloFacts, Phases, Request
from egress.proxy.roles import AuditSubject


class TimeSource(Protocol):
    """The part of the server that an event needs."""

    @property
    def now(self) -> Callable[[], float]:
        """Returns the time of day in seconds since the epoch."""

    @property
    def clock(self) -> IReactorTime:
        """The clock of `Request.begun`."""


class Progress(Protocol):
    """The part of an audit event that a transaction supplies."""

    admission: Admission | None
    dialled: str
    hello: HelloFacts | None
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
        time: the source of the time, which is the server.
        subject: the client connection.
        request: the request; None where no request could be read, or the proxy itself responded.
        cause: the cause of the request's end, one of `egress.errors.CAUSES`; "" while the request continues.
        refused: the refusal or failure; None without one.
        status: the status of the response to the client; 0 for no response.
        request_id: the id in the response, where there is no request.
        progress: the progress of an admitted request.
        request_form: the request form, where there is no request.
        client: the client, where there is no request and the facts of the connection alone do not identify the client.
    """
    if request is None:
        client, phases, duration_ms = client or subject.by_facts, Phases(), 0.0
    else:
        client, request_form, phases = request.client, request.request_form, request.phases
        duration_ms = (time.clock.seconds() - request.begun) * 1000.0
        if event == "open":
            # A copy of the phases so far, because the request's phases change until its end.
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
        made.dialled, made.hello = progress.dialled, progress.hello
        made.client_bytes, made.server_bytes = progress.up, progress.down
    return made
