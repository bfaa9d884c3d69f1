"""Counts the requests of one kind, and formats the line that says how many there were."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted

from attrs import define, evolve

from egress.audit.encoder import METHOD_LIMIT, LineEncoder
from egress.audit.timestamps import TimestampFormat
from egress.errors import Refused
from egress.model import AuditEvent, Client, Connection, Phases

OTHER_CLIENTS = Client("(other)")
"""The client of lines that count requests of several clients."""

_OTHER_DESTINATIONS = "Requests of one client that were not admitted for one reason, to further destinations."
_OTHER = "Requests that were not admitted, of clients or for reasons beyond the bounds of the audit log."


@define(eq=False)
class Repeated:
    """Requests that one line counts.

    Attributes:
        event: the last of them, without what the others do not have in common with it.
        count: their number.
        first_request_id: the id of the first of them.
        first_timestamp: the time of the first of them.
    """

    event: AuditEvent
    count: int
    first_request_id: str
    first_timestamp: float

    def encode(self, encoder: LineEncoder, stamp: TimestampFormat) -> bytes:
        """Format the line.

        Args:
            encoder: formats the fields that every line about a request has.
            stamp: formats the time.
        """
        first_id = quoted(self.first_request_id) if self.first_request_id else "null"
        more = f',"count":{self.count},"first_request_id":{first_id}'
        return encoder.encode(self.event)[:-1] + (
            f'{more},"first_timestamp":"{stamp.format(self.first_timestamp)}"}}'.encode("ascii")
        )


@define(eq=False)
class Fold:
    """The requests of one kind that are counted.

    Attributes:
        sample: the event of the first one, without what is its own.
        line_bytes: the expected length of the line.
        is_kept: whether the fold stays for another interval even if nothing is counted.
        count: requests since the last line.
    """

    sample: AuditEvent
    line_bytes: int
    is_kept: bool = True
    count: int = 0
    first_request_id: str = ""
    first_timestamp: float = 0.0
    last: tuple[str, float, Connection, str] | None = None

    def add(self, event: AuditEvent) -> None:
        """Count one request."""
        request = event.request
        request_id = event.request_id if request is None else request.id
        if not self.count:
            self.first_request_id, self.first_timestamp = request_id, event.timestamp
        self.count += 1
        self.last = request_id, event.timestamp, event.connection, event.connection_id

    def merge(self, other: Fold) -> None:
        """Count the requests of another fold, which is empty afterwards."""
        if not self.count or other.first_timestamp < self.first_timestamp:
            self.first_request_id, self.first_timestamp = other.first_request_id, other.first_timestamp
        if self.last is None or not self.count or (other.last is not None and other.last[1] >= self.last[1]):
            self.last = other.last
        self.count += other.count
        other.count = 0

    def take(self) -> Repeated:
        """Return what was counted, and begin anew."""
        assert self.last is not None
        sample, (request_id, timestamp, connection, connection_id) = self.sample, self.last
        event = evolve(
            sample, event="repeated", timestamp=timestamp, connection_id=connection_id, request_id=request_id
        )
        if sample.request is not None:
            event.request = evolve(sample.request, id=request_id)
        if sample.client is not OTHER_CLIENTS:
            event.connection = connection
        repeated = Repeated(event, self.count, self.first_request_id, self.first_timestamp)
        self.count, self.is_kept = 0, True
        return repeated


def without_path(event: AuditEvent) -> AuditEvent:
    """Return an event without path and times, which keeps little memory."""
    request, refused = event.request, event.refused
    if request is not None:
        # A method is as long as the client likes.
        request = evolve(request, path=None, method=request.method[: METHOD_LIMIT + 1], phases=Phases())
    if refused is not None:
        # The copy has no traceback, which would keep the frames of the connection.
        refused = evolve(refused)
    return evolve(event, request=request, refused=refused, phases=Phases(), duration_ms=-1.0)


def without_destination(event: AuditEvent) -> AuditEvent:
    refused = event.refused
    if refused is not None:
        refused = evolve(refused, reason=_OTHER_DESTINATIONS, detail="", verdicts=())
    form = event.request_form if event.request is None else event.request.request_form
    return evolve(event, request=None, request_form=form, refused=refused, phases=Phases(), duration_ms=-1.0)


def without_client(event: AuditEvent, code: str) -> AuditEvent:
    refused = Refused(code, _OTHER) if code else None
    return evolve(
        event,
        request=None,
        request_form="",
        refused=refused,
        client=OTHER_CLIENTS,
        connection=Connection("", "", 0),
        phases=Phases(),
        duration_ms=-1.0,
    )
