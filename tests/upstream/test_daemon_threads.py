"""Functions that block, in daemon threads."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ResolverFailed
from egress.upstream.daemon_threads import DaemonThreads


class DaemonThreadsTests(SynchronousTestCase):
    """`DaemonThreads`, whose results the test delivers."""

    def setUp(self) -> None:
        self.results: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self.threads = DaemonThreads(self, 2)
        self.threads.start()
        self.addCleanup(self.threads.stop)

    def callFromThread(self, *call: Any) -> None:
        """Take a result."""
        self.results.put(call)

    def deliver(self) -> None:
        """Wait for a result, and deliver it."""
        call, *arguments = self.results.get(timeout=60)
        call(*arguments)

    def test_results(self) -> None:
        """A result and a failure arrive; the work was done elsewhere."""
        result = self.threads.run(threading.get_ident)
        self.deliver()
        failure = self.threads.run(lambda: 1 // 0)
        self.deliver()

        self.assertNotEqual(threading.get_ident(), self.successResultOf(result))
        self.failureResultOf(failure, ZeroDivisionError)

    def test_limit(self) -> None:
        """So many functions run at a time, and no more; a cancelled one counts until it returns."""
        gate = threading.Event()
        self.addCleanup(gate.set)
        waiting = [self.threads.run(gate.wait) for _ in range(5)]
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.assertEqual(2, self.threads._count)

        gate.set()
        for _ in range(5):
            self.deliver()

        self.assertTrue(all(map(self.successResultOf, waiting[1:])))

    def test_stopped(self) -> None:
        """Functions in progress fail at once; what they do does not delay the end."""
        gate = threading.Event()
        self.addCleanup(gate.set)
        running = self.threads.run(gate.wait)

        self.threads.stop()

        self.failureResultOf(running, ResolverFailed)
        self.failureResultOf(self.threads.run(gate.wait), ResolverFailed)
