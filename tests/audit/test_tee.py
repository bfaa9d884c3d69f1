"""The journal with a listener beside it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.audit.tee import Tee
from egress.interfaces import IAuditSink
from egress.model import AuditRecord
from egress.testing.audit_log import MemoryJournal
from tests.api.events import make_record


class TeeTests(SynchronousTestCase):
    """Both hear, and one decides."""

    def setUp(self) -> None:
        self.journal = MemoryJournal()
        self.heard: list[AuditRecord] = []
        self.tee = Tee(self.journal, self.heard.append)

    def test_both_hear(self) -> None:
        """Each record reaches the journal and its listener."""
        verifyObject(IAuditSink, self.tee)
        record = make_record()

        self.tee.record(record)

        self.assertEqual([record], self.journal.records)
        self.assertEqual([record], self.heard)

    def test_journal_decides(self) -> None:
        """Whether records are taken is the journal's affair, and so is writing them."""
        self.assertTrue(self.tee.is_accepting)

        self.journal.is_accepting = False

        self.assertFalse(self.tee.is_accepting)
        self.successResultOf(self.tee.flush())
