"""Hands each record to the journal, and to whoever else counts it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from egress.interfaces import IAuditSink
from egress.model import AuditRecord


@implementer(IAuditSink)
@define(eq=False)
class Tee:
    """The journal, with one listener beside it. Only the journal decides whether requests are served.

    Attributes:
        journal: keeps the record.
        beside: hears of each record first; it does not block and does not raise.
    """

    journal: IAuditSink
    beside: Callable[[AuditRecord], None]
    _keep: Callable[[AuditRecord], None] = field(init=False)

    @_keep.default
    def _find_keep(self) -> Callable[[AuditRecord], None]:
        return self.journal.record

    @property
    def is_accepting(self) -> bool:
        """Whether the journal takes records. See `IAuditSink`."""
        return self.journal.is_accepting

    def record(self, record: AuditRecord) -> None:
        """Hand one record on. See `IAuditSink.record`."""
        self.beside(record)
        self._keep(record)

    def flush(self) -> Deferred[None]:
        """Have the journal write. See `IAuditSink.flush`."""
        return self.journal.flush()
