"""Signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from egress.service.process.signals import Signals


class MemoryWaker:
    """Keeps what it is handed from elsewhere."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        """Keep a call."""
        self.calls.append(call)


class SignalTests(SynchronousTestCase):
    """Signals reach the reactor's thread."""

    def test_action_runs_in_the_reactor(self) -> None:
        """A signal's action is not run in the handler but handed to the reactor."""
        reactor: Any = MemoryWaker()
        heard: list[str] = []
        signals = Signals(reactor, {signal.SIGUSR2: lambda: heard.append("usr2")})
        signals.start()
        self.addCleanup(signals.stop)

        signal.raise_signal(signal.SIGUSR2)

        self.assertEqual([], heard)
        for call in reactor.calls:
            call()
        self.assertEqual(["usr2"], heard)
