"""The way of lines to one sink: a bounded queue, filled by the reactor and emptied by a writer thread."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from threading import Lock

from egress.audit.encoder import TimestampFormat, encode_note
from egress.audit.hash_chain import Chain, digest
from egress.audit.sinks import Sink

_COMPLAINTS_LIMIT = 16


class SinkQueue:
    """Queues lines for one sink and writes them.

    `work` and `close` are for the writer's thread, everything else for the reactor's. Nothing that the reactor calls
    waits for the sink.

    Args:
        sink: takes the lines.
        is_chained: whether lines are sealed to each other.
        backlog_records: how many lines may wait.
        backlog_bytes: how many octets may wait.
        now: the time of day, seconds since the epoch.

    Attributes:
        submitted: how many lines came, those of losses among them.
        settled: how many of them are written or lost.
        lost: how many are lost.
        failure: what the sink failed with, until it works again.
        complaints: what else to tell the log.
    """

    def __init__(
        self, sink: Sink, is_chained: bool, backlog_records: int, backlog_bytes: int, now: Callable[[], float]
    ) -> None:
        self.name = sink.name
        self.submitted = 0
        self.settled = 0
        self.lost = 0
        self.failure: Exception | None = None
        self.complaints: deque[str] = deque(maxlen=_COMPLAINTS_LIMIT)
        self._sink = sink
        self._chain = _make_chain(sink, None) if is_chained else None
        self._records_limit = backlog_records
        self._bytes_limit = backlog_bytes
        self._now = now
        self._stamp = TimestampFormat()
        self._lock = Lock()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._unsaid = 0
        self._lost_since = 0.0
        self._opening: bytes | None = None
        self._is_reopening = False

    @property
    def waiting(self) -> int:
        """How many lines wait."""
        return len(self._queue)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to do."""
        return not (self._queue or self._unsaid or self._sink.rest or self._opening or self._is_reopening)

    @property
    def is_safe(self) -> bool:
        """Whether lines are being kept and there is room for those of what is under way."""
        return (
            self.failure is None
            and not self._unsaid
            and len(self._queue) * 2 <= self._records_limit
            and self._queued_bytes * 2 <= self._bytes_limit
        )

    def submit(self, lines: Sequence[bytes], is_urgent: bool = False) -> None:
        """Queue lines; those that find no room are lost.

        Args:
            lines: JSON objects in ASCII, without line ends.
            is_urgent: they are few, and are queued in any case.
        """
        size = sum(map(len, lines))
        with self._lock:
            self.submitted += len(lines)
            if (
                self._unsaid
                and len(self._queue) * 2 < self._records_limit
                and self._queued_bytes * 2 < self._bytes_limit
            ):
                self._say_losses()
            if is_urgent or (
                len(self._queue) + len(lines) <= self._records_limit and self._queued_bytes + size <= self._bytes_limit
            ):
                self._queue.extend(lines)
                self._queued_bytes += size
                return
            for place, line in enumerate(lines):
                if len(self._queue) >= self._records_limit or self._queued_bytes + len(line) > self._bytes_limit:
                    # Those after it are lost too: lines keep their order, and a gap is in one place.
                    self._lose(len(lines) - place)
                    return
                self._queue.append(line)
                self._queued_bytes += len(line)

    def lose(self, count: int) -> None:
        """Count lines that were lost before they were formatted."""
        with self._lock:
            self.submitted += count
            self._lose(count)

    def give_up(self) -> int:
        """Count everything that waits as lost.

        Returns:
            How many lines that were.
        """
        with self._lock:
            count = len(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            self._lose(count)
        return count

    def reopen(self) -> None:
        """Have the sink opened anew, before anything else is written."""
        self._is_reopening = True

    def work(self) -> None:
        """Write until nothing is left or the sink takes no more."""
        if self._is_reopening:
            # Before, not after: one more wish may come while this one is granted.
            self._is_reopening = False
            self._turn_over()
        try:
            while self._write_batch():
                pass
        except BlockingIOError:
            # No room is slowness, not failure: the queue is there for that.
            self.failure = None
        except OSError as error:
            self.failure = error

    def close(self) -> None:
        """Let go of the sink."""
        if self._sink.rest:
            with self._lock:
                self.lost += 1
        self._sink.close()

    def _write_batch(self) -> bool:
        with self._lock:
            if not self._queue and self._unsaid:
                self._say_losses()
            lines = list(islice(self._queue, self._sink.batch_lines))
        if self._opening is not None:
            lines.insert(0, self._opening)
        if not lines and not self._sink.rest:
            self.failure = None
            return False
        taken = self._sink.write(lines if self._chain is None else self._chain.seal(lines))
        if self._chain is not None:
            self._chain.commit(taken)
        if taken:
            self.failure = None
            if self._opening is not None:
                self._opening = None
                taken -= 1
            self._remove(taken)
            return True
        return not lines

    def _remove(self, count: int) -> None:
        with self._lock:
            # give_up may have emptied the queue meanwhile: then they were counted as lost, which errs to the safe side.
            count = min(count, len(self._queue))
            popleft = self._queue.popleft
            self._queued_bytes -= sum([len(popleft()) for _ in range(count)])
            self.settled += count

    def _lose(self, count: int) -> None:
        if not count:
            return
        if not self._unsaid:
            self._lost_since = self._now()
        self._unsaid += count
        self.lost += count
        self.settled += count

    def _say_losses(self) -> None:
        facts = {"sink": self.name, "count": self._unsaid, "since": self._stamp.format(self._lost_since)}
        line = encode_note("loss", self._stamp.format(self._now()), facts)
        self._queue.append(line)
        self._queued_bytes += len(line)
        self.submitted += 1
        self._unsaid = 0

    def _turn_over(self) -> None:
        try:
            if not self._sink.prepare():
                return
        except OSError as error:
            self.complaints.append(f"cannot be opened anew and stays as it is: {error.strerror}")
            return
        line = encode_note("reopen", self._stamp.format(self._now()), {"sink": self.name})
        try:
            sealed = [line] if self._chain is None else self._chain.seal([line], is_last=True)
            taken = self._sink.write(sealed)
            if self._chain is not None:
                self._chain.commit(taken)
            self._sink.write([])
        except OSError as error:
            self.complaints.append(f"the old file has no last line: {error.strerror}")
        if self._sink.rest:
            with self._lock:
                self._lose(1)
                self.submitted += 1
        self._sink.switch()
        if self._chain is not None:
            self._chain = _make_chain(self._sink, self._chain.head)
        self._opening = line


def _make_chain(sink: Sink, head: bytes | None) -> Chain:
    previous = head if sink.last_line is None else digest(sink.last_line)
    return Chain(secrets.token_hex(16), previous)
