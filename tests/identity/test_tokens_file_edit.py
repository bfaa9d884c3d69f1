"""Adding lines to a tokens file."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.identity.tokens_file_edit import add_line
from tests.identity.support import OTHER_TOKEN, QUICK, generated_line

ONE = generated_line("ci")
TWO = generated_line("ci", OTHER_TOKEN)


class AdditionTests(SynchronousTestCase):
    """Nothing that is there is lost."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def add(self, line: str = TWO) -> int:
        """Add a line."""
        return add_line(str(self.path), "ci", line.rstrip())

    def test_new_file(self) -> None:
        """A file that is not there is made for its owner only."""
        self.assertEqual(1, self.add())

        self.assertEqual(TWO, self.path.read_text())
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def test_more_lines(self) -> None:
        """They come after those that are there, whether the last one has its end or not; the file stays as it is."""
        for before, after in ((f"# a\n{ONE}", f"# a\n{ONE}{TWO}"), (ONE.rstrip(), ONE + TWO)):
            self.path.write_text(before)
            self.path.chmod(0o640)

            self.assertEqual(2, self.add())

            self.assertEqual(after, self.path.read_text())
            self.assertEqual(0o640, stat.S_IMODE(self.path.stat().st_mode))

    def test_what_cannot_be_added_to(self) -> None:
        """A file that the proxy would not take, as it is or with the line, stays as it is."""
        for before, mode, line, words in (
            ("hunter2", 0o600, TWO, "line 1: is not `name:hash`"),
            (ONE, 0o602, TWO, "can be written by every user"),
            (ONE, 0o644, f"ci:{QUICK}", "readable by every user"),
            (ONE, 0o600, ONE, "line 2: has a token that another line has already"),
            (f"ci:{QUICK}\n" * 4, 0o600, f"ci:{QUICK}", "line 5"),
            (("#" * 99 + "\n") * 10_485 + "#", 0o600, TWO, "longer than"),
        ):
            self.path.write_text(before)
            self.path.chmod(mode)

            with self.assertRaises(ConfigError) as caught:
                self.add(line)

            self.assertIn(words, str(caught.exception))
            self.assertTrue(str(caught.exception).startswith(str(self.path)))
            self.assertEqual(before, self.path.read_text())

    def test_what_is_no_file(self) -> None:
        """A directory, a place that is not there, and a name that is none."""
        for path in ("/", str(self.path / "in" / "it"), "a\0b"):
            with self.assertRaises(ConfigError):
                add_line(path, "ci", TWO)
