"""Deadlines in coarse ticks: one timer for all of them.

A DelayedCall costs several microseconds to make and as much to cancel; an entry here costs two operations on a set.
A deadline is kept to within one tick.
"""

from __future__ import annotations

from math import ceil
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger()

TICK_SECONDS = 0.25
_SLOTS = 4096


class Entry(Protocol):
    """What has a deadline: at most one at a time."""

    slot: set[Entry] | None
    turns: int

    def expired(self) -> None:
        """Hear that the deadline has passed."""


@define(eq=False)
class Wheel:
    """A hashed timing wheel (Varghese and Lauck 1987, scheme 6).

    Attributes:
        clock: where time comes from.
    """

    clock: IReactorTime
    _slots: list[set[Entry]] = field(init=False, factory=lambda: [set() for _ in range(_SLOTS)])
    _at: int = field(init=False, default=0)
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
        slot = entry.slot
        if slot is not None:
            slot.discard(entry)
        # One tick more: the current one has already begun, and a deadline may be late but never early.
        ticks = ceil(seconds / TICK_SECONDS) + 1
        slot = self._slots[(self._at + ticks) % _SLOTS]
        entry.turns = ticks // _SLOTS
        entry.slot = slot
        slot.add(entry)

    def clear(self, entry: Entry) -> None:
        """Take its deadline from an entry."""
        if entry.slot is not None:
            entry.slot.discard(entry)
            entry.slot = None

    def _turn(self) -> None:
        now = self.clock.seconds()
        while self._due <= now:
            self._due += TICK_SECONDS
            self._at = (self._at + 1) % _SLOTS
            slot = self._slots[self._at]
            if slot:
                self._visit(slot)
        self._call = self.clock.callLater(max(0.0, self._due - now), self._turn)

    def _visit(self, slot: set[Entry]) -> None:
        for entry in tuple(slot):
            if entry.slot is not slot:
                continue  # an entry before it in this slot took its deadline away
            if entry.turns:
                entry.turns -= 1
                continue
            slot.discard(entry)
            entry.slot = None
            try:
                entry.expired()
            except Exception:
                # One connection's fault must not stop the deadlines of all others.
                _log.failure("a deadline's callback failed")
