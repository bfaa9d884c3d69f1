"""`egress audit verify`."""

from __future__ import annotations

import os

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.sinks import FileSink
from egress.cli.audit import audit
from tests.audit.test_verification import keep, segment


class VerifyCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def check(self, lines: list[bytes]) -> Result:
        with open(self.path, "wb") as stream:
            stream.writelines(lines)
        return CliRunner().invoke(audit, ["verify", self.path])

    def test_whole(self) -> None:
        """A whole audit log: status 0, and the hash to keep elsewhere."""
        result = self.check(keep())

        self.assertEqual(0, result.exit_code)
        self.assertRegex(result.output, r": WHOLE: 7 lines in 1 run, last hash [0-9a-f]{64}\.\n\Z")

    def test_converted_line_ends(self) -> None:
        """A whole audit log whose line ends became CRLF is whole, and the conversion is reported."""
        result = self.check([line.replace(b"\n", b"\r\n") for line in keep()])

        self.assertEqual(0, result.exit_code, result.output)
        self.assertIn(": WHOLE: 7 lines in 1 run, line ends converted to CRLF, last hash ", result.output)

    def test_altered(self) -> None:
        """An altered audit log: status 1 and the line's number."""
        lines = keep()
        lines[2] = lines[2].replace(b"GET", b"PUT").replace(b"allow", b"deny")

        result = self.check(lines)

        self.assertEqual(1, result.exit_code)
        self.assertIn("ALTERED at line 3", result.output)
        self.assertIn("line 3 was changed, or lines are missing or moved around it", result.output)
        self.assertIn("its hash is not the one that line 4 holds.", result.output)

    def test_no_chain(self) -> None:
        """An audit log without a chain: status 2, never 'whole'."""
        result = self.check([b'{"event":"end"}\n'])

        self.assertEqual(2, result.exit_code)
        self.assertIn("NO CHAIN", result.output)

    def test_cut_off(self) -> None:
        """An audit log without its end: status 3, and nobody writes it any more."""
        result = self.check(keep()[:-1])

        self.assertEqual(3, result.exit_code)
        self.assertIn("NOT COMPLETE at line 6", result.output)
        self.assertIn("No process is writing it", result.output)

    def test_being_written(self) -> None:
        """An audit log that a process is writing has status 3 too, with that reason."""
        with open(self.path, "wb") as stream:
            stream.writelines(segment(None, is_ended=False))
        sink = FileSink(self.path, is_exclusive=True)
        self.addCleanup(sink.close)

        result = CliRunner().invoke(audit, ["verify", self.path])

        self.assertEqual(3, result.exit_code)
        self.assertIn("A process is writing it now", result.output)

    def test_unreadable(self) -> None:
        """A file that cannot be read: status 4, and its name cannot command the terminal."""
        result = CliRunner().invoke(audit, ["verify", os.path.join(self.path, "\x1b[2J")])

        self.assertEqual(4, result.exit_code)
        self.assertNotIn("\x1b", result.output)
