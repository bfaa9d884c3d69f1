"""The audit log with an observer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.audit.tee import Tee
from egress.interfaces import IAuditSink
from egress.model import AuditEvent
from egress.testing.audit_log import MemoryAuditLog
from tests.api.events import make_event


class TeeTests(SynchronousTestCase):
    """Both receive events, and the audit log decides."""

    def setUp(self) -> None:
        self.audit_log = MemoryAuditLog()
        self.heard: list[AuditEvent] = []
        self.tee = Tee(self.audit_log, self.heard.append)

    def test_both_hear(self) -> None:
        """Each event reaches the audit log and the observer."""
        verifyObject(IAuditSink, self.tee)
        record = make_event()

        self.tee.record(record)

        self.assertEqual([record], self.audit_log.records)
        self.assertEqual([record], self.heard)

    def test_audit_log_decides(self) -> None:
        """Only the audit log decides whether events are accepted, and it alone is flushed."""
        self.assertTrue(self.tee.is_accepting)

        self.audit_log.is_accepting = False

        self.assertFalse(self.tee.is_accepting)
        self.successResultOf(self.tee.flush())
