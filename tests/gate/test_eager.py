"""Eager execution of generator coroutines: synchronous unless a step must wait."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from egress.gate.eager import Steps, is_pending, run_eagerly


def add(*terms: int | Deferred[int]) -> Steps[int]:
    """Add up what the terms yield."""
    total = 0
    for term in terms:
        total += yield term
    return total


def caught(step: Deferred[int]) -> Steps[str]:
    """Catch what a step fails with, and go on with another one."""
    try:
        yield step
    except KeyError as error:
        word = yield "caught"
        return f"{word} {error}"
    return "nothing"


class RunTests(SynchronousTestCase):
    """`run_eagerly` and `is_pending`."""

    def test_values(self) -> None:
        """A generator that yields no Deferred gives its result, not a Deferred of it."""
        result = run_eagerly(add(1, 2))

        self.assertEqual(3, result)
        self.assertFalse(is_pending(result))

    def test_raises(self) -> None:
        """What it raises before the first Deferred is raised."""

        def fail() -> Steps[None]:
            yield 1
            raise KeyError("no")

        with self.assertRaises(KeyError):
            run_eagerly(fail())

    def test_waits(self) -> None:
        """From the first Deferred on it is a Deferred, and values and further Deferreds may follow."""
        first: Deferred[int] = Deferred()
        last: Deferred[int] = Deferred()

        result = run_eagerly(add(1, first, 2, last))

        assert is_pending(result)
        first.callback(10)
        self.assertNoResult(result)
        last.callback(20)
        self.assertEqual(33, self.successResultOf(result))

    def test_fired_already(self) -> None:
        """The result after a Deferred that has fired is there at once."""
        result = run_eagerly(add(1, succeed(2)))

        assert is_pending(result)
        self.assertEqual(3, self.successResultOf(result))

    def test_failure_is_raised_in_the_generator(self) -> None:
        """A failure is raised where the Deferred was yielded, and the generator may go on."""
        step: Deferred[int] = Deferred()
        result = run_eagerly(caught(step))
        assert is_pending(result)

        step.errback(KeyError("word"))

        self.assertEqual("caught 'word'", self.successResultOf(result))

    def test_uncaught_failure(self) -> None:
        """A failure that the generator does not catch is that of the result."""
        step: Deferred[int] = Deferred()
        result = run_eagerly(caught(step))
        assert is_pending(result)

        step.errback(ValueError("other"))

        self.failureResultOf(result, ValueError)

    def test_cancel(self) -> None:
        """Cancelling the result cancels the Deferred that is waited for."""
        cancelled: list[Deferred[int]] = []
        result = run_eagerly(add(1, Deferred(cancelled.append)))
        assert is_pending(result)

        result.cancel()

        self.assertEqual(1, len(cancelled))
        self.failureResultOf(result, CancelledError)
