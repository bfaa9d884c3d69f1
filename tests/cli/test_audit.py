"""`egress audit verify`."""

from __future__ import annotations

import os
from typing import BinaryIO

from attrs import evolve
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.chain_head import ChainHead, head_path
from egress.audit.hash_chain import digest
from egress.audit.sinks import FileSink
from egress.cli import audit as audit_module
from egress.cli.audit import audit
from tests.audit.test_verification import head_at, keep, segment


class VerifyCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = os.path.join(self.mktemp(), "audit.jsonl")
        os.makedirs(os.path.dirname(self.path))

    def check(self, lines: list[bytes], *options: str) -> Result:
        with open(self.path, "wb") as stream:
            stream.writelines(lines)
        return CliRunner().invoke(audit, ["verify", self.path, *options])

    def record(self, head: ChainHead, state: str) -> None:
        """Record a head for the file in a state directory."""
        os.makedirs(state, exist_ok=True)
        with open(head_path(state, "file"), "wb") as stream:
            stream.write(evolve(head, place=os.path.abspath(self.path)).encode())

    def test_whole(self) -> None:
        """A whole audit log: status 0, and the hash to keep elsewhere."""
        result = self.check(keep())

        self.assertEqual(0, result.exit_code)
        self.assertRegex(
            result.output, r": WHOLE: 7 lines in 1 run, last hash [0-9a-f]{64}\. No head is known: whole runs"
        )

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
        """An audit log without a chain: status 3, never 'whole', and not that of a wrong option."""
        result = self.check([b'{"event":"end"}\n'])

        self.assertEqual(3, result.exit_code)
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
        sink = FileSink(self.path)
        self.addCleanup(sink.close)

        result = CliRunner().invoke(audit, ["verify", self.path])

        self.assertEqual(3, result.exit_code)
        self.assertIn("A process is writing it now", result.output)

    def test_unreadable(self) -> None:
        """A file that cannot be read: status 4, and its name cannot command the terminal."""
        result = CliRunner().invoke(audit, ["verify", os.path.join(self.path, "\x1b[2J")])

        self.assertEqual(4, result.exit_code)
        self.assertNotIn("\x1b", result.output)

    def test_last_run_cut_off(self) -> None:
        """Where the host has the recorded head, a missing last run is reported with status 3, wherever the head is."""
        first = segment(None)
        second = segment(digest(first[-1][:-1]), writer="cd" * 16)
        head = head_at(first + second)
        elsewhere, user = self.mktemp(), self.mktemp()
        self.record(head, elsewhere)
        self.patch(os, "environ", {**os.environ, "EGRESS_STATE": user})

        results = [self.check(first, "--state", elsewhere), self.check(first, "--head", head.hash)]
        results.append(self.check(first, "--head", head_path(elsewhere, "file")))
        self.record(head, user)
        results.append(self.check(first))
        os.unlink(head_path(user, "file"))
        self.record(head, os.path.dirname(self.path))
        results.append(self.check(first))

        for result in results:
            self.assertEqual(3, result.exit_code, result.output)
            self.assertIn(": CUT OFF at line 4: the file does not hold the recorded line with the hash ", result.output)
        whole = self.check(first + second)
        self.assertEqual(0, whole.exit_code, whole.output)
        self.assertIn("Its last line is the recorded head.", whole.output)

    def test_head_of_another_file(self) -> None:
        """The head of another file, a rotated one's successor for example, is not compared."""
        state = os.path.dirname(self.path)
        self.record(head_at(segment(None, writer="cd" * 16)), state)
        path, self.path = self.path, self.path + ".1"

        result = self.check(segment(None))

        self.assertEqual(0, result.exit_code, result.output)
        self.assertIn("No head is known", result.output)
        self.path = path

    def test_being_written_to_a_head(self) -> None:
        """An audit log that is being written is whole with the head of its last run, and the rest is said."""
        lines = segment(None, is_ended=False)
        self.check(lines)
        sink = FileSink(self.path)
        self.addCleanup(sink.close)

        result = CliRunner().invoke(audit, ["verify", self.path, "--head", head_at(lines, 1).hash])

        self.assertEqual(0, result.exit_code, result.output)
        self.assertIn("The recorded head is line 2: nothing vouches for the end of what follows it, ", result.output)
        self.assertIn("which is being written.", result.output)

    def test_rotated_meanwhile(self) -> None:
        """A head that was recorded for the new file while the old one was read is no reason to call it cut off."""
        old, new = segment(None), segment(None, writer="cd" * 16)
        state = os.path.dirname(self.path)
        self.record(head_at(old), state)
        verdict = audit_module._verdict

        def rotate(stream: BinaryIO, name: str, expected: ChainHead | None) -> tuple[int, str]:
            self.record(head_at(new), state)
            return verdict(stream, name, expected)

        self.patch(audit_module, "_verdict", rotate)

        result = self.check(new)

        self.assertEqual(0, result.exit_code, result.output)

    def test_wrong_heads(self) -> None:
        """A head that is none is wrong usage; a recorded one that cannot be read is no verdict."""
        self.assertEqual(2, self.check(keep(), "--head", "a" * 63).exit_code)
        self.assertEqual(2, self.check(keep(), "--head", self.path).exit_code)
        self.assertEqual(2, self.check(keep(), "--head", "a" * 64, "--state", "b").exit_code)
        with open(head_path(os.path.dirname(self.path), "file"), "wb"):
            pass
        result = self.check(keep())
        self.assertEqual(3, result.exit_code)
        self.assertIn("cannot be read (", result.output)
