"""The queue of checks of chosen secrets."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import Refused
from egress.identity import FailureLimit, SecretChecks, Tokens
from tests.identity.support import Bench


class ChecksTests(SynchronousTestCase):
    """Few at a time, and the same one only once."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bench = Bench()
        self.failures = FailureLimit(self.clock, per_minute=4)
        self.checks = SecretChecks(self.bench, self.failures, concurrent=2, waiting=2)
        self.tokens = Tokens()

    def check(self, digest: bytes, peer: str = "peer", *, is_right: bool = False) -> Deferred[bool]:
        """Ask."""
        return self.checks.check(self.tokens, digest, peer, lambda: is_right)

    def refused(self, digest: bytes, peer: str = "peer") -> Refused:
        """Ask in vain."""
        with self.assertRaises(Refused) as caught:
            self.check(digest, peer)
        assert isinstance(caught.exception, Refused)
        return caught.exception

    def test_answers(self) -> None:
        """What is right is proven from then on; what is wrong is counted."""
        right, wrong = self.check(b"1", is_right=True), self.check(b"2")
        self.bench.work_all()

        self.assertEqual((True, False), (self.successResultOf(right), self.successResultOf(wrong)))
        self.assertEqual([b"1"], list(self.tokens.proven))
        self.assertEqual(3.0, self.failures.room("peer"))

    def test_two_at_a_time(self) -> None:
        """The others wait for their turn, in order."""
        waiting = [self.check(bytes([each]), str(each), is_right=True) for each in range(4)]

        self.assertEqual(2, len(self.bench.jobs))
        self.bench.work()
        self.assertEqual(2, len(self.bench.jobs))
        self.bench.work_all()
        self.assertEqual([True] * 4, [self.successResultOf(each) for each in waiting])

    def test_room_is_bounded(self) -> None:
        """Who finds no place to wait is told to come back."""
        for each in range(4):
            self.check(bytes([each]), str(each))

        refused = self.refused(b"x", "x")
        self.assertEqual(("busy", 1.0), (refused.code, refused.retry_seconds))
        self.bench.work()
        self.check(b"x", "x")

    def test_same_credentials_are_checked_once(self) -> None:
        """A client that opens many connections at once costs one check, and gets one failure for it."""
        waiting = [self.check(b"same") for _ in range(20)]
        self.bench.work_all()

        self.assertEqual(1, self.bench.done)
        self.assertEqual([False] * 20, [self.successResultOf(each) for each in waiting])
        self.assertEqual(3.0, self.failures.room("peer"))

    def test_each_peer_has_failed(self) -> None:
        """Who joins in the guess of another has guessed as well."""
        self.check(b"same", "a")
        self.check(b"same", "b")
        self.bench.work_all()

        self.assertEqual((3.0, 3.0), (self.failures.room("a"), self.failures.room("b")))

    def test_states_of_the_file_are_told_apart(self) -> None:
        """What was asked of the file as it was is no answer about the file as it is."""
        self.check(b"same", is_right=True)
        self.tokens = Tokens()
        now = self.check(b"same")
        self.bench.work_all()

        self.assertFalse(self.successResultOf(now))
        self.assertEqual({}, self.tokens.proven)

    def test_guesses_under_way_count(self) -> None:
        """Nobody gets more guesses by making them all at once."""
        self.checks.waiting = 100
        for each in range(4):
            self.check(bytes([each]))

        self.assertEqual(("too_many_failures", 1.0), (self.refused(b"x").code, self.refused(b"x").retry_seconds))
        self.bench.work_all()
        refused = self.refused(b"x")
        self.assertEqual(("too_many_failures", 15.0), (refused.code, refused.retry_seconds))
        self.assertEqual(4, self.bench.done)
        self.clock.advance(15)
        self.check(b"x")

    def test_right_ones_make_room_again(self) -> None:
        """What turns out to be right was no guess."""
        self.checks.waiting = 100
        for each in range(4):
            self.check(bytes([each]), is_right=True)
        self.bench.work_all()

        self.assertEqual(4.0, self.failures.room("peer"))
        self.check(b"x")

    def test_leaving_before_the_turn(self) -> None:
        """Who leaves before it was begun has cost nothing and guessed nothing."""
        for each in range(2):
            self.check(bytes([each]), "other")
        gone = self.check(b"x")
        gone.cancel()
        self.bench.work_all()

        self.failureResultOf(gone, CancelledError)
        self.assertEqual(2, self.bench.done)
        self.assertEqual(4.0, self.failures.room("peer"))
        self.assertEqual({}, self.checks._under_way)
        self.assertEqual({}, self.checks._checks)

    def test_leaving_afterwards(self) -> None:
        """Who leaves while it runs has guessed all the same."""
        gone = self.check(b"x")
        gone.cancel()
        self.bench.work_all()

        self.failureResultOf(gone, CancelledError)
        self.assertEqual(3.0, self.failures.room("peer"))

    def test_one_leaves_and_another_waits(self) -> None:
        """One that leaves takes nobody's answer away."""
        for each in range(2):
            self.check(bytes([each]), "other")
        gone, stays = self.check(b"x", is_right=True), self.check(b"x", is_right=True)
        gone.cancel()
        self.bench.work_all()

        self.failureResultOf(gone, CancelledError)
        self.assertTrue(self.successResultOf(stays))

    def test_answer_that_makes_another_leave(self) -> None:
        """The first answer may be the end of who waits for the second."""
        first, second = self.check(b"x", is_right=True), self.check(b"x", is_right=True)
        first.addCallback(lambda _: second.cancel())
        self.bench.work_all()

        self.failureResultOf(second, CancelledError)

    def test_what_breaks(self) -> None:
        """A check that cannot be made is nobody's failure, and the next one is begun."""
        broken, following = self.check(b"x"), [self.check(b"1", "1"), self.check(b"2", "2")]
        self.bench.jobs.pop(0)[1].errback(MemoryError("no memory"))
        self.bench.work_all()

        refused = self.failureResultOf(broken, Refused).value
        self.assertEqual("internal_error", refused.code)
        self.assertEqual(4.0, self.failures.room("peer"))
        self.assertEqual([False, False], [self.successResultOf(each) for each in following])
        self.assertEqual(1, len(self.flushLoggedErrors(MemoryError)))

    def test_no_threads(self) -> None:
        """Where a check cannot even be begun, everyone who waits is told."""

        def refuse(job: object) -> Deferred[bool]:
            raise RuntimeError("can't start new thread")

        self.checks.run = refuse
        for each in range(3):
            self.failureResultOf(self.check(bytes([each])), Refused)
        self.assertEqual(3, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual(0, self.checks._running)
