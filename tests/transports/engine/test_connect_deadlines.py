"""Deadlines by a simulated clock."""

from __future__ import annotations

from attrs import define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.transports.engine.connect_deadlines import TICK_SECONDS, Deadlines


@define(eq=False)
class Wait:
    """Remembers when it was told."""

    clock: Clock
    told: float | None = None

    def expired(self) -> None:
        """The deadline passed."""
        self.told = self.clock.seconds()


class DeadlineTests(SynchronousTestCase):
    """Many deadlines, one timer."""

    def setUp(self) -> None:
        """Make some."""
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)

    def go(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([TICK_SECONDS / 2] * int(seconds / TICK_SECONDS * 2))

    def test_on_time(self) -> None:
        """Nobody is told early, nor more than two ticks late, and the timer ends with the last one."""
        waits = {seconds: Wait(self.clock) for seconds in (0.0, 0.01, 0.3, 1.0, 2.5)}
        for seconds, wait in waits.items():
            self.deadlines.add(wait, seconds)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.go(3.0)

        for seconds, wait in waits.items():
            assert wait.told is not None
            self.assertTrue(seconds <= wait.told <= seconds + 2 * TICK_SECONDS, (seconds, wait.told))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_removed(self) -> None:
        """A deadline that was taken back is not told, and taking it back once more does nothing."""
        wait, other = Wait(self.clock), Wait(self.clock)
        tick = self.deadlines.add(wait, 0.2)
        self.deadlines.add(other, 0.2)
        self.deadlines.remove(wait, tick)
        self.deadlines.remove(wait, tick)
        self.go(1.0)
        self.deadlines.remove(wait, tick)

        self.assertIsNone(wait.told)
        self.assertIsNotNone(other.told)

    def test_after_a_pause(self) -> None:
        """The timer begins again for the next deadline, and catches up with a clock that jumped."""
        first = Wait(self.clock)
        self.deadlines.add(first, 0.1)
        self.go(5.0)
        second, third = Wait(self.clock), Wait(self.clock)
        self.deadlines.add(second, 0.1)
        self.deadlines.add(third, 0.2)
        self.clock.advance(60.0)

        self.assertIsNotNone(second.told)
        self.assertIsNotNone(third.told)

    def test_stop(self) -> None:
        """After the end nobody is told, and no timer is left."""
        wait = Wait(self.clock)
        self.deadlines.add(wait, 0.1)
        self.deadlines.stop()
        self.deadlines.stop()
        self.go(1.0)

        self.assertIsNone(wait.told)
        self.assertEqual([], self.clock.getDelayedCalls())
