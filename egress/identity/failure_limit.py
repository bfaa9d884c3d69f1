"""Counts wrong credentials, so that nobody can go on guessing."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge

from egress.config.watched_file import Seconds


@define(eq=False)
class Failures:
    """How many wrong credentials came from each peer of late.

    A peer may fail `per_minute` times at once; then as often as that on average.

    Attributes:
        clock: tells the time.
        per_minute: the limit of each peer.
        capacity: how many peers are remembered; the one that has not failed for the longest time goes first.
    """

    clock: Seconds
    per_minute: int = field(default=20, validator=ge(1))
    capacity: int = field(default=4096, validator=ge(1))
    # How many failures count still, and when they did.
    _levels: dict[str, tuple[float, float]] = field(factory=dict, init=False, repr=False)

    def room(self, peer: str) -> float:
        """Give how many more times a peer may fail now; a part of a failure is none."""
        return self.per_minute - self._level(peer)

    def wait_seconds(self, peer: str) -> float:
        """Give after how long a peer may fail once more."""
        return max(0.0, 1.0 - self.room(peer)) * 60.0 / self.per_minute

    def add(self, peer: str) -> None:
        """Count a failure."""
        level = self._level(peer) + 1.0
        self._levels.pop(peer, None)
        if len(self._levels) >= self.capacity:
            del self._levels[next(iter(self._levels))]
        self._levels[peer] = level, self.clock.seconds()

    def _level(self, peer: str) -> float:
        known = self._levels.get(peer)
        if known is None:
            return 0.0
        level, then = known
        level -= (self.clock.seconds() - then) * self.per_minute / 60.0
        if level <= 0.0:
            del self._levels[peer]
            return 0.0
        return level
