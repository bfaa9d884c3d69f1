"""Continues interrupted work in later turns of the reactor, for a bounded time in each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

TURN_SECONDS = 0.002
"""The time that all interrupted work together may take in one turn. One entry more may begin within it."""


class Interrupted(Protocol):
    """What has work left."""

    def proceed(self) -> None:
        """Do a part of the work."""


@define(eq=False)
class TurnQueue:
    """A queue of interrupted work, first in, first out.

    Work that is interrupted again goes to the end of the queue, so that entries take turns.

    Attributes:
        clock: the reactor.
    """

    clock: IReactorTime
    _entries: OrderedDict[Interrupted, None] = field(factory=OrderedDict, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)

    def add(self, entry: Interrupted) -> None:
        """Call `entry.proceed` in a later turn."""
        self._entries[entry] = None
        self._schedule()

    def remove(self, entry: Interrupted) -> None:
        """Remove an entry, if it is in the queue."""
        self._entries.pop(entry, None)

    def _schedule(self) -> None:
        if self._call is None:
            self._call = self.clock.callLater(0, self._run)

    def _run(self) -> None:
        self._call = None
        entries = self._entries
        ends = self.clock.seconds() + TURN_SECONDS
        try:
            for _ in range(len(entries)):
                if not entries:
                    break  # an entry has removed others
                entries.popitem(last=False)[0].proceed()
                if self.clock.seconds() > ends:
                    break
        finally:
            # After an exception too, which the reactor logs: other entries must not miss their turns.
            if entries:
                self._schedule()
