"""The queue of one sink: bounded, filled by the reactor, emptied by a writer thread."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from threading import Lock

from egress.audit.chain_head import ChainHead
from egress.audit.encoder import encode_note
from egress.audit.hash_chain import Chain, digest
from egress.audit.head_recorder import HeadRecorder
from egress.audit.sinks import Sink
from egress.audit.timestamps import TimestampFormat

_WARNINGS_LIMIT = 16


class SinkQueue:
    """Queues lines for one sink and writes them.

    The writer's thread calls `work` and `close`; the reactor's thread calls all other methods, which never wait for the
    sink.

    Args:
        sink: writes the lines.
        is_chained: whether lines are sealed to each other.
        backlog_records: the largest number of waiting lines.
        backlog_bytes: the largest number of waiting octets.
        now: returns the time of day, in seconds since the epoch.
        heads: records the head of the chain; None for lines without seals.

    Attributes:
        submitted: the number of lines submitted so far, including `loss` lines.
        settled: the number of submitted lines that are written or lost.
        lost: the number of submitted lines that are lost.
        failure: the last exception of the sink; None once the sink has recovered.
        warnings: other problems that the log has not reported.
    """

    def __init__(
        self,
        sink: Sink,
        is_chained: bool,
        backlog_records: int,
        backlog_bytes: int,
        now: Callable[[], float],
        heads: HeadRecorder | None = None,
    ) -> None:
        self.name = sink.name
        self.submitted = 0
        self.settled = 0
        self.lost = 0
        self.failure: Exception | None = None
        self.warnings: deque[str] = deque(maxlen=_WARNINGS_LIMIT)
        self._sink = sink
        self._heads = heads
        self._head_problem = ""
        self._chain = _make_chain(sink, None) if is_chained else None
        self._records_limit = backlog_records
        self._bytes_limit = backlog_bytes
        self._now = now
        self._stamp = TimestampFormat()
        self._lock = Lock()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._unreported = 0
        self._lost_since = 0.0
        self._first_line: bytes | None = None
        self._reopen_mark: int | None = None

    @property
    def waiting(self) -> int:
        """Lines that wait."""
        return len(self._queue)

    @property
    def is_settled(self) -> bool:
        """Whether no line waits and no other work is pending."""
        return not (
            self._queue or self._unreported or self._sink.rest or self._first_line or self._reopen_mark is not None
        )

    @property
    def due_seconds(self) -> float | None:
        """Seconds until `work` has to be called although no line waits; None where it has not."""
        return None if self._heads is None else self._heads.due_seconds

    @property
    def head(self) -> ChainHead | None:
        """The last line that was written; None before the first one, and where lines are not sealed."""
        return None if self._heads is None else self._heads.head

    @property
    def is_safe(self) -> bool:
        """Whether lines are being written and half of the backlog is free: the reserve for ends of open requests."""
        return (
            self.failure is None
            and not self._unreported
            and len(self._queue) * 2 <= self._records_limit
            and self._queued_bytes * 2 <= self._bytes_limit
        )

    def submit(self, lines: Sequence[bytes], is_urgent: bool = False) -> None:
        """Queue lines. Lines beyond the backlog are lost.

        Args:
            lines: JSON objects in ASCII, without line ends.
            is_urgent: whether the lines are queued regardless of the backlog. Only for few lines.
        """
        size = sum(map(len, lines))
        with self._lock:
            self.submitted += len(lines)
            if (
                self._unreported
                and len(self._queue) * 2 < self._records_limit
                and self._queued_bytes * 2 < self._bytes_limit
            ):
                self._report_losses()
            if is_urgent or (
                len(self._queue) + len(lines) <= self._records_limit and self._queued_bytes + size <= self._bytes_limit
            ):
                self._queue.extend(lines)
                self._queued_bytes += size
                return
            for place, line in enumerate(lines):
                if len(self._queue) >= self._records_limit or self._queued_bytes + len(line) > self._bytes_limit:
                    # The following lines are lost too, so that the gap is in one place and the lines keep their order.
                    self._lose(len(lines) - place)
                    return
                self._queue.append(line)
                self._queued_bytes += len(line)

    def lose(self, count: int) -> None:
        """Count lines lost before they were formatted."""
        with self._lock:
            self.submitted += count
            self._lose(count)

    def give_up(self) -> int:
        """Count all waiting lines as lost.

        Returns:
            The number of these lines.
        """
        with self._lock:
            count = len(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            self._lose(count)
        return count

    def reopen(self) -> None:
        """Reopen the sink once the lines submitted so far are written, or cannot be written now."""
        self._reopen_mark = self.submitted

    def work(self) -> None:
        """Write until no line is left or the sink accepts no more."""
        mark = self._reopen_mark
        if mark is not None:
            # Cleared before the work, because another request to reopen may arrive during the work.
            self._reopen_mark = None
            self._write_out(mark)
            self._rotate()
        self._write_out(None)
        self._record_head()

    def close(self) -> None:
        """Close the sink. A line written in part is lost."""
        if self._sink.rest:
            with self._lock:
                self.lost += 1
        self._record_head(is_urgent=True)
        self._sink.close()

    def _write_out(self, mark: int | None) -> None:
        """Write what waits; up to a number of lines submitted, or None for everything."""
        try:
            while (mark is None or self.settled < mark) and self._write_batch(mark):
                pass
        except BlockingIOError:
            # A sink without room is slow, not failing; the queue absorbs that.
            self.failure = None
        except OSError as error:
            self.failure = error

    def _write_batch(self, mark: int | None) -> bool:
        with self._lock:
            if not self._queue and self._unreported:
                self._report_losses()
            limit = self._sink.batch_lines if mark is None else max(0, min(self._sink.batch_lines, mark - self.settled))
            lines = list(islice(self._queue, limit))
        if self._first_line is not None:
            lines.insert(0, self._first_line)
        if not lines and not self._sink.rest:
            self.failure = None
            return False
        taken = self._sink.write(lines if self._chain is None else self._chain.seal(lines))
        if self._chain is not None:
            is_first = not self._chain.count
            self._chain.commit(taken)
            self._take_head(is_first)
        if taken:
            self.failure = None
            if self._first_line is not None:
                self._first_line = None
                taken -= 1
            self._remove(taken)
            return True
        return not lines

    def _remove(self, count: int) -> None:
        with self._lock:
            # give_up may have emptied the queue meanwhile. These lines then count as lost although they were written,
            # which is the safe error.
            count = min(count, len(self._queue))
            popleft = self._queue.popleft
            self._queued_bytes -= sum([len(popleft()) for _ in range(count)])
            self.settled += count

    def _lose(self, count: int) -> None:
        if not count:
            return
        if not self._unreported:
            self._lost_since = self._now()
        self._unreported += count
        self.lost += count
        self.settled += count

    def _report_losses(self) -> None:
        facts = {"sink": self.name, "count": self._unreported, "since": self._stamp.format(self._lost_since)}
        line = encode_note("loss", self._stamp.format(self._now()), facts)
        self._queue.append(line)
        self._queued_bytes += len(line)
        self.submitted += 1
        self._unreported = 0

    def _rotate(self) -> None:
        try:
            if not self._sink.prepare():
                return
        except OSError as error:
            self.warnings.append(f"cannot be reopened, the old file stays in use: {error.strerror}")
            return
        line = encode_note("reopen", self._stamp.format(self._now()), {"sink": self.name})
        try:
            sealed = [line] if self._chain is None else self._chain.seal([line], is_last=True)
            taken = self._sink.write(sealed)
            if self._chain is not None:
                self._chain.commit(taken)
            self._sink.write([])
            self._take_head(is_urgent=True)
        except OSError as error:
            self.warnings.append(f"the old file has no last line: {error.strerror}")
        if self._sink.rest:
            with self._lock:
                self._lose(1)
                self.submitted += 1
        self._sink.switch()
        if self._chain is not None:
            self._chain = _make_chain(self._sink, self._chain.head)
        self._first_line = line

    def _take_head(self, is_urgent: bool) -> None:
        # A head must not name a line that is not whole yet: the process may be killed before it is.
        if self._heads is not None and self._chain is not None and self._chain.count and not self._sink.rest:
            self._heads.take(self._chain, is_urgent)

    def _record_head(self, is_urgent: bool = False) -> None:
        if self._heads is None:
            return
        self._heads.record(is_urgent)
        problem = self._heads.problem
        if problem not in ("", self._head_problem):
            self.warnings.append(f"the head of its chain cannot be recorded: {problem}")
        self._head_problem = problem


def _make_chain(sink: Sink, head: bytes | None) -> Chain:
    previous = head if sink.last_line is None else digest(sink.last_line)
    return Chain(secrets.token_hex(16), previous)
