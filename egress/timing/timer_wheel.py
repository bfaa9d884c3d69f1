"""Deadlines in coarse ticks, with one delayed call for all of them.

A DelayedCall costs several microseconds to make and as much to cancel. Postponing a deadline, which is the usual case,
costs two comparisons here: the entry stays in its slot, and moves when the slot is visited.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

_log = Logger()

TICK_SECONDS = 0.25
"""The resolution of connection and request deadlines."""


class Entry(Protocol):
    """An object with at most one deadline at a time.

    Attributes:
        due: the tick of the deadline; 0 for none.
        visit: the tick at which the wheel examines the entry; 0 while the entry is not in the wheel.
    """

    due: int
    visit: int

    def expired(self) -> None:
        """Called when the deadline has passed."""


@define(eq=False)
class TimerWheel:
    """A hashed timing wheel (Varghese and Lauck 1987, scheme 6) whose entries are moved lazily.

    A deadline is never early, and late by two ticks at most. The clock is used only while there are entries.

    Attributes:
        clock: provides callLater and seconds of IReactorTime.
        tick_seconds: the resolution.
        slots: the number of ticks of one revolution. An entry with a later deadline is visited once a revolution.
    """

    clock: Any
    tick_seconds: float = TICK_SECONDS
    slots: int = 4096
    # A dict needs half the memory of a set here, because many entries are due at about the same time.
    _entries: list[dict[Entry, None]] = field(init=False)
    _ticks_per_second: float = field(init=False)
    _tick: int = field(init=False, default=1)
    _next_tick_at: float = field(init=False, default=0.0)
    _call: IDelayedCall | None = field(init=False, default=None)
    _is_running: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._entries = [{} for _ in range(self.slots)]
        self._ticks_per_second = 1 / self.tick_seconds

    def start(self) -> None:
        """Begin to visit entries."""
        self._is_running = True
        if self._call is None and any(self._entries):
            self._schedule_tick()

    def stop(self) -> None:
        """Visit no more entries."""
        self._is_running = False
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def expect(self, entry: Entry, seconds: float) -> None:
        """Set or replace the deadline of an entry."""
        # One tick more, because the current tick has already begun, and a deadline may be late but never early.
        tick = self._tick
        due = entry.due = tick + ceil(seconds * self._ticks_per_second) + 1
        visit = entry.visit
        if visit and due >= visit:
            return
        slots = self.slots
        if visit:
            self._entries[visit % slots].pop(entry, None)
        # An entry whose deadline is more than one revolution away is visited once a revolution.
        visit = entry.visit = due if due < tick + slots else tick + slots - 1
        self._entries[visit % slots][entry] = None
        if self._call is None and self._is_running:
            self._schedule_tick()

    def clear(self, entry: Entry) -> None:
        """Remove the deadline of an entry that may soon have another. A hot path sets `due` itself."""
        entry.due = 0

    def forget(self, entry: Entry) -> None:
        """Remove an entry and its deadline."""
        entry.due = 0
        if entry.visit:
            self._entries[entry.visit % self.slots].pop(entry, None)
            entry.visit = 0

    def _schedule_tick(self) -> None:
        self._next_tick_at = self.clock.seconds() + self.tick_seconds
        self._call = self.clock.callLater(self.tick_seconds, self._turn)

    def _turn(self) -> None:
        now = self.clock.seconds()
        # `_call` stays set until the end, so that `expect` does not schedule a second call.
        while self._next_tick_at <= now and self._is_running:
            self._next_tick_at += self.tick_seconds
            self._tick += 1
            index = self._tick % self.slots
            entries = self._entries[index]
            if entries:
                self._entries[index] = {}  # a dict keeps its size when it is emptied
                self._visit(entries)
        if self._is_running and any(self._entries):
            self._call = self.clock.callLater(max(0.0, self._next_tick_at - now), self._turn)
        else:
            self._call = None

    def _visit(self, entries: dict[Entry, None]) -> None:
        tick, slots = self._tick, self.slots
        for entry in entries:
            if entry.visit != tick:
                continue  # `expired` of an earlier entry in this slot has removed or moved this entry
            entry.visit = 0
            due = entry.due
            if due > tick:
                visit = entry.visit = due if due < tick + slots else tick + slots - 1
                self._entries[visit % slots][entry] = None
            elif due:
                entry.due = 0
                try:
                    entry.expired()
                except Exception:
                    # An exception of one connection must not stop the deadlines of all others.
                    _log.failure("a deadline's callback failed")
