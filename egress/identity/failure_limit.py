"""Limits the rate of wrong credentials of each peer, so that secrets cannot be guessed."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge

from egress.config.watched_file import Seconds


@define(eq=False)
class FailureLimit:
    """A leaky bucket of wrong credentials for each peer.

    A peer may send wrong credentials `per_minute` times in a burst, and afterwards `per_minute` times a minute on
    average.

    Attributes:
        clock: gives the time in seconds.
        per_minute: the limit of each peer.
        capacity: the largest number of peers; a further peer replaces the peer whose last failure is the oldest.
    """

    clock: Seconds
    per_minute: int = field(default=20, validator=ge(1))
    capacity: int = field(default=4096, validator=ge(1))
    # The level of each bucket and the time at which it was computed. A `Memo` is unsuitable: emptying it would lift the
    # limits.
    _levels: dict[str, tuple[float, float]] = field(factory=dict, init=False, repr=False)

    def room(self, peer: str) -> float:
        """Return the number of failures that the peer has left now. A fraction permits no failure."""
        return self.per_minute - self._level(peer)

    def wait_seconds(self, peer: str) -> float:
        """Return the seconds until a peer may fail once more."""
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
