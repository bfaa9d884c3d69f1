"""What an engine has in its set, and calls."""

from __future__ import annotations

from typing import Protocol

from twisted.python.failure import Failure


class Entry(Protocol):
    """What may be in the set: a connection, an attempt to connect, or a port."""

    def event(self, events: int, /) -> None:
        """Hear from the socket."""

    def run(self) -> None:
        """Do what was put off."""

    def fail(self, reason: Failure, /) -> None:
        """End, for an exception came out of `event` or `run`."""

    def close(self) -> None:
        """End, for the engine stops."""


class Sharing(Entry, Protocol):
    """What may have much to do."""

    def share(self) -> None:
        """Do some of it."""
