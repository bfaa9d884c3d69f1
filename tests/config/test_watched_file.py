"""Files that are read again after a change."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.config.files import Unusable, read_content, read_small
from egress.config.watched_file import WatchedFile
from egress.errors import ConfigError


def read_number(path: str) -> int:
    """Read a file that holds a number."""
    octets = read_small(path, 10, is_secret=False)
    if octets == b"":
        raise Unusable("is empty")
    try:
        return int(octets)
    except ValueError:
        raise ConfigError("line 1", "is no number", path) from None


class WatchedFileTests(SynchronousTestCase):
    """What a file holds now, or held when it was last good."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.clock = Clock()
        self.complaints: list[str] = []

    def write(self, text: str) -> None:
        """Put another file in its place, as a careful writer does."""
        fresh = Path(self.mktemp())
        fresh.write_text(text, "utf-8")
        fresh.replace(self.path)

    def watch(self) -> WatchedFile[int]:
        """Begin with the number 1."""
        self.write("1")
        return WatchedFile(str(self.path), self.clock, read_number, self.complaints.append)

    def test_changes_are_seen(self) -> None:
        """A changed file is read again, but it is not looked at more than once a second."""
        watched = self.watch()
        self.write("2")

        self.assertEqual(1, watched.current())
        self.clock.advance(1.0)
        self.assertEqual(2, watched.current())

    def test_what_was_good_stays(self) -> None:
        """While the file cannot be used, what it held before stays; that is said once for each change."""
        watched = self.watch()
        for text, complaints in (("", 1), ("x", 2), ("x", 3)):
            self.write(text)
            for _ in range(3):
                self.clock.advance(1.0)
                self.assertEqual(1, watched.current())
            self.assertEqual(complaints, len(self.complaints))
        self.assertIn("line 1: is no number", watched.problem)

        self.write("3")
        self.clock.advance(1.0)
        self.assertEqual((3, ""), (watched.current(), watched.problem))

    def test_file_that_goes_and_comes(self) -> None:
        """A file that is gone is complained of once, and read when it is back."""
        watched = self.watch()
        self.path.unlink()
        for _ in range(3):
            self.clock.advance(1.0)
            self.assertEqual(1, watched.current())
        self.assertEqual(["cannot be read: No such file or directory"], self.complaints)

        self.write("4")
        self.clock.advance(1.0)
        self.assertEqual(4, watched.current())

    def test_bad_from_the_start(self) -> None:
        """A file that cannot be used at the start is an error there."""
        with self.assertRaises(Unusable):
            WatchedFile(str(self.path), self.clock, read_number, self.complaints.append)
        self.write("x")
        with self.assertRaises(ConfigError):
            WatchedFile(str(self.path), self.clock, read_number, self.complaints.append)

    def test_content_is_not_shown(self) -> None:
        """What the file holds may be a secret."""
        self.write("77")

        shown = repr(WatchedFile(str(self.path), self.clock, read_number, self.complaints.append))

        self.assertNotIn("_good", shown)


class ContentTests(SynchronousTestCase):
    """Who else could read or write a file."""

    def test_bits(self) -> None:
        """What counts are the bits of all others."""
        path = Path(self.mktemp())
        path.write_bytes(b"x")
        for mode, expected in ((0o660, (False, False)), (0o664, (True, False)), (0o602, (False, True))):
            path.chmod(mode)

            content = read_content(str(path), 1)

            self.assertEqual(expected, (content.is_readable_by_all, content.is_writable_by_all))
            self.assertEqual(b"x", content.octets)
