"""The calls of `AuditLog.flush` that wait for the sinks."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from twisted.internet.defer import Deferred

from egress.audit.sink_queue import SinkQueue


@define(eq=False)
class _Flush:
    """A pending call of `flush`.

    Attributes:
        target: events and notes that had been accepted.
        deadline: the time at which to stop waiting, on the audit log's clock.
        fired: fires at the end of the flush.
        marks: lines that each queue must have settled; None until everything is formatted.
    """

    target: int
    deadline: float
    fired: Deferred[None]
    marks: list[int] | None = None


class PendingFlushes:
    """Fires Deferreds when what was accepted before is written or lost, or at their deadline.

    Args:
        queues: the queues of the sinks.
    """

    def __init__(self, queues: Sequence[SinkQueue]) -> None:
        self._queues = queues
        self._flushes: list[_Flush] = []

    def __bool__(self) -> bool:
        """Whether a flush is pending."""
        return bool(self._flushes)

    def add(self, target: int, deadline: float) -> Deferred[None]:
        """Begin a flush.

        Args:
            target: events and notes that have been accepted.
            deadline: the time at which to stop waiting.
        """
        flush = _Flush(target, deadline, Deferred(self._forget))
        self._flushes.append(flush)
        return flush.fired

    def settle(self, formatted: int, now: float) -> None:
        """Fire what is done or late.

        Args:
            formatted: events and notes that have been formatted.
            now: the time.
        """
        for flush in tuple(self._flushes):
            if flush.marks is None and formatted >= flush.target:
                flush.marks = [queue.submitted for queue in self._queues]
            if self._is_done(flush) or now >= flush.deadline:
                self._flushes.remove(flush)
                flush.fired.callback(None)

    def _is_done(self, flush: _Flush) -> bool:
        if flush.marks is None:
            return False
        pairs = zip(self._queues, flush.marks, strict=True)
        return all(queue.settled >= mark or queue.is_settled for queue, mark in pairs)

    def _forget(self, fired: Deferred[None]) -> None:
        self._flushes = [flush for flush in self._flushes if flush.fired is not fired]
