"""Runs what takes long beside the reactor."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any
from typing import Protocol as Shape

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class FromThreads(Shape):
    """What is needed of a reactor: IReactorFromThreads."""

    @property
    def callFromThread(self) -> Callable[..., Any]:
        """Run something in the reactor's thread."""


@frozen(eq=False)
class Threads:
    """Gives each job a thread of its own. Whoever calls it bounds their number.

    A job takes some tenths of a second, beside which the making of a thread is nothing; and none is kept that a fork
    would lose or the end of the process would have to wait for.

    Attributes:
        reactor: takes the results.
    """

    reactor: FromThreads

    def __call__(self, job: Callable[[], bool]) -> Deferred[bool]:
        """Run a job.

        Returns:
            A Deferred of its result, which fails as the job does. Cancelling it leaves the thread at work.

        Raises:
            RuntimeError: there can be no more threads.
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
