"""Reports to the program's log that a sink fails, that it loses lines, and that it has recovered."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from twisted.logger import Logger

from egress.audit.sink_queue import SinkQueue

LOG_SECONDS = 10.0
"""Seconds between two reports of a sink that fails."""


@define
class _SinkState:
    """The last reported state of one sink.

    Attributes:
        lost: the number of lines lost as of the last check.
        is_failing: whether a failure was reported, and no recovery since.
        is_losing: whether a loss was reported, and no recovery since.
        next_report_at: the earliest time of the next report of a failure.
    """

    lost: int = 0
    is_failing: bool = False
    is_losing: bool = False
    next_report_at: float = 0.0


class SinkMonitor:
    """Checks sinks, and reports a failure of each at most once in `LOG_SECONDS`, and its first loss at once.

    Args:
        queues: the queues of the sinks.
        is_strict: whether new requests are refused meanwhile.
    """

    _log = Logger()

    def __init__(self, queues: Sequence[SinkQueue], is_strict: bool) -> None:
        self._effect = "refused" if is_strict else "served without a line"
        self._watched = [(queue, _SinkState()) for queue in queues]

    @property
    def is_failing(self) -> bool:
        """Whether a sink has failed and its recovery has not been reported."""
        return any(state.is_failing for _, state in self._watched)

    def check(self, now: float) -> None:
        """Report changes since the last check.

        Args:
            now: seconds on the audit log's clock.
        """
        for queue, state in self._watched:
            while queue.warnings:
                self._log.error("audit log, {sink}: {problem}", sink=queue.name, problem=queue.warnings.popleft())
            is_losing = queue.lost > state.lost
            if queue.failure is not None or is_losing:
                state.lost, state.is_failing = queue.lost, True
                if is_losing and not state.is_losing:
                    state.is_losing, state.next_report_at = True, now
                self._report_failure(queue, state, now)
            elif state.is_failing and queue.is_safe:
                state.is_failing = state.is_losing = False
                self._log.info(
                    "audit log, {sink}: works again; {lost} lines lost so far", sink=queue.name, lost=queue.lost
                )

    def _report_failure(self, queue: SinkQueue, state: _SinkState, now: float) -> None:
        if now < state.next_report_at:
            return
        state.next_report_at = now + LOG_SECONDS
        self._log.error(
            "audit log, {sink}: {problem}; {lost} lines lost so far, {waiting} waiting{effect}",
            sink=queue.name,
            problem=_problem(queue.failure),
            lost=queue.lost,
            waiting=queue.waiting,
            effect=f"; new requests are {self._effect} ([audit] on_loss)" if state.is_losing else "",
        )


def _problem(failure: Exception | None) -> str:
    if failure is None:
        return "is too slow"
    if isinstance(failure, OSError):
        return f"cannot be written: {failure.strerror}"
    return f"failed: {failure!r}"
