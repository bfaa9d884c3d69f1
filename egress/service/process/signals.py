"""Hands signals to the reactor's thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorFromThreads


@define(eq=False)
class Signals:
    """What is done on which signal, between `start` and `stop`.

    Outside the main thread Python takes no signal handlers, and nothing happens.

    Attributes:
        reactor: runs the actions.
        actions: by signal number.
    """

    reactor: IReactorFromThreads
    actions: Mapping[int, Callable[[], object]]
    _before: dict[int, Any] = field(init=False, factory=dict)

    def start(self) -> None:
        """Take the signals, or take them again from whoever took them since."""
        if threading.current_thread() is threading.main_thread():
            for number in self.actions:
                before = signal.signal(number, self._caught)
                self._before.setdefault(number, before)

    def stop(self) -> None:
        """Give them back to whoever had them."""
        for number, before in self._before.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)
        self._before.clear()

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        # Python runs this between any two bytecodes; the reactor is woken and does it in its turn.
        self.reactor.callFromThread(self.actions[number])
