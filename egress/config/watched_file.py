"""Files that may be changed while they are in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from typing import Protocol as Shape

from attrs import define, field

from egress.config.files import Unusable, stamp_of
from egress.errors import ConfigError

LOOK_SECONDS = 1.0
"""A file is looked at again at most this often."""

T = TypeVar("T")


class Seconds(Shape):
    """What is needed of a clock."""

    def seconds(self) -> float:
        """Tell the time."""


@define(eq=False, init=False)
class WatchedFile(Generic[T]):
    """A file that is read again when it was changed. While it cannot be used, what was read before stays.

    It is looked at when its content is wanted, at most once a second.

    Attributes:
        path: the file's.
        problem: why it cannot be used as it is now, or "".
    """

    path: str
    problem: str
    _clock: Seconds
    _read: Callable[[str], T]
    _complain: Callable[[str], None]
    _good: T = field(repr=False)
    _stamp: object
    _looked: float

    def __init__(self, path: str, clock: Seconds, read: Callable[[str], T], complain: Callable[[str], None]) -> None:
        """Read the file.

        Args:
            path: the file's.
            clock: tells when to look again.
            read: reads it, and raises Unusable or ConfigError.
            complain: told the problem when a change makes the file unusable; once for each change.

        Raises:
            Unusable: it cannot be used.
            ConfigError: the same, where `read` says it so.
        """
        self.path = path
        self.problem = ""
        self._clock = clock
        self._read = read
        self._complain = complain
        # Before it is read: a change that comes in between is then seen at the next look.
        self._stamp = stamp_of(path)
        self._good = read(path)
        self._looked = clock.seconds()

    def current(self) -> T:
        """Give what the file holds now; the same object until it was changed."""
        now = self._clock.seconds()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._good

    def _look(self) -> None:
        stamp: object = None
        try:
            stamp = stamp_of(self.path)
            if stamp == self._stamp:
                return
            self._good = self._read(self.path)
            self.problem = ""
        except (Unusable, ConfigError) as problem:
            # Once for each change, not once a second.
            if stamp != self._stamp:
                self.problem = str(problem)
                self._complain(self.problem)
        self._stamp = stamp
