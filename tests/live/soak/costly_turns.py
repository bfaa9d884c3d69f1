"""Runs each kind of client of `bench/costly.py` for a while, one after the other."""

from __future__ import annotations

import contextlib
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.live.soak.entrance import Entrance
from tests.live.soak.server import Server
from tests.live.soak.streams import Stream

_SCRIPT = Path(__file__).resolve().parents[3] / "bench" / "costly.py"
PORTS = 8
_COUNT = 3
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KINDS: tuple[str, ...] = tuple(runpy.run_path(str(_SCRIPT))["KINDS"])
# Where a kind needs another listener than the plain one.
_LISTENERS = {"small records": "secure", "refused uploads": "tokens"}
UNCOUNTED = ("no_rule", "credentials_required")
"""Codes of the requests of which only the client knows the number."""


class CostlyTurns:
    """The processes, one at a time, and the origins that they use.

    Args:
        base: the first of `PORTS` free ports.
        rng: chooses the order.

    Attributes:
        ports: of the origins.
        done: how often each kind had its turn.
    """

    def __init__(self, base: int, rng: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._rng = rng
        self._left: list[str] = []
        self.ports = range(base, base + PORTS)
        self._origins = [Server(_answer, base), Server(lambda stream: stream.read_all(len), base + 3)]

    @property
    def faults(self) -> list[str]:
        """What failed."""
        return [fault for origin in self._origins for fault in origin.faults]

    def stop(self) -> None:
        """Close the origins."""
        for origin in self._origins:
            origin.stop()

    def turn(self, entrances: Mapping[str, Entrance], seconds: float, over: threading.Event) -> None:
        """Let the next kind work for so many seconds."""
        if not self._left:
            self._left = self._rng.sample(KINDS, len(KINDS))
        kind = self._left.pop()
        place = entrances[_LISTENERS.get(kind, "agents")].place
        assert isinstance(place, tuple)
        command = ["nice", "-n", "19", sys.executable, str(_SCRIPT), kind, str(_COUNT), f"{place[0]}:{place[1]}"]
        with subprocess.Popen(
            [*command, str(self.ports[0])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                over.wait(seconds)
                self.done[kind] += 1
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)


def _answer(stream: Stream) -> None:
    while stream.read_until(b"\r\n\r\n"):
        stream.send(_ANSWER)
