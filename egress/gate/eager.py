"""Eager execution of generator coroutines: a Deferred is made only where one has to be waited for."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, inlineCallbacks

if TYPE_CHECKING:
    from typing_extensions import TypeIs

T = TypeVar("T")

Steps = Generator[Any, Any, T]


def run_eagerly(steps: Steps[T]) -> T | Deferred[T]:
    """Run a generator coroutine synchronously up to its first unfired Deferred.

    Args:
        steps: yields values or Deferreds of values, and is sent the values.

    Returns:
        What the generator returns, or a Deferred of it. Cancelling that Deferred cancels the one that is waited for.

    Raises:
        Exception: whatever the generator raises before its first Deferred.
    """
    try:
        step = next(steps)
        while not isinstance(step, Deferred):
            step = steps.send(step)
    except StopIteration as stop:
        result: T = stop.value
        return result
    return _wait(steps, step)


def is_pending(result: T | Deferred[T]) -> TypeIs[Deferred[T]]:
    """Tell whether a result of `run_eagerly` has to be waited for.

    By the exact type: isinstance is slow to say no for Deferred, which has an abstract base class.
    """
    return type(result) is Deferred


@inlineCallbacks
def _wait(steps: Steps[T], step: Any) -> Generator[Deferred[Any], Any, T]:
    try:
        while True:
            if isinstance(step, Deferred):
                try:
                    value = yield step
                except Exception as error:
                    step = steps.throw(error)
                    continue
            else:
                value = step
            step = steps.send(value)
    except StopIteration as stop:
        result: T = stop.value
        return result
