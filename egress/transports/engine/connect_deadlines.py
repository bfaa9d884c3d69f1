"""Deadlines of connection attempts: one timer for all of them, two set operations for each."""

from __future__ import annotations

from typing import Any, Protocol

TICK_SECONDS = 0.05
"""How late a deadline may be."""


class Waiting(Protocol):
    """Something that may take too long."""

    def expired(self) -> None:
        """The deadline passed."""


class Deadlines:
    """Whole ticks, each with the set of those whose time is over then.

    A delayed call of the reactor for each attempt would cost as much as a tenth of a short connection.

    Args:
        clock: provides IReactorTime.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._seconds = clock.seconds
        self._ticks: dict[int, set[Waiting]] = {}
        self._visited = 0
        self._call: Any = None

    def add(self, waiting: Waiting, seconds: float) -> int:
        """Set a deadline.

        Returns:
            The tick, for `remove`.
        """
        now = self._seconds()
        if self._call is None:
            self._visited = int(now / TICK_SECONDS)
            self._call = self._clock.callLater(TICK_SECONDS, self._visit)
        tick = int((now + seconds) / TICK_SECONDS) + 1
        if tick <= self._visited:
            tick = self._visited + 1
        entries = self._ticks.get(tick)
        if entries is None:
            self._ticks[tick] = {waiting}
        else:
            entries.add(waiting)
        return tick

    def remove(self, waiting: Waiting, tick: int) -> None:
        """Take a deadline back; one that has passed already does not matter."""
        entries = self._ticks.get(tick)
        if entries is not None:
            entries.discard(waiting)
            if not entries:
                del self._ticks[tick]

    def stop(self) -> None:
        """Forget all of them."""
        self._ticks.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _visit(self) -> None:
        self._call = None
        now = int(self._seconds() / TICK_SECONDS)
        due = [tick for tick in self._ticks if tick <= now]
        self._visited = max(now, self._visited)
        late: list[Waiting] = []
        for tick in sorted(due):
            late.extend(self._ticks.pop(tick))
        # `expired` may add others, which sets the timer, or stop everything.
        if self._ticks:
            self._call = self._clock.callLater(TICK_SECONDS, self._visit)
        for waiting in late:
            waiting.expired()
