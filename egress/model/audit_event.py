"""What is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from egress.model.clients import Client, Connection
from egress.model.requests import Phases, Request
from egress.model.routes import Admission

if TYPE_CHECKING:
    from egress.errors import Refused


@define(eq=False)
class AuditEvent:
    """What happened to one request. It refers to its request and admission, and is formatted later, in a batch.

    Attributes:
        kind: "end" when it is over, "open" for a tunnel that lives on, "refused".
        time: seconds since the epoch.
        request: None where no request could be read.
        client: who asked.
        connection: what it came on.
        connection_id: unique among all connections of this supervisor.
        request_form: "http" or "connect"; "" where nothing could be read.
        admission: None where it was not admitted.
        refused: the refusal, where it was refused or failed.
        status: of the answer that the client got; 0 for none.
        dialled: the address dialled, or "".
        server_name: the ClientHello's name in a tunnel: None where there was no ClientHello, "" where it had no name.
        bytes_up: of the content or tunnel, client to origin, heads not counted.
        bytes_down: the other way.
        phases: where the time went; those of the request where there is one.
        total_ms: from the head's end to the end.
        cause: what ended it, one of `egress.errors.CAUSES`.
        request_id: what the answer called it, where there is no request; else the request's id counts.
    """

    kind: str
    time: float
    request: Request | None
    client: Client
    connection: Connection
    connection_id: str
    request_form: str = ""
    admission: Admission | None = None
    refused: Refused | None = None
    status: int = 0
    dialled: str = ""
    server_name: str | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    phases: Phases = field(factory=Phases)
    total_ms: float = 0.0
    cause: str = ""
    request_id: str = ""
