"""Runs a series of steps, and makes a Deferred only if one of them has to be waited for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, inlineCallbacks

T = TypeVar("T")

Steps = Generator[Any, Any, T]


def run(steps: Steps[T]) -> T | Deferred[T]:
    """Drive a generator that yields values or Deferreds of values, and is sent the values.

    Returns:
        What the generator returns: at once, or a Deferred of it; cancelling that cancels what is waited for.

    Raises:
        Exception: whatever the generator raises before it first has to wait.
    """
    try:
        step = next(steps)
        while not isinstance(step, Deferred):
            step = steps.send(step)
    except StopIteration as stop:
        result: T = stop.value
        return result
    return _wait(steps, step)


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
