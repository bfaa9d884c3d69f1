"""Deadlines in coarse ticks: one timer for all of them.

A DelayedCall costs several microseconds to make and as much to cancel. Here a deadline that is put off, which is what
nearly always happens to one, costs two comparisons: the entry stays where it is, and is moved on when it is visited.
"""

from __future__ import annotations

from math import ceil
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger()

TICK_SECONDS = 0.25
_PER_SECOND = 1 / TICK_SECONDS
_SLOTS = 4096


class Entry(Protocol):
    """What has a deadline: at most one at a time.

    Attributes:
        due: the tick of its deadline; 0 for none.
        visit: the tick at which the wheel will look at it; 0 while it is not in the wheel.
    """

    due: int
    visit: int

    def expired(self) -> None:
        """Hear that the deadline has passed."""


@define(eq=False)
class TimerWheel:
    """A hashed timing wheel (Varghese and Lauck 1987, scheme 6) whose entries are moved lazily.

    A deadline is never early, and late by two ticks at most.

    Attributes:
        clock: where time comes from.
    """

    clock: IReactorTime
    # In a dict an entry takes half of the memory that it takes in a set, where many are due at about the same time.
    _slots: list[dict[Entry, None]] = field(init=False, factory=lambda: [{} for _ in range(_SLOTS)])
    _tick: int = field(init=False, default=1)
    _due: float = field(init=False, default=0.0)
    _call: IDelayedCall | None = field(init=False, default=None)

    def start(self) -> None:
        """Begin to turn."""
        self._due = self.clock.seconds() + TICK_SECONDS
        self._call = self.clock.callLater(TICK_SECONDS, self._turn)

    def stop(self) -> None:
        """Turn no more; entries stay unheard."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def expect(self, entry: Entry, seconds: float) -> None:
        """Give an entry its deadline, in place of the one it had."""
        # One tick more: the current one has already begun, and a deadline may be late but never early.
        tick = self._tick
        due = entry.due = tick + ceil(seconds * _PER_SECOND) + 1
        visit = entry.visit
        if visit:
            if due >= visit:
                return
            self._slots[visit % _SLOTS].pop(entry, None)
        # What is further off than one round is looked at on the way.
        visit = entry.visit = due if due < tick + _SLOTS else tick + _SLOTS - 1
        self._slots[visit % _SLOTS][entry] = None

    def clear(self, entry: Entry) -> None:
        """Take its deadline from an entry that may soon have another. A hot path sets `due` itself."""
        entry.due = 0

    def forget(self, entry: Entry) -> None:
        """Let go of an entry."""
        entry.due = 0
        if entry.visit:
            self._slots[entry.visit % _SLOTS].pop(entry, None)
            entry.visit = 0

    def _turn(self) -> None:
        now = self.clock.seconds()
        while self._due <= now:
            self._due += TICK_SECONDS
            self._tick += 1
            slot = self._slots[self._tick % _SLOTS]
            if slot:
                self._slots[self._tick % _SLOTS] = {}  # it would keep its size
                self._look(slot)
        self._call = self.clock.callLater(max(0.0, self._due - now), self._turn)

    def _look(self, slot: dict[Entry, None]) -> None:
        tick = self._tick
        for entry in slot:
            if entry.visit != tick:
                continue  # an entry before it in this slot let go of it, or moved it
            entry.visit = 0
            due = entry.due
            if due > tick:
                visit = entry.visit = due if due < tick + _SLOTS else tick + _SLOTS - 1
                self._slots[visit % _SLOTS][entry] = None
            elif due:
                entry.due = 0
                try:
                    entry.expired()
                except Exception:
                    # One connection's fault must not stop the deadlines of all others.
                    _log.failure("a deadline's callback failed")
