"""Sends each audit event to the audit log and to an observer."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from egress.interfaces import IAuditSink
from egress.model import AuditEvent


@implementer(IAuditSink)
@define(eq=False)
class Tee:
    """An audit log with an observer. Only the audit log determines whether requests are served.

    Attributes:
        audit_log: the audit log that writes the events.
        observer: a function that is called with each event first, and neither blocks nor raises.
    """

    audit_log: IAuditSink
    observer: Callable[[AuditEvent], None]
    _record: Callable[[AuditEvent], None] = field(init=False)

    @_record.default
    def _bind_record(self) -> Callable[[AuditEvent], None]:
        return self.audit_log.record

    @property
    def is_accepting(self) -> bool:
        """Whether the audit log accepts events. See `IAuditSink`."""
        return self.audit_log.is_accepting

    def record(self, record: AuditEvent) -> None:
        """Pass one event on. See `IAuditSink.record`."""
        self.observer(record)
        self._record(record)

    def flush(self) -> Deferred[None]:
        """Flush the audit log. See `IAuditSink.flush`."""
        return self.audit_log.flush()
