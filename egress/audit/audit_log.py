"""The audit log: events are queued at once, formatted in batches on the reactor, and written by threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from egress.audit.chain_head import ChainHead
from egress.audit.encoder import LineEncoder
from egress.audit.fields import ENVELOPE, EVENTS
from egress.audit.pending_flushes import PendingFlushes
from egress.audit.refusal_folding import FOLD_SECONDS, REFUSAL_BYTES_PER_SECOND, RefusalFolding
from egress.audit.repeated import Repeated
from egress.audit.sink_monitor import SinkMonitor
from egress.audit.sink_queue import SinkQueue
from egress.audit.timestamps import TimestampFormat
from egress.audit.writer import Spawn, ThreadWriter, Writer, await_end
from egress.interfaces import IAuditSink
from egress.model import AuditEvent

# Measured: formatting in batches costs a third of formatting each event when it is recorded.
BATCH_SECONDS = 0.025
# Less than half a millisecond of formatting in one iteration of the reactor.
TURN_EVENTS = 128
WATCH_SECONDS = 0.1
FLUSH_SECONDS = 5.0
CLOSE_SECONDS = 1.0


@frozen(eq=False)
class _Note:
    """A line about the supervisor, which is queued whatever the backlog."""

    line: bytes


_REOPEN = _Note(b"")
"""The place in the backlog up to which lines belong to the old file."""


@implementer(IAuditSink)
class AuditLog:
    """Formats events and hands the lines to the queues of the sinks. The reactor never waits for a sink.

    Args:
        clock: for batches and deadlines.
        queues: the queues of the sinks.
        encoder: formats events.
        backlog_records: events that may wait to be formatted.
        is_strict: whether new requests are refused while lines are being lost or may soon be.
        spawn: starts the writer of a queue.
        now: the time of day, seconds since the epoch.
        flush_seconds: seconds that `flush` and `stop` wait for sinks.
        missing_head: the hash of a recorded line that the file does not hold any more; "" where it holds it.
        refusal_bytes_per_second: see `RefusalFolding`.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        queues: Sequence[SinkQueue],
        encoder: LineEncoder,
        backlog_records: int,
        is_strict: bool = False,
        spawn: Spawn = ThreadWriter,
        now: Callable[[], float] = time.time,
        flush_seconds: float = FLUSH_SECONDS,
        missing_head: str = "",
        refusal_bytes_per_second: int = REFUSAL_BYTES_PER_SECOND,
    ) -> None:
        self._clock = clock
        self._queues = tuple(queues)
        self._encoder = encoder
        self._limit = backlog_records
        self._is_strict = is_strict
        self._spawn = spawn
        self._now = now
        self._flush_seconds = flush_seconds
        self._missing_head = missing_head
        self._backlog: deque[AuditEvent | Repeated | bytes | _Note] = deque()
        self._accepted = 0
        self._formatted = 0
        self._writers: list[Writer] = []
        self._flushes = PendingFlushes(self._queues)
        self._monitor = SinkMonitor(self._queues, is_strict)
        self._folding = RefusalFolding(encoder, refusal_bytes_per_second, clock.seconds)
        self._stamp = TimestampFormat()
        self._call: IDelayedCall | None = None
        self._interval: IDelayedCall | None = None
        self._is_stopped = False
        self._is_closed = False

    @property
    def is_accepting(self) -> bool:
        """Whether new requests may be served; False while their lines could be lost and `is_strict` is set."""
        if not self._is_strict:
            return True
        return len(self._backlog) * 2 <= self._limit and all(queue.is_safe for queue in self._queues)

    @property
    def is_whole(self) -> bool:
        """Whether every sink is written; False from a failure or loss on until the sink works again."""
        return all(queue.is_safe for queue in self._queues)

    @property
    def lost(self) -> int:
        """Lines lost so far on the sink that lost most."""
        return max((queue.lost for queue in self._queues), default=0)

    @property
    def repeated(self) -> int:
        """Requests so far that have no line of their own, because a `repeated` line counts them."""
        return self._folding.folded

    @property
    def heads(self) -> list[ChainHead]:
        """The last line that was written to each sink whose lines are sealed."""
        return [queue.head for queue in self._queues if queue.head is not None]

    def start(self, **facts: object) -> None:
        """Start the writers and write the `start` line. Threads do not survive a fork: call it after the last fork.

        Args:
            facts: further fields of the line.
        """
        self._writers = [self._spawn(queue) for queue in self._queues]
        if self._missing_head:
            facts = {**facts, "missing_head": self._missing_head}
            self._log.error(
                "the audit log does not hold the line that was recorded as its last one, with the hash {hash}: "
                "lines were cut off, or the file was moved or replaced",
                hash=self._missing_head,
            )
        self._backlog.appendleft(_Note(self._encoder.note("start", self._now(), facts)))
        self._accepted += 1
        self._wake()

    def stop(self, **facts: object) -> Deferred[None]:
        """Write the `stop` line and everything before it, and close the sinks. Later events are lost.

        Args:
            facts: further fields of the line.

        Returns:
            Fires when the sinks are closed, or after the deadline; the log then has the number of lines not written.
        """
        if self._is_stopped:
            return succeed(None)
        self._write_counts()
        if self._writers:
            self.note("stop", **facts)
        self._is_stopped = True
        if self._interval is not None:
            self._interval.cancel()
            self._interval = None
        if self._writers:
            return self.flush().addCallback(self._close)
        self._cancel_turn()
        for queue in self._queues:
            queue.close()
        return succeed(None)

    def record(self, record: AuditEvent) -> None:
        """Queue one event. It is formatted later and must not change. See `IAuditSink.record`.

        Repeated events of requests that were not admitted are counted: see `RefusalFolding`.
        """
        item: AuditEvent | bytes = record
        if record.admission is None and not self._is_stopped:
            line = self._fold(record)
            if line is None:
                return
            item = line
        if self._is_stopped or len(self._backlog) >= self._limit:
            self._lose(1)
            return
        self._accepted += 1
        self._backlog.append(item)
        if self._call is None:
            self._call = self._clock.callLater(BATCH_SECONDS, self._turn)

    def note(self, event: str, **facts: object) -> None:
        """Queue a line about the supervisor, whatever the backlog.

        Args:
            event: one of `egress.audit.fields.EVENTS`.
            facts: further fields: strings, numbers, booleans, None and lists of them, free of secrets.

        Raises:
            ValueError: there is no such event, or a field is the audit log's own.
        """
        if event not in EVENTS or not ENVELOPE.isdisjoint(facts):
            raise ValueError("a note needs a known event, and fields that are not the audit log's own")
        if self._is_stopped:
            self._lose(1)
            return
        self._accepted += 1
        self._backlog.append(_Note(self._encoder.note(event, self._now(), facts)))
        self._wake()

    def flush(self) -> Deferred[None]:
        """Write everything that was accepted.

        Returns:
            Fires when all of it is written or lost, or at the deadline.
        """
        self._write_counts()
        self._wake(0.0)
        return self._flushes.add(self._accepted, self._clock.seconds() + self._flush_seconds)

    def reopen(self) -> None:
        """Reopen the file by its name, after a rotation has renamed it. What was recorded before is in the old file."""
        self._write_counts()
        self._accepted += 1
        self._backlog.append(_REOPEN)
        self._wake(0.0)

    def _cancel_turn(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _wake(self, seconds: float = BATCH_SECONDS) -> None:
        self._cancel_turn()
        self._call = self._clock.callLater(seconds, self._turn)

    def _turn(self) -> None:
        self._call = None
        if self._writers:
            self._format()
            for writer, queue in zip(self._writers, self._queues, strict=True):
                if not queue.is_settled:
                    writer.wake()
        self._monitor.check(self._clock.seconds())
        self._flushes.settle(self._formatted, self._clock.seconds())
        if self._call is not None or self._is_closed:
            return
        if self._backlog and self._writers:
            self._wake(0.0)
        elif self._flushes:
            self._wake(BATCH_SECONDS)
        elif self._monitor.is_failing or not all(queue.is_settled for queue in self._queues):
            self._wake(WATCH_SECONDS)

    def _format(self) -> None:
        lines: list[bytes] = []
        backlog, encode = self._backlog, self._encoder.encode
        count = min(TURN_EVENTS, len(backlog))
        self._formatted += count
        for _ in range(count):
            item = backlog.popleft()
            if isinstance(item, _Note):
                self._submit(lines)
                lines = []
                if item is not _REOPEN:
                    self._submit([item.line], is_urgent=True)
                    continue
                for queue in self._queues:
                    queue.reopen()
                continue
            try:
                if isinstance(item, AuditEvent):
                    lines.append(encode(item))
                else:
                    lines.append(item if isinstance(item, bytes) else item.encode(self._encoder, self._stamp))
            except Exception:
                # An event that cannot be formatted must not stop the events after it.
                self._log.failure("an audit event could not be formatted")
                self._lose(1)
        self._submit(lines)

    def _submit(self, lines: list[bytes], is_urgent: bool = False) -> None:
        if lines:
            for queue in self._queues:
                queue.submit(lines, is_urgent)

    def _fold(self, record: AuditEvent) -> bytes | None:
        """Return the line of a request that was not admitted, or None if it has none."""
        if self._interval is None:
            self._interval = self._clock.callLater(FOLD_SECONDS, self._close_interval)
        try:
            return self._folding.take(record)
        except Exception:
            self._log.failure("an audit event could not be formatted")
            self._lose(1)
            return None

    def _close_interval(self) -> None:
        self._interval = None
        self._write_counts(is_last=False)
        if not self._folding.is_empty:
            self._interval = self._clock.callLater(FOLD_SECONDS, self._close_interval)

    def _write_counts(self, is_last: bool = True) -> None:
        """Queue the lines of the requests that are counted. While the backlog has no room, they are counted further."""
        counted = self._folding.close_interval(None if is_last else self._limit - len(self._backlog))
        self._accepted += len(counted)
        self._backlog.extend(counted)
        if counted and self._call is None:
            self._wake()

    def _lose(self, count: int) -> None:
        for queue in self._queues:
            queue.lose(count)

    def _close(self, _: None) -> Deferred[None]:
        self._is_closed = True
        self._cancel_turn()
        given_up = len(self._backlog) + max((queue.give_up() for queue in self._queues), default=0)
        self._backlog.clear()
        if given_up:
            self._log.error("the audit log ends without its last {count} lines", count=given_up)
        for writer in self._writers:
            writer.finish()
        return await_end(self._writers, self._clock, CLOSE_SECONDS)
