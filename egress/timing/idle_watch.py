"""How long nothing has moved."""

from __future__ import annotations

from attrs import define


@define(eq=False, weakref_slot=False)
class IdleWatch:
    """Measures how long a counter has stayed the same. It costs nothing while the counter moves.

    Attributes:
        since: seconds on the clock when the counter was first seen at `count`.
        count: the counter, as of the last look.
    """

    since: float
    count: int

    def look(self, now: float, count: int) -> float:
        """Compare the counter with the last look.

        Args:
            now: seconds on the clock.
            count: the counter.

        Returns:
            The seconds for which it has been seen unchanged; 0.0 where it changed since the last look.
        """
        if count != self.count:
            self.count, self.since = count, now
        return now - self.since
