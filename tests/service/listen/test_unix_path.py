"""Names for unix sockets in deep directories."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.service.listen.unix_path import PATH_BYTES, short_name


class ShortNameTests(SynchronousTestCase):
    """A socket may stand in a directory of any depth."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve() / ("d" * 120)
        self.directory.mkdir(parents=True)
        self.path = str(self.directory / "control.sock")

    def test_deep(self) -> None:
        """What is bound by the short name is at the long path, and is reached by another short name."""
        descriptors = len(os.listdir("/proc/self/fd"))
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as connection:
            with short_name(self.path) as name:
                self.assertLessEqual(len(name), PATH_BYTES)
                listening.bind(name)
            listening.listen()
            with short_name(self.path) as name:
                connection.connect(name)
        self.assertTrue((self.directory / "control.sock").is_socket())
        self.assertEqual(descriptors, len(os.listdir("/proc/self/fd")))

    def test_fits(self) -> None:
        """A path that fits is its own name, whether its directory is there or not."""
        for path in ("/nowhere/control.sock", "/" + "a" * (PATH_BYTES - 1)):
            with short_name(path) as name:
                self.assertEqual(path, name)

    def test_no_directory(self) -> None:
        """Where the directory is missing, that is what the error says."""
        with self.assertRaises(FileNotFoundError), short_name(str(self.directory / "missing" / "control.sock")):
            self.fail("there is no such directory")
