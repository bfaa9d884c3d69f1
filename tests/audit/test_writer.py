"""Writers of queues, in threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.chain_head import ChainHead
from egress.audit.head_recorder import JOURNAL_SECONDS, HeadRecorder
from egress.audit.sink_queue import SinkQueue
from egress.audit.writer import ThreadWriter, await_end
from tests.audit.fakes import EPOCH, MemorySink, TurnWriter

# Bounds a test that fails. No test waits so long.
FAILED_SECONDS = 60
# Longer than any test, so that only a wake or a due time starts the thread's work.
NEVER_SECONDS = 3600.0


def make_queue(sink: MemorySink) -> SinkQueue:
    """Make a queue of plain lines."""
    return SinkQueue(sink, False, 100, 1 << 20, lambda: EPOCH)


class AwaitEndTests(SynchronousTestCase):
    """`await_end`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.writers = [TurnWriter(make_queue(MemorySink()), self.clock) for _ in range(2)]

    def test_finished(self) -> None:
        """Writers that are finished, or no writers, are not waited for."""
        for writer in self.writers:
            writer.finish()

        for writers in (self.writers, []):
            self.successResultOf(await_end(writers, self.clock, 5.0))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_every_writer(self) -> None:
        """The wait lasts until the last of the writers is finished."""
        ended = await_end(self.writers, self.clock, 5.0)
        self.writers[0].finish()
        self.clock.advance(0.1)
        self.assertNoResult(ended)

        self.writers[1].finish()
        self.clock.advance(0.1)

        self.successResultOf(ended)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_deadline(self) -> None:
        """A writer that hangs is not waited for beyond the deadline."""
        ended = await_end(self.writers, self.clock, 5.0)
        self.clock.pump([0.25] * 19)
        self.assertNoResult(ended)

        self.clock.advance(0.25)

        self.successResultOf(ended)
        self.assertEqual([], self.clock.getDelayedCalls())


