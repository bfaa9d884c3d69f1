"""Hands each record to the audit log, and to whoever else counts it."""

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
    """The audit log, with one listener beside it. Only the audit log decides whether requests are served.

    Attributes:
        audit_log: keeps the record.
        beside: hears of each record first; it does not block and does not raise.
    """

    audit_log: IAuditSink
    beside: Callable[[AuditEvent], None]
    _keep: Callable[[AuditEvent], None] = field(init=False)

    @_keep.default
    def _find_keep(self) -> Callable[[AuditEvent], None]:
        return self.audit_log.record

    @property
    def is_accepting(self) -> bool:
        """Whether the audit log takes records. See `IAuditSink`."""
        return self.audit_log.is_accepting

    def record(self, record: AuditEvent) -> None:
        """Hand one record on. See `IAuditSink.record`."""
        self.beside(record)
        self._keep(record)

    def flush(self) -> Deferred[None]:
        """Have the audit log write. See `IAuditSink.flush`."""
        return self.audit_log.flush()
