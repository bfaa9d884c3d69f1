"""Detects that a connection is idle, without work for each transferred octet."""

from __future__ import annotations

from attrs import define


@define(eq=False, weakref_slot=False)
class IdleWatch:
    """Compares a byte counter whenever a deadline passes, so that transferred bytes need not postpone the deadline.

    Attributes:
        moved: the counter at the first comparison that found its present value.
        since: the time of that comparison, in seconds.
    """

    moved: int
    since: float

    def idle_seconds(self, moved: int, now: float) -> float:
        """Return the seconds for which the counter is known to have had its value.

        Args:
            moved: the counter.
            now: the time in seconds, on the clock of `since`.
        """
        if moved != self.moved:
            self.moved, self.since = moved, now
        return now - self.since