class SignallingSink(MemorySink):
    """Reports each write to the test's thread, and may raise an error that is none of the system.

    Attributes:
        gate: a write hangs until it is set.
        has_begun: set when a write begins.
        has_written: set after octets were taken.
        has_failed: set when a write fails.
        broken: raised by a write, where it is set.
        threads: the threads that wrote.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.has_begun = threading.Event()
        self.has_written = threading.Event()
        self.has_failed = threading.Event()
        self.broken: Exception | None = None
        self.threads: set[threading.Thread] = set()

    def write(self, lines: Sequence[bytes]) -> int:
        self.threads.add(threading.current_thread())
        self.has_begun.set()
        self.gate.wait(FAILED_SECONDS)
        try:
            if self.broken is not None:
                raise self.broken
            taken = super().write(lines)
        except Exception:
            self.has_failed.set()
            raise
        self.has_written.set()
        return taken


class ThreadWriterTests(SynchronousTestCase):
    """`ThreadWriter`."""

    def setUp(self) -> None:
        self.sink = SignallingSink()
        self.queue = make_queue(self.sink)

    def spawn(self, retry_seconds: float = NEVER_SECONDS) -> ThreadWriter:
        """Start a writer, and end it with the test."""
        writer = ThreadWriter(self.queue, retry_seconds)
        self.addCleanup(self.end, writer)
        return writer

    def end(self, writer: ThreadWriter) -> None:
        """Finish a writer, and wait for the end of its thread."""
        writer.finish()
        writer._thread.join(FAILED_SECONDS)
        self.assertTrue(writer.is_finished)

    def wait(self, event: threading.Event) -> None:
        """Wait for an event of the sink."""
        self.assertTrue(event.wait(FAILED_SECONDS))

    def test_wake(self) -> None:
        """A line is written once the writer is woken, in one daemon thread that has the sink's name."""
        writer = self.spawn()
        self.queue.submit([b'{"n":1}'])
        writer.wake()
        self.wait(self.sink.has_written)

        self.end(writer)

        self.assertEqual([{"n": 1}], self.sink.lines)
        (thread,) = self.sink.threads
        self.assertEqual(("audit-memory", True), (thread.name, thread.daemon))

    def test_second_wake(self) -> None:
        """A writer that has slept since its last line can be woken again."""
        writer = self.spawn()
        for number in range(3):
            self.sink.has_written.clear()
            self.queue.submit([b'{"n":%d}' % number])
            writer.wake()
            self.wait(self.sink.has_written)

        self.end(writer)

        self.assertEqual([{"n": 0}, {"n": 1}, {"n": 2}], self.sink.lines)

    def test_finish(self) -> None:
        """The end writes the lines that wait, although nobody woke the writer, and closes the sink."""
        writer = self.spawn()
        self.assertFalse(writer.is_finished)
        self.queue.submit([b'{"n":1}', b'{"n":2}'])

        self.end(writer)

        self.assertEqual([{"n": 1}, {"n": 2}], self.sink.lines)
        self.assertTrue(self.sink.is_closed)

    def test_finish_does_not_wait(self) -> None:
        """A writer whose sink hangs is told to finish without a wait, and is not finished before the sink returns."""
        self.sink.gate.clear()
        self.addCleanup(self.sink.gate.set)
        writer = self.spawn()
        self.queue.submit([b'{"n":1}'])
        writer.wake()
        self.wait(self.sink.has_begun)

        writer.finish()
        self.assertFalse(writer.is_finished)

        self.sink.gate.set()
        self.end(writer)
        self.assertEqual([{"n": 1}], self.sink.lines)

    def test_finish_with_a_full_sink(self) -> None:
        """The end does not wait for a sink that takes no line."""
        self.sink.room = 0
        writer = self.spawn()
        self.queue.submit([b'{"n":1}'])

        self.end(writer)

        self.assertEqual(1, self.queue.waiting)
        self.assertTrue(self.sink.is_closed)

    def test_retry(self) -> None:
        """A sink that failed is retried without a wake."""
        self.sink.room = 0
        writer = self.spawn(retry_seconds=0.001)
        self.queue.submit([b'{"n":1}'])
        writer.wake()
        self.wait(self.sink.has_failed)
        self.assertIsInstance(self.queue.failure, OSError)

        self.sink.room = None
        self.wait(self.sink.has_written)
        self.end(writer)

        self.assertEqual([{"n": 1}], self.sink.lines)
        self.assertIsNone(self.queue.failure)

    def test_unexpected_exception(self) -> None:
        """An exception that no sink should raise is reported as a failure, and does not end the thread."""
        self.sink.broken = ZeroDivisionError()
        writer = self.spawn()
        self.queue.submit([b'{"n":1}'])
        writer.wake()
        self.wait(self.sink.has_failed)

        self.sink.broken = None
        self.sink.has_written.clear()
        writer.wake()
        self.wait(self.sink.has_written)
        self.end(writer)

        self.assertEqual([{"n": 1}], self.sink.lines)

    def test_unexpected_exception_at_the_end(self) -> None:
        """The sink is closed although the last write raised, and the failure is kept for the report."""
        self.sink.broken = ZeroDivisionError()
        writer = self.spawn()
        self.queue.submit([b'{"n":1}'])

        self.end(writer)

        self.assertIs(self.sink.broken, self.queue.failure)
        self.assertTrue(self.sink.is_closed)

    def test_due_without_a_line(self) -> None:
        """Work that is due although no line waits is done at its time, without a wake."""
        sent, has_sent, now = list[ChainHead](), threading.Event(), [0.0]

        def send(head: ChainHead) -> None:
            sent.append(head)
            has_sent.set()

        state = self.mktemp()
        os.mkdir(state)
        heads = HeadRecorder("/log", os.path.join(state, "head"), send, lambda: now[0])
        self.queue = SinkQueue(self.sink, True, 100, 1 << 20, lambda: EPOCH, heads)
        for line in (b'{"n":1}', b'{"n":2}'):
            self.queue.submit([line])
            self.queue.work()
        self.assertEqual((True, [0]), (self.queue.is_settled, [head.seq for head in sent]))
        has_sent.clear()

        now[0] = JOURNAL_SECONDS - 0.001
        writer = self.spawn()
        now[0] = JOURNAL_SECONDS
        self.wait(has_sent)
        self.end(writer)

        self.assertEqual([0, 1], [head.seq for head in sent])
