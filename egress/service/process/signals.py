"""Runs actions in the reactor's thread when signals arrive."""

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
    """Signal handlers, which are installed between `start` and `stop`.

    Python installs handlers in the main thread only. In another thread `start` has no effect.

    Attributes:
        reactor: the reactor that runs the actions.
        actions: the actions by signal number.
    """

    reactor: IReactorFromThreads
    actions: Mapping[int, Callable[[], object]]
    _before: dict[int, Any] = field(init=False, factory=dict)

    def start(self) -> None:
        """Install the handlers, or install them again after other code has replaced them."""
        if threading.current_thread() is threading.main_thread():
            for number in self.actions:
                before = signal.signal(number, self._caught)
                self._before.setdefault(number, before)

    def stop(self) -> None:
        """Restore the former handlers."""
        for number, before in self._before.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)
        self._before.clear()

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        # Python runs the handler between any two bytecodes. The action runs in a turn of the reactor.
        self.reactor.callFromThread(self.actions[number])
