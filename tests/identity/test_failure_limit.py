"""The limit of wrong credentials."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.identity import FailureLimit


class FailuresTests(SynchronousTestCase):
    """So many at once, and then so many a minute."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.failures = FailureLimit(self.clock, per_minute=6, capacity=2)

    def test_burst_and_pace(self) -> None:
        """After six failures there is room for one every ten seconds."""
        for _ in range(6):
            self.assertEqual(0.0, self.failures.wait_seconds("a"))
            self.failures.add("a")

        self.assertEqual(0.0, self.failures.room("a"))
        self.assertEqual(10.0, self.failures.wait_seconds("a"))
        self.clock.advance(4)
        self.assertAlmostEqual(6.0, self.failures.wait_seconds("a"))
        self.clock.advance(6)
        self.assertAlmostEqual(0.0, self.failures.wait_seconds("a"))
        self.failures.add("a")
        self.assertAlmostEqual(10.0, self.failures.wait_seconds("a"))

    def test_peers_are_told_apart(self) -> None:
        """One peer's failures are not another's."""
        self.failures.add("a")

        self.assertEqual((5.0, 6.0), (self.failures.room("a"), self.failures.room("b")))

    def test_all_is_forgotten(self) -> None:
        """After a minute without failures nothing is kept."""
        for _ in range(6):
            self.failures.add("a")
        self.clock.advance(60)

        self.assertEqual(6.0, self.failures.room("a"))
        self.assertEqual({}, self.failures._levels)

    def test_memory_is_bounded(self) -> None:
        """Whoever has not failed for the longest time is forgotten first."""
        for peer in ("a", "b", "a", "c"):
            self.failures.add(peer)

        self.assertEqual(["a", "c"], list(self.failures._levels))
        self.assertEqual(6.0, self.failures.room("b"))

    def test_limit_is_at_least_one(self) -> None:
        """No room at all is a mistake."""
        with self.assertRaises(ValueError):
            FailureLimit(self.clock, per_minute=0)
