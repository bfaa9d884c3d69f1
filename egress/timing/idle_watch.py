"""Detects that nothing moves, without work while something does."""

from __future__ import annotations

from attrs import define


@define(eq=False, weakref_slot=False)
class IdleWatch:
    """Compares a byte counter at each visit of a deadline, so that moving bytes need not postpone anything.

    Attributes:
        moved: the counter at the first visit that found its present value.
        since: the time of that visit, in seconds.
    """

    moved: int
    since: float

    def idle_seconds(self, moved: int, now: float) -> float:
        """Return for how long the counter is known to have had its value.

        Args:
            moved: the counter.
            now: seconds on the clock that `since` is of.
        """
        if moved != self.moved:
            self.moved, self.since = moved, now
        return now - self.since
