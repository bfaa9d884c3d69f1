"""Reading the configuration file."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from egress.config import read
from egress.config.document import LIMIT_BYTES
from egress.errors import ConfigError


class ReadTests(SynchronousTestCase):
    """A file is read whole or refused with its name."""

    def write(self, content: bytes) -> str:
        """Make a file."""
        name: str = self.mktemp()
        with open(name, "wb") as stream:
            stream.write(content)
        return name

    def refused(self, name: str) -> ConfigError:
        """Read a file that cannot be read."""
        error: ConfigError = self.assertRaises(ConfigError, read, name)
        self.assertEqual(name, error.file)
        self.assertNotIn("\n", str(error))
        return error

    def test_tables(self) -> None:
        """TOML becomes dictionaries and lists."""
        name = self.write(b'state = "/x"\n[[listener]]\nname = "a"\n')

        self.assertEqual({"state": "/x", "listener": [{"name": "a"}]}, read(name))

    def test_bad_toml_names_its_line(self) -> None:
        """A syntax error names the file, the line and the column."""
        error = self.refused(self.write(b"[guard]\nenabled = yes\n"))

        self.assertEqual("line 2, column 11", error.where)

    def test_double_key(self) -> None:
        """A table that is there twice is refused, not merged."""
        self.refused(self.write(b"[guard]\n[guard]\n"))

    def test_missing_file(self) -> None:
        """A file that is not there is named."""
        self.assertIn("No such file", self.refused(self.mktemp()).problem)

    def test_directory(self) -> None:
        """A directory is not read."""
        name = self.mktemp()
        os.mkdir(name)

        self.assertEqual("is not a regular file", self.refused(name).problem)

    def test_fifo(self) -> None:
        """A FIFO is refused at once instead of waiting for a writer."""
        name = self.mktemp()
        os.mkfifo(name)

        self.assertEqual("is not a regular file", self.refused(name).problem)

    def test_too_large(self) -> None:
        """A file over the limit is refused."""
        self.assertIn("longer than 4 MiB", self.refused(self.write(b"#" * (LIMIT_BYTES + 1))).problem)
        self.assertEqual({}, read(self.write(b"#" * LIMIT_BYTES)))

    def test_byte_order_marks(self) -> None:
        """A byte order mark is named as what it is."""
        for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
            self.assertIn("byte order mark", self.refused(self.write(mark + b"a = 1")).problem)

    def test_other_encodings(self) -> None:
        """Text that is not UTF-8 names its line."""
        error = self.refused(self.write("a = 1\nb = 'ä'\n".encode("latin-1")))

        self.assertEqual("line 2", error.where)

    def test_endless_number(self) -> None:
        """A number of more digits than Python converts is an error like any other."""
        self.refused(self.write(b"a = " + b"9" * 5000))

    def test_deep_nesting(self) -> None:
        """Nesting beyond all reason is an error like any other."""
        self.refused(self.write(b"a = " + b"[" * 100_000))

    def test_null_in_name(self) -> None:
        """A name with a NUL is refused like a file that is not there."""
        self.assertRaises(ConfigError, read, "a\0b")
