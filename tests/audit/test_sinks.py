"""Sinks, on real files and in memory."""

from __future__ import annotations

import errno
import os
import stat
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.audit import AuditSettings, open_audit_log
from egress.audit.chain_head import ChainHead, head_path
from egress.audit.hash_chain import digest
from egress.audit.journald import JournaldSink, entry
from egress.audit.sink_queue import SinkQueue
from egress.audit.sinks import FileSink, StreamSink, last_line
from egress.audit.verification import verify
from egress.errors import AuditLogCorrupt, ConfigError
from tests.audit.fakes import EPOCH, make_event


class StreamTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"."))), st.data())
    @settings(max_examples=100, deadline=None)
    def test_any_short_writes(self, lines: list[bytes], data: st.DataObject) -> None:
        """However little is taken at a time, lines arrive whole, once and in order."""
        written = bytearray()

        def put(offered: bytes) -> int:
            count = data.draw(st.integers(1, len(offered)))
            written.extend(offered[:count])
            return count

        sink = StreamSink("memory", put, batch_lines=4, unit_bytes=20)
        left = list(lines)
        while left or sink.rest:
            left = left[sink.write(left) :]

        self.assertEqual(b"".join(line + b"\n" for line in lines), bytes(written))


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.makedirs(self.directory)
        self.path = os.path.join(self.directory, "audit.jsonl")

    def open(self) -> FileSink:
        return FileSink(self.path)

    def content(self, path: str = "") -> bytes:
        with open(path or self.path, "rb") as stream:
            return stream.read()

    def test_new_file(self) -> None:
        """A new file can be read by its owner only."""
        sink = self.open()
        self.addCleanup(sink.close)

        self.assertEqual(2, sink.write([b"a", b"b"]))

        self.assertEqual(b"a\nb\n", self.content())
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))

    def test_unfinished_line(self) -> None:
        """A line that an earlier process left unfinished is not glued to the next one."""
        with open(self.path, "wb") as stream:
            stream.write(b"one\ntw")
        sink = self.open()
        self.addCleanup(sink.close)

        sink.write([b"three"])

        self.assertEqual(b"tw", sink.last_line)
        self.assertEqual(b"one\ntw\nthree\n", self.content())

    def test_rotation(self) -> None:
        """After a rename, a new file is made under the old name."""
        sink = self.open()
        self.addCleanup(sink.close)
        sink.write([b"a"])
        os.rename(self.path, self.path + ".1")

        self.assertTrue(sink.prepare())
        sink.write([b"b"])
        sink.switch()
        sink.write([b"c"])

        self.assertEqual((b"a\nb\n", b"c\n"), (self.content(self.path + ".1"), self.content()))
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))

    def test_reopen_without_rotation(self) -> None:
        """A reopen of an unrenamed file continues it, with its lock."""
        sink = self.open()
        self.addCleanup(sink.close)
        sink.write([b"a"])

        sink.prepare()
        sink.switch()
        sink.write([b"b"])

        self.assertEqual((b"a\nb\n", b"a"), (self.content(), sink.last_line))
        self.assertEqual(errno.EBUSY, self.assertRaises(OSError, self.open).errno)

    def test_two_writers_of_one_file(self) -> None:
        """A second process cannot keep its audit log in the same file, sealed or not."""
        sink = self.open()
        self.assertRaises(OSError, self.open)
        sink.close()

        self.open().close()

    def test_not_a_file(self) -> None:
        """A FIFO, a directory or a device is no audit log, and opening one does not hang."""
        os.mkfifo(self.path)
        self.assertRaises(OSError, self.open)
        self.assertRaises(OSError, FileSink, self.directory)
        self.assertRaises(OSError, FileSink, "/dev/null")

    def test_last_line(self) -> None:
        """The last line is found, ended or not."""
        for data, expected in [
            (b"", (None, True)),
            (b"a\n", (b"a", True)),
            (b"a\nb\n", (b"b", True)),
            (b"a\nb", (b"b", False)),
            (b"\n", (b"", True)),
        ]:
            with open(self.path, "wb") as stream:
                stream.write(data)
            self.assertEqual(expected, last_line(self.path))
        self.assertEqual((None, True), last_line(self.path + ".none"))

    def test_runs_in_one_file(self) -> None:
        """A second supervisor continues the file of the first: whole if the first ended in order, else reported."""
        for is_ended in (True, False):
            queue = SinkQueue(self.open(), True, 100, 1 << 20, lambda: EPOCH)
            queue.submit(
                [
                    b'{"schema":1,"timestamp":"2026-01-01T00:00:00.000000Z","event":"%s"}'
                    % (b"stop" if is_ended else b"end")
                ]
            )
            queue.work()
            queue.close()
            before = digest(self.content()[:-1].rpartition(b"\n")[2])
            self.assertEqual(before, digest(last_line(self.path)[0] or b""))
        error = self.assertRaises(AuditLogCorrupt, verify, BytesIO(self.content()), "a")
        self.assertEqual(("truncated", 2), (error.problem, error.line))


