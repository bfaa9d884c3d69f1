"""A directory for the files of a test."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase


class FilesCase(SynchronousTestCase):
    """A directory to write to."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def file(self, name: str, content: bytes, mode: int = 0o600) -> str:
        """Write a file."""
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)
