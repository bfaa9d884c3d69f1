"""When and where the head of a chain is recorded."""

from __future__ import annotations

import os
import stat

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.chain_head import ChainHead, head_path, read_head
from egress.audit.hash_chain import Chain, digest
from egress.audit.head_recorder import FILE_SECONDS, JOURNAL_SECONDS, HeadRecorder
from egress.audit.journald import head_entry
from egress.audit.sink_queue import SinkQueue
from tests.audit.fakes import EPOCH, MemorySink

LINE = b'{"schema":1,"timestamp":"2026-01-01T00:00:00.000000Z","event":"end"}'


class HeadCase(SynchronousTestCase):
    """A recorder with a clock of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.state = self.mktemp()
        os.makedirs(self.state)
        self.path = head_path(self.state, "file")
        self.sent: list[ChainHead] = []
        self.chain = Chain("ab" * 16, None)
        self.heads = HeadRecorder("/log", self.path, self.sent.append, self.clock.seconds)


class HeadRecorderTests(HeadCase):
    def write(self, is_urgent: bool = False) -> ChainHead:
        """Write a line, and give its head."""
        self.chain.seal([LINE])
        self.chain.commit(1)
        self.heads.take(self.chain, is_urgent)
        assert self.heads.head is not None
        return self.heads.head

    def test_first_line(self) -> None:
        """The first head is recorded at once, in a file for its owner only, and with journald."""
        self.assertIsNone(self.heads.due_seconds)

        head = self.write()

        self.assertEqual((0, "ab" * 16, "/log"), (head.seq, head.writer, head.place))
        self.assertEqual(head, read_head(self.path))
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))
        self.assertEqual([os.path.basename(self.path)], os.listdir(self.state))
        self.assertEqual([head], self.sent)
        self.assertIsNone(self.heads.due_seconds)

    def test_rhythm(self) -> None:
        """The head of a log that grows is recorded once a second in the file, and once a minute with journald."""
        first = self.write()
        last = first
        for _ in range(10):
            last = self.write()
        self.assertEqual(first, read_head(self.path))
        self.assertEqual(FILE_SECONDS, self.heads.due_seconds)

        self.clock.advance(FILE_SECONDS)
        self.heads.record()

        self.assertEqual((last, [first]), (read_head(self.path), self.sent))
        self.assertEqual(JOURNAL_SECONDS - FILE_SECONDS, self.heads.due_seconds)
        self.clock.advance(JOURNAL_SECONDS)
        self.heads.record()
        self.assertEqual([first, last], self.sent)
        self.assertIsNone(self.heads.due_seconds)

    def test_urgent(self) -> None:
        """The head at the end of a segment is recorded at once."""
        self.write()

        last = self.write(is_urgent=True)

        self.assertEqual(last, read_head(self.path))
        self.assertEqual(last, self.sent[-1])

    def test_failures(self) -> None:
        """A head that cannot be recorded is tried again; no journald is no problem."""

        def fail(_head: ChainHead) -> None:
            raise OSError

        heads = HeadRecorder("/log", os.path.join(self.state, "none", "head"), fail, self.clock.seconds)
        self.chain.seal([LINE])
        self.chain.commit(1)
        heads.take(self.chain)

        self.assertEqual("No such file or directory", heads.problem)
        self.assertEqual(FILE_SECONDS, heads.due_seconds)
        os.makedirs(os.path.join(self.state, "none"))
        self.clock.advance(FILE_SECONDS)
        heads.record()
        self.assertEqual("", heads.problem)
        self.assertIsNone(heads.due_seconds)

    def test_journal_entry(self) -> None:
        """The entry of journald has the parts of the head as fields; a path cannot add another field."""
        entry = head_entry(ChainHead("c" * 64, "/x\nPRIORITY=0", "d" * 32, 5))

        fields = dict(line.split(b"=", 1) for line in entry.splitlines())
        self.assertEqual(b"6", fields[b"PRIORITY"])
        self.assertEqual(b"c" * 64, fields[b"EGRESS_AUDIT_HASH"])
        self.assertEqual((b"d" * 32, b"5"), (fields[b"EGRESS_AUDIT_WRITER"], fields[b"EGRESS_AUDIT_SEQ"]))
        self.assertEqual(b"/x\\nPRIORITY=0", fields[b"EGRESS_AUDIT_PLACE"])


class QueueTests(HeadCase):
    """The heads that a queue takes."""

    def setUp(self) -> None:
        super().setUp()
        self.sink = MemorySink()
        self.queue = SinkQueue(self.sink, True, 100, 1 << 20, lambda: EPOCH, self.heads)

    def submit(self, count: int) -> None:
        """Queue lines, and write what can be written."""
        self.queue.submit([LINE] * count)
        self.queue.work()

    def test_line_written_in_part(self) -> None:
        """A line that is not whole in the file is no head; once it is, it is one."""
        self.submit(1)
        self.sink.room = 10
        self.submit(1)
        assert self.queue.head is not None
        self.assertEqual(0, self.queue.head.seq)

        self.sink.room = None
        self.queue.work()

        self.assertEqual(1, self.queue.head.seq)
        self.assertEqual(digest(self.sink.files[0].splitlines()[1]).decode(), self.queue.head.hash)

    def test_rotation(self) -> None:
        """A rotation records the last line of the old file, and at once the first one of the new file."""
        self.submit(3)
        self.queue.reopen()
        self.queue.work()

        old, new = (data.splitlines() for data in self.sink.files)
        self.assertEqual([digest(line).decode() for line in (old[3], new[0])], [head.hash for head in self.sent[1:]])
        recorded = read_head(self.path)
        assert recorded is not None
        self.assertEqual((digest(new[0]).decode(), 0), (recorded.hash, recorded.seq))

    def test_end(self) -> None:
        """The end of the queue records its last line."""
        self.submit(1)
        self.submit(5)

        self.queue.close()

        recorded = read_head(self.path)
        assert recorded is not None
        self.assertEqual(5, recorded.seq)

    def test_state_directory_is_full(self) -> None:
        """A head that cannot be recorded is reported once, and loses no line."""
        os.rmdir(self.state)
        for _ in range(3):
            self.clock.advance(FILE_SECONDS)
            self.submit(1)

        self.assertEqual(
            ["the head of its chain cannot be recorded: No such file or directory"], [*self.queue.warnings]
        )
        self.assertTrue(self.queue.is_safe)
        self.assertEqual(3, len(self.sink.lines))