class OpenTests(SynchronousTestCase):
    def test_state_directory_is_made(self) -> None:
        """The state directory is made for its owner only; no directory below it is."""
        state = os.path.abspath(os.path.join(self.mktemp(), "state"))

        audit_log = open_audit_log(AuditSettings(), state, Clock())
        self.successResultOf(audit_log.stop())

        self.assertEqual(0o700, stat.S_IMODE(os.stat(state).st_mode))
        self.assertEqual(["audit.jsonl"], os.listdir(state))
        error = self.assertRaises(ConfigError, open_audit_log, AuditSettings(file="sub/a.jsonl"), state, Clock())
        self.assertEqual("audit.file", error.where)
        self.assertEqual(["audit.jsonl"], os.listdir(state))

    def test_missing_head(self) -> None:
        """A recorded head that the file does not hold is missing at the start; another file's head is ignored."""
        state = os.path.abspath(self.mktemp())
        os.makedirs(state)
        path = os.path.join(state, "audit.jsonl")
        recorded = head_path(state, "file")
        with open(path, "wb") as stream:
            stream.write(b"one\ntwo\n")
        for line, place, is_missing in (
            (b"one", path, False),
            (b"two", path, False),
            (b"three", path, True),
            (b"three", path + ".1", False),
        ):
            value = digest(line).decode("ascii")
            with open(recorded, "wb") as stream:
                stream.write(ChainHead(value, place, "ab" * 16, 1).encode())
            audit_log = open_audit_log(AuditSettings(chain=True), state, Clock())
            self.successResultOf(audit_log.stop())
            self.assertEqual(value if is_missing else "", audit_log._missing_head, line)
        with open(recorded, "wb") as stream:
            stream.write(b"")
        audit_log = open_audit_log(AuditSettings(chain=True), state, Clock())
        self.successResultOf(audit_log.stop())
        self.assertEqual("", audit_log._missing_head)

    def test_cannot_be_opened(self) -> None:
        """An audit log that cannot be opened fails the start with the name of the file."""
        error = self.assertRaises(ConfigError, open_audit_log, AuditSettings(file="/dev/null"), self.mktemp(), Clock())

        self.assertEqual("audit.file: /dev/null cannot be opened: not a regular file", str(error))


class JournaldTests(SynchronousTestCase):
    def test_entry(self) -> None:
        """An entry has the line, its priority and its request's id."""
        from egress.audit.encoder import LineEncoder

        line = LineEncoder("first").encode(make_event())
        expected = b"MESSAGE=" + line + b"\nSYSLOG_IDENTIFIER=egress\nPRIORITY=6\nEGRESS_REQUEST_ID=r1\n"

        self.assertEqual(expected, entry(line))

    def test_priorities(self) -> None:
        """A refusal is a notice, a loss a warning."""
        self.assertIn(b"\nPRIORITY=5\n", entry(b'{"event":"refused","request_id":null}'))
        self.assertIn(b"\nPRIORITY=4\n", entry(b'{"event":"loss"}'))

    def test_no_field_of_its_own(self) -> None:
        """A request's id cannot begin another field."""
        self.assertNotIn(b"EGRESS_REQUEST_ID", entry(b'{"event":"end","request_id":"a\\nPRIORITY=0"}'))

    def test_no_journald(self) -> None:
        """Without a journald the start fails."""
        self.assertRaises(OSError, JournaldSink, os.path.join(self.mktemp(), "socket"))
