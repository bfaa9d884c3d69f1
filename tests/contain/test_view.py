"""Which paths may be opened up."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.contain.view import check_path, is_within

HOME = "/home/joe"
KEPT = ("/home/joe/egress/.venv", "/home/joe/.local/state/egress")


class PathTests(SynchronousTestCase):
    """Writable paths are judged."""

    def test_refused(self) -> None:
        """The root, the home directory, what contains it, and what contains egress's own files."""
        for path in ("/", "/home", HOME, "/home/joe/egress", "/home/joe/egress/.venv", "/home/joe/.local"):
            self.assertIsNotNone(check_path(path, HOME, KEPT), path)

    def test_accepted(self) -> None:
        """Other directories, also with names that begin alike."""
        for path in ("/home/joe/project", "/srv/data", "/home/joel", "/home/joe/egress2", "/home/joe/.local/share"):
            self.assertIsNone(check_path(path, HOME, KEPT), path)

    def test_within(self) -> None:
        """A directory is within itself, and names that begin alike are not."""
        self.assertTrue(is_within("/a", "/a"))
        self.assertTrue(is_within("/a/b", "/a"))
        self.assertTrue(is_within("/a", "/"))
        self.assertFalse(is_within("/ab", "/a"))
        self.assertFalse(is_within("/", "/a"))
