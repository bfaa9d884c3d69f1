"""Writers: each writes the lines of one queue to the queue's sink, in a separate thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from egress.audit.sink_queue import SinkQueue


class Writer(Protocol):
    """Writes one queue to its sink."""

    @property
    def is_finished(self) -> bool:
        """Whether the writer has ended and closed the sink."""

    def wake(self) -> None:
        """Start to write. Does not wait."""

    def finish(self) -> None:
        """Write the lines that the sink accepts at once, close the sink and end. Does not wait."""


Spawn: TypeAlias = Callable[[SinkQueue], Writer]

_POLL_SECONDS = 0.025


def await_end(writers: Sequence[Writer], clock: IReactorTime, seconds: float) -> Deferred[None]:
    """Wait until all writers are finished, or for so many seconds."""
    ended: Deferred[None] = Deferred()

    def poll(deadline: float) -> None:
        if all(writer.is_finished for writer in writers) or clock.seconds() >= deadline:
            ended.callback(None)
        else:
            clock.callLater(_POLL_SECONDS, poll, deadline)

    poll(clock.seconds() + seconds)
    return ended


class ThreadWriter:
    """A thread that writes one queue to its sink, and may block on a disk or a pipe.

    The thread is a daemon thread, because a disk that hangs must not prevent the end of the process.

    Args:
        queue: the queue.
        retry_seconds: seconds before a failed sink is retried.
    """

    def __init__(self, queue: SinkQueue, retry_seconds: float = 0.2) -> None:
        self._queue = queue
        self._retry_seconds = retry_seconds
        self._event = Event()
        self._is_finishing = False
        self._thread = Thread(target=self._run, name=f"audit-{queue.name}", daemon=True)
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
            self._event.wait(self._wait_seconds())
            self._event.clear()
            self._work()
        self._work()
        self._queue.close()

    def _wait_seconds(self) -> float | None:
        due = self._queue.due_seconds
        if self._queue.is_settled:
            return due
        return self._retry_seconds if due is None else min(due, self._retry_seconds)

    def _work(self) -> None:
        try:
            self._queue.work()
        except Exception as error:
            # An exception would end the thread, and with it the audit log, without a report.
            self._queue.failure = error
