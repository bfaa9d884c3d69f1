"""Times as the audit log writes them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.audit.timestamps import TimestampFormat
from tests.audit.fakes import EPOCH


class StampTests(SynchronousTestCase):
    """`TimestampFormat`."""

    def test_backwards(self) -> None:
        """A clock that is set back is followed."""
        stamp = TimestampFormat()

        texts = [stamp.format(time) for time in (EPOCH, EPOCH - 60, EPOCH + 0.5)]

        self.assertEqual(
            ["2026-09-21T14:13:20.250000Z", "2026-09-21T14:12:20.250000Z", "2026-09-21T14:13:20.750000Z"], texts
        )
