"""Deadlines on a simulated clock."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.timing.timer_wheel import TimerWheel

TICK = 0.25


@define(eq=False)
class Timed:
    """An entry that notes when it expired, and may act then."""

    clock: Clock
    act: Callable[[], object] | None = None
    expired_at: float | None = None
    due: int = 0
    visit: int = 0

    def expired(self) -> None:
        """Note it."""
        self.expired_at = self.clock.seconds()
        if self.act is not None:
            self.act()


class TimerWheelCase(SynchronousTestCase):
    """A wheel of sixteen slots: a revolution takes four seconds."""

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock, TICK, 16)
        self.wheel.start()

    def make(self, act: Callable[[], object] | None = None) -> Timed:
        """Make an entry."""
        return Timed(self.clock, act)

    def go(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([TICK / 2] * int(seconds / TICK * 2))


class DeadlineTests(TimerWheelCase):
    """When entries expire."""

    def test_on_time(self) -> None:
        """No entry expires early, or more than two ticks late, however far its deadline is off."""
        entries = {seconds: self.make() for seconds in (0.0, 0.01, 0.3, 1.0, 3.9, 4.0, 4.1, 30.0)}
        for seconds, entry in entries.items():
            self.wheel.expect(entry, seconds)
        self.go(40)

        for seconds, entry in entries.items():
            assert entry.expired_at is not None, seconds
            self.assertTrue(seconds <= entry.expired_at <= seconds + 2 * TICK, (seconds, entry.expired_at))

    def test_postponed_and_advanced(self) -> None:
        """The last deadline counts, whether it is later or earlier than the one before."""
        later, sooner = self.make(), self.make()
        self.wheel.expect(later, 1)
        self.wheel.expect(later, 6)
        self.wheel.expect(sooner, 6)
        self.wheel.expect(sooner, 1)
        self.go(20)

        assert later.expired_at is not None and sooner.expired_at is not None
        self.assertTrue(6 <= later.expired_at <= 6.5)
        self.assertTrue(1 <= sooner.expired_at <= 1.5)

    def test_cleared(self) -> None:
        """An entry whose deadline was cleared does not expire, but may get another."""
        quiet, again = self.make(), self.make()
        for entry in (quiet, again):
            self.wheel.expect(entry, 2)
            self.wheel.clear(entry)
        self.wheel.expect(again, 3)
        self.go(10)

        self.assertIsNone(quiet.expired_at)
        assert again.expired_at is not None
        self.assertTrue(3 <= again.expired_at <= 3.5)

    def test_forgotten(self) -> None:
        """An entry that was removed does not expire; to remove it once more does nothing."""
        entry, other = self.make(), self.make()
        self.wheel.expect(entry, 1)
        self.wheel.expect(other, 1)
        self.wheel.forget(entry)
        self.wheel.forget(entry)
        self.go(3)
        self.wheel.forget(entry)

        self.assertIsNone(entry.expired_at)
        self.assertIsNotNone(other.expired_at)

    def test_clock_that_jumps(self) -> None:
        """Everything that has become due expires in order."""
        order: list[int] = []
        for number, seconds in enumerate((1.0, 2.0, 9.0)):
            self.wheel.expect(self.make(lambda number=number: order.append(number)), seconds)  # type: ignore[misc]
        self.clock.advance(60)

        self.assertEqual([0, 1, 2], order)

    @given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("esfg"), st.floats(0, 20)), max_size=40))
    def test_like_single_deadlines(self, steps: list[tuple[int, str, float]]) -> None:
        """Whatever is done, each entry expires as if it had a timer of its own: in time, or not at all."""
        clock = Clock()
        wheel = TimerWheel(clock, TICK, 16)
        wheel.start()
        entries = [Timed(clock) for _ in range(4)]
        deadlines: list[float | None] = [None] * 4

        def check() -> None:
            for index, entry in enumerate(entries):
                deadline = deadlines[index]
                if entry.expired_at is not None:
                    self.assertIsNotNone(deadline)
                    assert deadline is not None
                    # A step of this test is half a tick.
                    self.assertTrue(deadline - 1e-6 <= entry.expired_at <= deadline + 2.5 * TICK + 1e-6)
                    entry.expired_at = deadlines[index] = None
                elif deadline is not None:
                    self.assertTrue(clock.seconds() <= deadline + 2.5 * TICK + 1e-6)

        for index, kind, seconds in steps:
            entry = entries[index]
            if kind in "es":
                wheel.expect(entry, seconds)
                deadlines[index] = clock.seconds() + seconds
            elif kind == "f":
                wheel.forget(entry)
                deadlines[index] = None
            for _ in range(int(seconds / TICK * 2) if kind == "g" else 1):
                clock.advance(TICK / 2)
                check()


class CallbackTests(TimerWheelCase):
    """What entries may do when they expire."""

    def test_failure(self) -> None:
        """One that fails takes no other with it."""
        broken, fine = self.make(lambda: 1 / 0), self.make()
        self.wheel.expect(broken, 1)
        self.wheel.expect(fine, 1)
        self.go(2)

        self.assertIsNotNone(fine.expired_at)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_another_is_forgotten(self) -> None:
        """One may remove or postpone another one that is due at the same time."""
        gone, late = self.make(), self.make()

        def act() -> None:
            self.wheel.forget(gone)
            self.wheel.expect(late, 2)

        first = self.make(act)
        for entry in (first, gone, late):
            self.wheel.expect(entry, 1)
        self.go(2)
        self.assertIsNone(late.expired_at)
        self.go(2)

        self.assertIsNone(gone.expired_at)
        self.assertIsNotNone(late.expired_at)

    def test_again(self) -> None:
        """One may set its next deadline."""
        entry = self.make()
        entry.act = lambda: self.wheel.expect(entry, 3)
        self.wheel.expect(entry, 1)
        self.go(2)
        self.assertTrue(entry.due)
        entry.expired_at = None
        self.go(3)

        self.assertIsNotNone(entry.expired_at)

    def test_stop(self) -> None:
        """One may stop the wheel."""
        entry, other = self.make(self.wheel.stop), self.make()
        self.wheel.expect(entry, 1)
        self.wheel.expect(other, 2)
        self.go(5)

        self.assertIsNone(other.expired_at)
        self.assertEqual([], self.clock.getDelayedCalls())


class ClockTests(TimerWheelCase):
    """When the wheel uses the clock."""

    def test_empty(self) -> None:
        """An empty wheel has no delayed call, and one with entries has one."""
        self.assertEqual([], self.clock.getDelayedCalls())
        for _ in range(3):
            self.wheel.expect(self.make(), 1)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.go(3)
        self.assertEqual([], self.clock.getDelayedCalls())

        entry = self.make()
        self.wheel.expect(entry, 1)
        self.go(2)
        self.assertIsNotNone(entry.expired_at)

    def test_stopped(self) -> None:
        """A wheel that is stopped tells nobody, and has no delayed call."""
        entry = self.make()
        self.wheel.expect(entry, 1)
        self.wheel.stop()
        self.wheel.stop()
        self.wheel.expect(self.make(), 1)
        self.go(5)

        self.assertIsNone(entry.expired_at)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_started_late(self) -> None:
        """What was set before the start counts from the start."""
        wheel = TimerWheel(self.clock, TICK, 16)
        entry = self.make()
        wheel.expect(entry, 1)
        self.go(5)
        self.assertIsNone(entry.expired_at)
        wheel.start()
        self.go(2)

        self.assertIsNotNone(entry.expired_at)
