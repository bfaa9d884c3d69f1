"""Runs functions that block in daemon threads."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar
from typing import Protocol as Shape

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from egress.errors import ResolverFailed

T = TypeVar("T")


class FromThreads(Shape):
    """The part of a reactor that threads use: IReactorFromThreads."""

    @property
    def callFromThread(self) -> Callable[..., Any]:
        """Call a function in the reactor's thread (IReactorFromThreads)."""


@define(eq=False)
class _Job:
    function: Callable[[], Any]
    answer: Deferred[Any]


@define(eq=False)
class DaemonThreads:
    """Runs functions in threads that are started on demand.

    The threads are daemons, so that a function that hangs does not delay the end of the process, and not those of the
    reactor's thread pool, which such functions would exhaust.

    Attributes:
        reactor: the reactor whose thread receives the results.
        limit: the largest number of threads.
    """

    reactor: FromThreads
    limit: int
    _jobs: SimpleQueue[_Job | None] = field(factory=SimpleQueue, init=False)
    _open: set[_Job] = field(factory=set, init=False)
    _count: int = field(default=0, init=False)
    _is_running: bool = field(default=False, init=False)

    def start(self) -> None:
        """Accept functions. To be called after any fork, because threads do not survive a fork."""
        self._is_running = True

    def stop(self) -> None:
        """Accept no more functions, and fail those in progress. Does not wait for the threads."""
        if not self._is_running:
            return
        self._is_running = False
        for _ in range(self._count):
            self._jobs.put(None)
        # A thread that is blocked keeps its queue, and ends when it reads the queue next.
        self._jobs, self._count = SimpleQueue(), 0
        open_jobs, self._open = self._open, set()
        for job in open_jobs:
            job.answer.errback(ResolverFailed("the resolver was stopped"))

    def run(self, function: Callable[[], T]) -> Deferred[T]:
        """Run a function.

        Returns:
            A Deferred of its result or failure. Cancelling it drops the result, but does not stop the thread.
        """
        if not self._is_running:
            return fail(ResolverFailed("the resolver is not running"))
        answer: Deferred[T] = Deferred()
        job = _Job(function, answer)
        self._open.add(job)
        # A cancelled job occupies its thread until the function returns, and counts as open until then.
        if self._count < min(self.limit, len(self._open)):
            self._count += 1
            Thread(target=self._work, args=(self._jobs,), name="look-up", daemon=True).start()
        self._jobs.put(job)
        return answer

    def _work(self, jobs: SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            result: Any
            try:
                result = job.function()
            except Exception:
                # The edge of the thread: every failure is passed to the caller.
                result = Failure()
            if not self._is_running:
                # The reactor may have stopped.
                return
            self.reactor.callFromThread(self._take, job, result)

    def _take(self, job: _Job, result: Any) -> None:
        if job in self._open:
            self._open.remove(job)
            job.answer.callback(result)
