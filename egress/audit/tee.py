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
    """The audit log with an observer. Only the audit log decides whether requests are served.

    Attributes:
        audit_log: writes the events.
        observer: called with each event first; does not block and does not raise.
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
