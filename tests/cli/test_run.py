"""The page of `egress run`."""

from __future__ import annotations

import os

import click
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import run
from egress.cli.run import KEPT_RUNS, command
from egress.contain.view import HIDDEN, PRIVATE
from egress.service.process.state_lock import StateLock
from tests.documents import DOCS

PAGE = " ".join((DOCS / "how-to" / "contain-a-command.md").read_text("utf-8").split())


class PageTests(SynchronousTestCase):
    """The page lists what the code has."""

    def test_options(self) -> None:
        """Every option of the command."""
        names = [each.opts[0] for each in command.params if isinstance(each, click.Option)]

        self.assertEqual(5, len(names))
        for name in names:
            self.assertIn(f"`{name} ", PAGE)

    def test_kept_runs(self) -> None:
        """The number of launches that are kept."""
        self.assertIn(f"the last {KEPT_RUNS} launches", PAGE)

    def test_directories(self) -> None:
        """Every directory that is hidden or private."""
        for path in (*HIDDEN, *PRIVATE):
            self.assertIn(f"`{path}`", PAGE)


class StateTests(SynchronousTestCase):
    """The directories of launches."""

    def test_oldest_are_removed(self) -> None:
        """The newest are kept, and one whose supervisor still uses it."""
        state = self.mktemp()
        self.patch(run, "KEPT_RUNS", 3)
        self.patch(run, "state_directory", lambda: state)
        for name in ("0-used", "1", "2", "3"):
            os.makedirs(os.path.join(state, "runs", name))
        lock = StateLock(os.path.join(state, "runs", "0-used"))
        lock.acquire()
        self.addCleanup(lock.release)

        made = run._make_state()

        kept = {"0-used", "2", "3", os.path.basename(made)}
        self.assertEqual(kept, set(os.listdir(os.path.join(state, "runs"))))
        self.assertEqual(0o700, os.stat(made).st_mode & 0o777)
