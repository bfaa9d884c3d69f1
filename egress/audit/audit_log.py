"""The record: taken at once, formatted in batches on the reactor, written by threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from attrs import define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from egress.audit.encoder import LineEncoder
from egress.audit.fields import ENVELOPE, EVENTS
from egress.audit.sink_alarm import SinkAlarm
from egress.audit.sink_queue import SinkQueue
from egress.audit.writer import Spawn, ThreadWriter, Writer
from egress.interfaces import IAuditSink
from egress.model import AuditEvent

# Measured: formatting in batches costs a third of formatting amid a connection's other work.
BATCH_SECONDS = 0.025
# Less than half a millisecond of formatting; then the reactor has its turn.
TURN_RECORDS = 128
WATCH_SECONDS = 0.1
FLUSH_SECONDS = 5.0


@define(eq=False)
class _Flush:
    """Somebody waits until what was taken is written.

    Attributes:
        target: how many records had been taken.
        deadline: when to wait no longer, on the audit log's clock.
        fired: tells.
        marks: how many lines each outlet must have settled; None until everything is formatted.
    """

    target: int
    deadline: float
    fired: Deferred[None]
    marks: list[int] | None = None


@implementer(IAuditSink)
class AuditLog:
    """Keeps the record, and never makes the reactor wait for it.

    Args:
        clock: for batches and deadlines.
        outlets: where lines go.
        encoder: formats records.
        backlog_records: how many records may wait to be formatted.
        is_strict: refuse new requests while lines are being lost or may soon be.
        spawn: starts the writer of an outlet.
        now: the time of day, seconds since the epoch.
        flush_seconds: how long `flush` and `stop` wait for sinks.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        outlets: Sequence[SinkQueue],
        encoder: LineEncoder,
        backlog_records: int,
        is_strict: bool = False,
        spawn: Spawn = ThreadWriter,
        now: Callable[[], float] = time.time,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._clock = clock
        self._outlets = tuple(outlets)
        self._encoder = encoder
        self._limit = backlog_records
        self._is_strict = is_strict
        self._spawn = spawn
        self._now = now
        self._flush_seconds = flush_seconds
        self._held: deque[AuditEvent | bytes] = deque()
        self._taken = 0
        self._formatted = 0
        self._writers: list[Writer] = []
        self._flushes: list[_Flush] = []
        self._alarm = SinkAlarm(self._outlets)
        self._call: IDelayedCall | None = None
        self._is_stopped = False
        self._is_closed = False

    @property
    def is_accepting(self) -> bool:
        """False while new requests must be refused, because they could not be recorded."""
        if not self._is_strict:
            return True
        return len(self._held) * 2 <= self._limit and all(outlet.is_safe for outlet in self._outlets)

    @property
    def lost(self) -> int:
        """How many lines were lost so far, on the sink that lost most."""
        return max((outlet.lost for outlet in self._outlets), default=0)

    def start(self, **facts: object) -> None:
        """Start the writers, and write the `start` line. Threads do not survive a fork: call it after the last one.

        Args:
            facts: further keys of the line.
        """
        self._writers = [self._spawn(outlet) for outlet in self._outlets]
        self._held.appendleft(self._encoder.note("start", self._now(), facts))
        self._taken += 1
        self._wake()

    def stop(self, **facts: object) -> Deferred[None]:
        """Write the `stop` line and everything before it, and close the sinks. What comes later is lost.

        Args:
            facts: further keys of the line.

        Returns:
            Fires when the sinks are closed, or after the deadline; how much was not written by then is said in the log.
        """
        if self._is_stopped:
            return succeed(None)
        if self._writers:
            self.note("stop", **facts)
        self._is_stopped = True
        if self._writers:
            return self.flush().addCallback(self._close)
        self._quieten()
        for outlet in self._outlets:
            outlet.close()
        return succeed(None)

    def record(self, record: AuditEvent) -> None:
        """Take one record. It is formatted later, so it must not change any more."""
        if self._is_stopped or len(self._held) >= self._limit:
            self._lose(1)
            return
        self._taken += 1
        self._held.append(record)
        if self._call is None:
            self._call = self._clock.callLater(BATCH_SECONDS, self._turn)

    def note(self, event: str, **facts: object) -> None:
        """Write a line about the supervisor itself. It finds room in any case.

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
        self._taken += 1
        self._held.append(self._encoder.note(event, self._now(), facts))
        self._wake()

    def flush(self) -> Deferred[None]:
        """Write what is held.

        Returns:
            Fires when it is written or known to be lost, or when the deadline passes.
        """
        flush = _Flush(self._taken, self._clock.seconds() + self._flush_seconds, Deferred(self._forget))
        self._flushes.append(flush)
        self._wake(0.0)
        return flush.fired

    def reopen(self) -> None:
        """Open the file anew, under the same name: after it was renamed by whoever rotates it."""
        for outlet in self._outlets:
            outlet.reopen()
        for writer in self._writers:
            writer.wake()
        self._wake()

    def _quieten(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _wake(self, seconds: float = BATCH_SECONDS) -> None:
        self._quieten()
        self._call = self._clock.callLater(seconds, self._turn)

    def _turn(self) -> None:
        self._call = None
        if self._writers:
            self._format()
            for writer, outlet in zip(self._writers, self._outlets, strict=True):
                if not outlet.is_settled:
                    writer.wake()
        self._alarm.ring(self._clock.seconds())
        self._settle_flushes()
        if self._call is not None or self._is_closed:
            return
        if self._held and self._writers:
            self._wake(0.0)
        elif self._flushes:
            self._wake(BATCH_SECONDS)
        elif self._alarm.is_ringing or not all(outlet.is_settled for outlet in self._outlets):
            self._wake(WATCH_SECONDS)

    def _format(self) -> None:
        lines: list[bytes] = []
        held, encode = self._held, self._encoder.encode
        count = min(TURN_RECORDS, len(held))
        self._formatted += count
        for _ in range(count):
            item = held.popleft()
            if isinstance(item, bytes):
                self._submit(lines)
                lines = []
                self._submit([item], is_urgent=True)
                continue
            try:
                lines.append(encode(item))
            except Exception:
                # One record that cannot be formatted must not take those after it along.
                self._log.failure("a record could not be formatted")
                self._lose(1)
        self._submit(lines)

    def _submit(self, lines: list[bytes], is_urgent: bool = False) -> None:
        if lines:
            for outlet in self._outlets:
                outlet.submit(lines, is_urgent)

    def _lose(self, count: int) -> None:
        for outlet in self._outlets:
            outlet.lose(count)

    def _settle_flushes(self) -> None:
        for flush in tuple(self._flushes):
            if flush.marks is None and self._formatted >= flush.target:
                flush.marks = [outlet.submitted for outlet in self._outlets]
            if self._is_done(flush) or self._clock.seconds() >= flush.deadline:
                self._flushes.remove(flush)
                flush.fired.callback(None)

    def _is_done(self, flush: _Flush) -> bool:
        if flush.marks is None:
            return False
        pairs = zip(self._outlets, flush.marks, strict=True)
        return all(outlet.settled >= mark or outlet.is_settled for outlet, mark in pairs)

    def _forget(self, fired: Deferred[None]) -> None:
        self._flushes = [flush for flush in self._flushes if flush.fired is not fired]

    def _close(self, _: None) -> Deferred[None]:
        self._is_closed = True
        self._quieten()
        given_up = self._held_back() + max((outlet.give_up() for outlet in self._outlets), default=0)
        if given_up:
            self._log.error("the audit log ends without its last {count} lines", count=given_up)
        for writer in self._writers:
            writer.finish()
        closed: Deferred[None] = Deferred()
        self._await_writers(closed, self._clock.seconds() + 1.0)
        return closed

    def _held_back(self) -> int:
        count = len(self._held)
        self._held.clear()
        return count

    def _await_writers(self, closed: Deferred[None], deadline: float) -> None:
        if all(writer.is_finished for writer in self._writers) or self._clock.seconds() >= deadline:
            closed.callback(None)
            return
        self._clock.callLater(BATCH_SECONDS, self._await_writers, closed, deadline)
