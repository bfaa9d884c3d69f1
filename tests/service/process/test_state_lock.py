"""One supervisor uses a state directory at a time."""

from __future__ import annotations

import os
import stat

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.process.state_lock import LOCK_NAME, StateLock


class StateLockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = os.path.abspath(self.mktemp())

    def lock(self) -> StateLock:
        """Lock the directory until the end of the test."""
        lock = StateLock(self.state)
        lock.acquire()
        self.addCleanup(lock.release)
        return lock

    def test_second(self) -> None:
        """A second supervisor is told what to do, until the first one has ended."""
        first = self.lock()

        error = self.assertRaises(ConfigError, self.lock)

        self.assertEqual("state", error.where)
        self.assertIn(f"another egress uses the state directory {self.state}", error.problem)
        self.assertIn("by `state` in its file, or by $EGRESS_STATE if no file sets it", error.problem)
        first.release()
        self.lock()
        first.release()

    def test_new_directory(self) -> None:
        """A missing directory is made for its owner only."""
        self.lock()

        self.assertEqual(0o700, stat.S_IMODE(os.stat(self.state).st_mode))
        self.assertEqual(0o600, stat.S_IMODE(os.stat(os.path.join(self.state, LOCK_NAME)).st_mode))

    def test_no_directory(self) -> None:
        """Where nothing can be written nothing is shared, and nothing is locked."""
        for state in ("/proc/none", os.path.join(self.state, "x" * 300)):
            StateLock(state).acquire()
            StateLock(state).acquire()

    def test_unusable(self) -> None:
        """What is no lock in its place stops the start."""
        os.makedirs(os.path.join(self.state, LOCK_NAME))

        error = self.assertRaises(ConfigError, self.lock)

        self.assertEqual(f"{self.state}/lock cannot be locked: Is a directory", error.problem)
