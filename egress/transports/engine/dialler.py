"""Dials by the engine, and has the kernel probe the connections."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory

from egress.transports.contract import SocketAddress
from egress.transports.engine.polled import DialledEngine
from egress.transports.engine.transport import Transport

# The options cost 2 % of a CONNECT, and most connections end before a probe would be due.
_LATEST_SECONDS = 10.0


class EngineDialler:
    """Dials by an engine. Connections that are open after some seconds are probed (`set_keepalive`).

    `KeepaliveDialler` dials by a reactor.

    Args:
        engine: the engine.
        keepalive_seconds: see `set_keepalive`. The options are set within this time, and within ten seconds.

    Attributes:
        callLater: sets a timer (IReactorTime).
        seconds: returns the time (IReactorTime).
    """

    __slots__ = ("_call", "_engine", "callLater", "keepalive_seconds", "seconds")

    def __init__(self, engine: DialledEngine, keepalive_seconds: int) -> None:
        self._engine = engine
        self._call: Any = None
        self.keepalive_seconds = keepalive_seconds
        self.callLater = engine.callLater
        self.seconds = engine.seconds

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float | None = 30.0,
        bindAddress: SocketAddress | None = None,
    ) -> IConnector:
        """Dial an address literal (IReactorTCP)."""
        seconds = self.keepalive_seconds
        if seconds and self._call is None:
            self._call = self.callLater(min(seconds, _LATEST_SECONDS), self._probe)
        return self._engine.connectTCP(host, port, factory, timeout, bindAddress, seconds)

    def _probe(self) -> None:
        """Have every open connection probed that was dialled since the last time."""
        self._call = None
        for entry in list(self._engine.entries.values()):
            if type(entry) is Transport and entry.keepalive_seconds:
                with suppress(OSError):  # a connection that was reset has options no more
                    entry.probe()
