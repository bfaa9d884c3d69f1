"""Runs long computations outside of the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any
from typing import Protocol as Shape

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class FromThreads(Shape):
    """The required part of a reactor: IReactorFromThreads."""

    @property
    def callFromThread(self) -> Callable[..., Any]:
        """Run a function in the reactor's thread."""


@frozen(eq=False)
class Threads:
    """Runs each job in a new thread. The caller bounds the number of jobs.

    A job takes some tenths of a second, so the time to start a thread does not matter. Without a pool there is no idle
    thread that a fork would lose or that would delay the end of the process.

    Attributes:
        reactor: receives the results in its thread.
    """

    reactor: FromThreads

    def __call__(self, job: Callable[[], bool]) -> Deferred[bool]:
        """Run a job.

        Returns:
            A Deferred of the job's result or failure. Cancelling the Deferred does not stop the thread.

        Raises:
            RuntimeError: no thread can be started.
        """
        done: Deferred[bool] = Deferred()

        def work() -> None:
            result: bool | Failure
            try:
                result = job()
            except Exception:
                result = Failure()
            self.reactor.callFromThread(self._tell, done, result)

        Thread(target=work, name="credentials", daemon=True).start()
        return done

    @staticmethod
    def _tell(done: Deferred[bool], result: bool | Failure) -> None:
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)
