"""Tells the log that a sink fails or loses lines, and that it works again."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from twisted.logger import Logger

from egress.audit.sink_queue import SinkQueue

LOG_SECONDS = 10.0


@define
class _Told:
    """What the log knows of one outlet.

    Attributes:
        lost: how many lines had been lost when it was last looked at.
        is_failing: it heard of trouble, and not yet of its end.
        next_at: when it may hear of trouble again.
    """

    lost: int = 0
    is_failing: bool = False
    next_at: float = 0.0


class SinkAlarm:
    """Watches outlets, and speaks of each at most once in `LOG_SECONDS`.

    Args:
        outlets: what to watch.
    """

    _log = Logger()

    def __init__(self, outlets: Sequence[SinkQueue]) -> None:
        self._watched = [(outlet, _Told()) for outlet in outlets]

    @property
    def is_ringing(self) -> bool:
        """Whether the log waits for good news."""
        return any(told.is_failing for _, told in self._watched)

    def ring(self, now: float) -> None:
        """Say what is new.

        Args:
            now: seconds on the audit log's clock.
        """
        for outlet, told in self._watched:
            while outlet.complaints:
                self._log.error(
                    "audit log, {sink}: {complaint}", sink=outlet.name, complaint=outlet.complaints.popleft()
                )
            if outlet.failure is not None or outlet.lost > told.lost:
                told.lost, told.is_failing = outlet.lost, True
                self._say_trouble(outlet, told, now)
            elif told.is_failing and outlet.is_safe:
                told.is_failing = False
                self._log.info(
                    "audit log, {sink}: works again; {lost} lines lost so far", sink=outlet.name, lost=outlet.lost
                )

    def _say_trouble(self, outlet: SinkQueue, told: _Told, now: float) -> None:
        if now < told.next_at:
            return
        told.next_at = now + LOG_SECONDS
        self._log.error(
            "audit log, {sink}: {problem}; {lost} lines lost so far, {waiting} waiting",
            sink=outlet.name,
            problem=_problem(outlet.failure),
            lost=outlet.lost,
            waiting=outlet.waiting,
        )


def _problem(failure: Exception | None) -> str:
    if failure is None:
        return "is too slow"
    if isinstance(failure, OSError):
        return f"cannot be written: {failure.strerror}"
    return f"failed: {failure!r}"
