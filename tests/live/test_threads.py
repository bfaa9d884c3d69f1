"""Work in threads beside a real reactor."""

from __future__ import annotations

from queue import SimpleQueue
from threading import current_thread, main_thread
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from egress.identity import Threads
from egress.identity.chosen_secrets import ScryptHash
from tests.identity.support import QUICK, SECRET


class ThreadsTests(TestCase):
    """Jobs and their results."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.threads = Threads(reactor)  # type: ignore[arg-type]  # it has callFromThread; the stub does not know

    def test_real_hash(self) -> Deferred[Any]:
        """A hash is computed elsewhere, and its result arrives here."""
        hashed = ScryptHash.parse(QUICK)
        assert hashed is not None
        seen: list[bool] = []

        def job() -> bool:
            seen.append(current_thread() is main_thread())
            return hashed.matches(SECRET)

        def check(result: bool) -> None:
            self.assertTrue(result)
            self.assertEqual([False], seen)
            self.assertIs(main_thread(), current_thread())

        return self.threads(job).addCallback(check)

    def test_failure(self) -> Deferred[Any]:
        """What a job raises arrives as well."""

        def job() -> bool:
            raise MemoryError("no memory")

        return self.assertFailure(self.threads(job), MemoryError)

    def test_given_up(self) -> None:
        """A result that nobody waits for any more is no error."""
        results: SimpleQueue[tuple[Any, ...]] = SimpleQueue()

        class Reactor:
            def callFromThread(self, *call: Any) -> None:
                results.put(call)

        given_up = Threads(Reactor())(lambda: True)
        given_up.cancel()
        tell, *arguments = results.get(timeout=60)

        tell(*arguments)

        self.failureResultOf(given_up, CancelledError)
