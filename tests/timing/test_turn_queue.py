"""Interrupted work, in turns."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.timing.turn_queue import TURN_SECONDS, TurnQueue


class Work:
    """Work of some parts, each of which takes time and leaves a mark."""

    def __init__(self, clock: Clock, queue: TurnQueue, name: str, parts: int, seconds: float, done: list[str]) -> None:
        self.clock, self.queue, self.name, self.parts, self.seconds, self.done = (
            clock,
            queue,
            name,
            parts,
            seconds,
            done,
        )
        queue.add(self)

    def proceed(self) -> None:
        """Do one part."""
        self.done.append(self.name)
        self.clock.rightNow += self.seconds
        self.parts -= 1
        if self.parts:
            self.queue.add(self)


class TurnQueueTests(SynchronousTestCase):
    """Work is done in turns, each of which is short."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = TurnQueue(self.clock)
        self.done: list[str] = []

    def work(self, name: str, parts: int, seconds: float = 0.0) -> Work:
        """Queue work."""
        return Work(self.clock, self.queue, name, parts, seconds, self.done)

    def turn(self) -> str:
        """Take one turn, and give what was done in it."""
        self.done.clear()
        # Not `advance`, which makes the calls that these calls schedule as well.
        for call in cast(list[Any], self.clock.getDelayedCalls()):
            run = call.func
            call.cancel()
            run()
        return "".join(self.done)

    def test_nothing_at_once(self) -> None:
        """Work is done in a later turn, one part a turn, and nothing is scheduled when all is done."""
        self.work("a", 2)
        self.work("b", 1)

        self.assertEqual([], self.done)
        self.assertEqual(["ab", "a", ""], [self.turn() for _ in range(3)])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_costly_work(self) -> None:
        """A turn ends when its time is over; who was left out is the first in the next."""
        for name in "abcd":
            self.work(name, 2, TURN_SECONDS * 0.6)

        self.assertEqual(["ab", "cd", "ab", "cd", ""], [self.turn() for _ in range(5)])

    def test_removal(self) -> None:
        """Removed work is not done, also when other work removes it within a turn."""
        first, second = self.work("a", 1), self.work("b", 1)
        self.queue.remove(second)
        self.queue.remove(second)
        self.assertEqual("a", self.turn())

        third = self.work("c", 1)
        first.proceed = lambda: self.queue.remove(third)  # type: ignore[method-assign]
        self.queue.remove(third)
        self.queue.add(first)
        self.queue.add(third)
        self.assertEqual("", self.turn())

    def test_faulty_work(self) -> None:
        """Work that raises an exception does not keep other work from its turn."""
        first, _second = self.work("a", 1), self.work("b", 1)
        first.proceed = lambda: 1 / 0  # type: ignore[assignment, method-assign]

        self.assertRaises(ZeroDivisionError, self.turn)
        self.assertEqual("b", self.turn())
