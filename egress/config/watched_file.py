"""Files that are read again after a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from typing import Protocol as Shape

from attrs import define, field

from egress.config.files import Unusable, stamp_of
from egress.errors import ConfigError

LOOK_SECONDS = 1.0
"""The seconds between two checks of a file's state."""

T = TypeVar("T")


class Seconds(Shape):
    """The required part of a clock: IReactorTime.seconds."""

    def seconds(self) -> float:
        """Return the time in seconds."""


@define(eq=False, init=False)
class WatchedFile(Generic[T]):
    """A file that is read again after a change. While the changed file cannot be used, the previous value is kept.

    The file is checked for changes when the value is requested, at most once a second.

    Attributes:
        path: the file's name.
        problem: the reason why the present file cannot be used, or "".
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
            path: the file's name.
            clock: gives the time in seconds.
            read: reads the file; raises Unusable or ConfigError.
            complain: called with the problem when a change makes the file unusable, once for each change.

        Raises:
            Unusable: the file cannot be used.
            ConfigError: the file's content is refused by `read`.
        """
        self.path = path
        self.problem = ""
        self._clock = clock
        self._read = read
        self._complain = complain
        # Before the read, so that the next check detects a change in between.
        self._stamp = stamp_of(path)
        self._good = read(path)
        self._looked = clock.seconds()

    def current(self) -> T:
        """Return the value of the present file: one object until the file changes."""
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
