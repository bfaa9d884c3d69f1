"""Writes a queue to its sink, beside the reactor."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Protocol, TypeAlias

from egress.audit.sink_queue import SinkQueue


class Writer(Protocol):
    """Works an outlet off."""

    @property
    def is_finished(self) -> bool:
        """Whether it has ended and closed the sink."""

    def wake(self) -> None:
        """Say that there is something to do. Does not wait for it."""

    def finish(self) -> None:
        """Write what can be written at once, close the sink and end. Does not wait for it."""


Spawn: TypeAlias = Callable[[SinkQueue], Writer]


class ThreadWriter:
    """A thread that may wait for a disk or a pipe as long as it must.

    It is a daemon: a disk that hangs must not keep the process from ending.

    Args:
        outlet: what to work off.
        retry_seconds: how long to wait before a sink that failed is tried again.
    """

    def __init__(self, outlet: SinkQueue, retry_seconds: float = 0.2) -> None:
        self._outlet = outlet
        self._retry_seconds = retry_seconds
        self._event = Event()
        self._is_finishing = False
        self._thread = Thread(target=self._run, name=f"audit log-{outlet.name}", daemon=True)
        self._thread.start()

    @property
    def is_finished(self) -> bool:
        return not self._thread.is_alive()

    def wake(self) -> None:
        self._event.set()

    def finish(self) -> None:
        self._is_finishing = True
        self._event.set()

    def _run(self) -> None:
        while not self._is_finishing:
            self._event.wait(None if self._outlet.is_settled else self._retry_seconds)
            self._event.clear()
            self._work()
        self._work()
        self._outlet.close()

    def _work(self) -> None:
        try:
            self._outlet.work()
        except Exception as error:
            # The end of this thread would be the end of the record, without a word.
            self._outlet.failure = error
