"""The page of `egress run`."""

from __future__ import annotations

import click
from twisted.trial.unittest import SynchronousTestCase

from egress.cli.run import command
from egress.contain.view import HIDDEN, PRIVATE
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

    def test_directories(self) -> None:
        """Every directory that is hidden or private."""
        for path in (*HIDDEN, *PRIVATE):
            self.assertIn(f"`{path}`", PAGE)
