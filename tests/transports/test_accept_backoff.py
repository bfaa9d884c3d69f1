"""Listeners pause while no connection can be accepted."""

from __future__ import annotations

import errno
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from egress.transports.accept_backoff import PAUSE_SECONDS, AcceptBackoff


class AcceptBackoffTests(SynchronousTestCase):
    """One listener's back-off."""

    def setUp(self) -> None:
        """Make one, and note what it does."""
        self.clock = Clock()
        self.done: list[str] = []
        self.logged: list[LogEvent] = []
        self.backoff = AcceptBackoff(self.clock, lambda: self.done.append("stop"), lambda: self.done.append("restart"))
        observer = cast(ILogObserver, self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def fail(self, number: int = errno.EMFILE) -> bool:  # type: ignore[override]
        """Let accept(2) fail."""
        return self.backoff.pause(OSError(number, "no"))

    def test_exhausted(self) -> None:
        """A listener stops once, and restarts after a while."""
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            self.assertTrue(self.fail(number))
        self.assertEqual((["stop"], 1), (self.done, self.backoff.pauses))

        self.clock.advance(PAUSE_SECONDS)
        self.assertEqual(["stop", "restart"], self.done)
        self.fail()
        self.assertEqual((["stop", "restart", "stop"], 2), (self.done, self.backoff.pauses))

    def test_other_error(self) -> None:
        """An error of one connection pauses nothing."""
        self.assertFalse(self.fail(errno.ECONNABORTED))

        self.assertEqual(([], 0), (self.done, self.backoff.pauses))

    def test_log(self) -> None:
        """The log has one line a minute."""
        for _ in range(5):
            self.fail()
            self.clock.advance(PAUSE_SECONDS)
        self.assertEqual(1, len(self.logged))

        self.clock.advance(60)
        self.fail()
        self.assertEqual(2, len(self.logged))

    def test_cancel(self) -> None:
        """A listener that is closed is not restarted."""
        self.fail()
        self.backoff.cancel()
        self.backoff.cancel()
        self.clock.advance(60)

        self.assertEqual(["stop"], self.done)
