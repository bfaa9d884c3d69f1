"""The objects that an engine polls, by role."""

from __future__ import annotations

from typing import Protocol

from twisted.python.failure import Failure


class Polled(Protocol):
    """An object with a socket in the epoll set: a connection, a connection attempt or a port."""

    def event(self, events: int, /) -> None:
        """Called with the events of the socket."""

    def run(self) -> None:
        """Do what was deferred to the end of the turn."""

    def fail(self, reason: Failure, /) -> None:
        """Close: `event` or `run` has raised an exception."""

    def close(self) -> None:
        """Close: the engine stops."""


class BulkPolled(Polled, Protocol):
    """A polled object that may have more octets to move than one turn should."""

    def run_bulk(self) -> None:
        """Move one turn's share of them."""
