"""How long nothing has moved."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.timing.idle_watch import IdleWatch


class IdleWatchTests(SynchronousTestCase):
    """The time without a change counts from the first look that found none."""

    def test_unchanged(self) -> None:
        """A counter that stays is idle since the beginning."""
        watch = IdleWatch(10.0, 5)

        self.assertEqual([2.0, 7.0], [watch.look(12.0, 5), watch.look(17.0, 5)])

    def test_changed(self) -> None:
        """A counter that changed between two looks is not idle, and counts from the look that saw the change."""
        watch = IdleWatch(10.0, 5)
        watch.look(20.0, 5)

        self.assertEqual([0.0, 3.0], [watch.look(30.0, 6), watch.look(33.0, 6)])
