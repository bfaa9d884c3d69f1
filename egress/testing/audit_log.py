"""An audit log that keeps its records in a list."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from egress.interfaces import IAuditSink
from egress.model import AuditEvent


@implementer(IAuditSink)
@define(eq=False)
class MemoryAuditLog:
    """Takes every record, at once.

    Attributes:
        is_accepting: set it to False, and new requests are refused for want of a record.
        records: what was recorded, in order.
    """

    is_accepting: bool = True
    records: list[AuditEvent] = field(factory=list)

    def record(self, record: AuditEvent) -> None:
        """Keep one record. See `IAuditSink.record`."""
        self.records.append(record)

    def flush(self) -> Deferred[None]:
        """Have nothing to write. See `IAuditSink.flush`."""
        return succeed(None)
