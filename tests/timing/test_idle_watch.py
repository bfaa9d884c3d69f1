"""Detection of an unchanged counter."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.timing.idle_watch import IdleWatch


class IdleWatchTests(SynchronousTestCase):
    """Visits at times of the test's own."""

    def test_idle(self) -> None:
        """While the counter stands still, the time since the first visit with that value grows."""
        watch = IdleWatch(10, 100.0)

        self.assertEqual([0.0, 5.0, 8.5], [watch.idle_seconds(10, now) for now in (100.0, 105.0, 108.5)])

    def test_moved(self) -> None:
        """A counter that has moved begins again, however little it moved."""
        watch = IdleWatch(10, 100.0)

        self.assertEqual(0.0, watch.idle_seconds(11, 190.0))
        self.assertEqual(10.0, watch.idle_seconds(11, 200.0))

    def test_nothing_ever(self) -> None:
        """A counter that never left zero is idle from the beginning."""
        self.assertEqual(30.0, IdleWatch(0, 1.0).idle_seconds(0, 31.0))
