"""An audit log in memory."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from egress.interfaces import IAuditSink
from egress.model import AuditEvent


@implementer(IAuditSink)
@define(eq=False)
class MemoryAuditLog:
    """Keeps every audit event in a list.

    Attributes:
        is_accepting: whether new requests are served; a test may set False.
        records: the recorded events, in order.
    """

    is_accepting: bool = True
    records: list[AuditEvent] = field(factory=list)

    def record(self, record: AuditEvent) -> None:
        """Keep one event. See `IAuditSink.record`."""
        self.records.append(record)

    def flush(self) -> Deferred[None]:
        """Fire at once: nothing is pending. See `IAuditSink.flush`."""
        return succeed(None)
