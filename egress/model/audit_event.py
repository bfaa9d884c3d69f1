"""The audit event: the content of one line of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from egress.model.clients import Client, Connection
from egress.model.requests import Phases, Request
from egress.model.routes import Admission

if TYPE_CHECKING:
    from egress.errors import Refused


@frozen
class HelloFacts:
    """What the ClientHellos of a tunnel say without encryption.

    Attributes:
        server_name: the server name of the first one; "" for none.
        has_ech: one of them has an encrypted ClientHello, or a decoy of one.
        retry_server_name: that of the second one, after a HelloRetryRequest; None without a second one.
    """

    server_name: str
    has_ech: bool = False
    retry_server_name: str | None = None


@define(eq=False)
class AuditEvent:
    """One event in the life of a request.

    An event refers to its request and admission. The audit log formats it later, in a batch, so an event must not
    change once it has been recorded.

    Attributes:
        event: "end" when the request is over, "open" for a tunnel that continues, "refused" for a refusal.
        timestamp: seconds since the epoch.
        request: the request; None where no request could be read.
        client: the client that sent the request.
        connection: the client connection of the request.
        connection_id: the id of the client connection, unique among all connections of this supervisor.
        request_form: "http" or "connect"; "" where no request could be read.
        admission: the gate's admission; None where the request was not admitted.
        refused: the refusal or failure; None where there was none.
        status: the HTTP status of the response that the client received; 0 for none.
        dialled: the network address that was dialled; "" for none.
        hello: the facts of the ClientHellos in a tunnel; None without one.
        client_bytes: the number of octets of content or tunnel that the client sent, without heads.
        server_bytes: the number of octets of content or tunnel that were sent to the client, without heads.
        phases: the durations of the request's phases.
        duration_ms: milliseconds from the end of the request's head to this event.
        cause: what ended the request, one of `egress.errors.CAUSES`; "" while a tunnel continues.
        response_source: the generator of the response that the client received: "egress", "origin", "upstream" or
            "unknown". Without meaning where `status` is 0.
        request_id: the id in the response, where no request could be read; otherwise the id of `request` applies.
    """

    event: str
    timestamp: float
    request: Request | None
    client: Client
    connection: Connection
    connection_id: str
    request_form: str = ""
    admission: Admission | None = None
    refused: Refused | None = None
    status: int = 0
    dialled: str = ""
    hello: HelloFacts | None = None
    client_bytes: int = 0
    server_bytes: int = 0
    phases: Phases = field(factory=Phases)
    duration_ms: float = 0.0
    cause: str = ""
    response_source: str = "egress"
    request_id: str = ""
