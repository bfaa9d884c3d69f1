"""Eager execution of generator coroutines: a Deferred is created only if a step must be awaited."""

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
        steps: a generator that yields values or Deferreds of values, and receives the values.

    Returns:
        The result of the generator, or a Deferred of the result. Cancelling the Deferred cancels the pending step.

    Raises:
        Exception: any exception of the generator before its first unfired Deferred.
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
    """Whether a result of `run_eagerly` is a Deferred.

    By the exact type, because a false isinstance is slow for Deferred, which has an abstract base class.
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
