"""What all listeners share: the parts they hand requests to, the counts and the live connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from egress.errors import Refused
from egress.interfaces import IAuditSink, IIdentifier, ITunnelingAgent
from egress.model import Outcome
from egress.policy.combine import denial
from egress.proxy.deadlines import Wheel
from egress.proxy.gate import Gate
from egress.proxy.limits import Limits, TlsSettings
from egress.proxy.origin import OriginFactory
from egress.proxy.pool import OriginPool

if TYPE_CHECKING:
    from egress.proxy.client import ClientProtocol

_PULSE_SECONDS = 1.0


def _boot() -> str:
    """Mark the ids of this process, so that they differ from those of the one before."""
    return f"{time.time_ns() // 1_000_000:x}"


@define(eq=False)
class Door:
    """The supervisor's side of every client connection.

    Attributes:
        gate: judges.
        agent: dials.
        identifier: says who calls.
        journal: takes the record.
        clock: for every deadline and duration.
        limits: every bound.
        tls: how server names in tunnels are treated.
        now: the time of day, seconds since the epoch, for the record.
        boot: the first part of every id.
        live: every client connection.
        per_client: how many connections each client has.
        is_stopping: no new requests are served.
    """

    gate: Gate
    agent: ITunnelingAgent
    identifier: IIdentifier
    journal: IAuditSink
    clock: IReactorTime
    limits: Limits = field(factory=Limits)
    tls: TlsSettings = field(factory=TlsSettings)
    now: Callable[[], float] = time.time
    boot: str = field(factory=_boot)
    wheel: Wheel = field(init=False)
    pool: OriginPool = field(init=False)
    origins: OriginFactory = field(init=False, factory=OriginFactory)
    live: set[ClientProtocol] = field(init=False, factory=set)
    per_client: dict[str, int] = field(init=False, factory=dict)
    is_stopping: bool = field(init=False, default=False)
    _requests: count[int] = field(init=False, factory=lambda: count(1))
    _connections: count[int] = field(init=False, factory=lambda: count(1))
    _pulse: IDelayedCall | None = field(init=False, default=None)
    _empty: Deferred[None] | None = field(init=False, default=None)

    @wheel.default
    def _make_wheel(self) -> Wheel:
        return Wheel(self.clock)

    @pool.default
    def _make_pool(self) -> OriginPool:
        return OriginPool(self.limits, self.wheel)

    def start(self) -> None:
        """Begin to keep deadlines, and to tell observers of what moves."""
        self.wheel.start()
        self._pulse = self.clock.callLater(_PULSE_SECONDS, self._beat)

    def stop(self) -> None:
        """End everything at once."""
        self.is_stopping = True
        for client in list(self.live):
            client.end("stopping")
        self.pool.close()
        self.wheel.stop()
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None

    def drain(self) -> Deferred[None]:
        """Serve what is running and nothing new.

        Returns:
            Fires when nothing is left, or after `limits.drain_seconds`, when what was left has been ended.
        """
        self.is_stopping = True
        self.pool.close()
        for client in list(self.live):
            client.drain()
        empty: Deferred[None] = Deferred()
        self._empty = empty
        deadline = self.clock.callLater(self.limits.drain_seconds, self._drained)
        empty.addBoth(lambda _: deadline.cancel() if deadline.active() else None)
        self.left(None)
        return empty

    def _drained(self) -> None:
        for client in list(self.live):
            client.end("stopping")
        empty, self._empty = self._empty, None
        if empty is not None:
            empty.callback(None)

    def entered(self, client: ClientProtocol) -> Refused | None:
        """Count a connection in.

        Returns:
            None, or why it must not be served. It is counted all the same until it has `left`.
        """
        key = client.client.key
        number = self.per_client.get(key, 0) + 1
        self.per_client[key] = number
        self.live.add(client)
        if self.is_stopping:
            return Refused("stopping", "The proxy is stopping.")
        if len(self.live) > self.limits.connections:
            return Refused("busy", "The proxy has as many connections as it may.")
        if number > self.limits.connections_per_client:
            return Refused("too_many_connections", "This client has as many connections as it may.")
        return None

    def left(self, client: ClientProtocol | None) -> None:
        """Count a connection out."""
        if client is not None:
            self.live.discard(client)
            key = client.client.key
            number = self.per_client[key] - 1
            if number:
                self.per_client[key] = number
            else:
                del self.per_client[key]
        if self._empty is not None and not self.live:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def request_id(self) -> str:
        """Make an id for a request."""
        return f"{self.boot}-{next(self._requests):x}"

    def connection_id(self) -> str:
        """Make an id for a connection."""
        return f"{self.boot}-c{next(self._connections):x}"

    def _beat(self) -> None:
        """Tell the observers, once a second, what moved; a DENY ends the request."""
        self._pulse = self.clock.callLater(_PULSE_SECONDS, self._beat)
        if not self.gate.world.observers:
            return
        for client in list(self.live):
            passage = client.passage
            if passage is not None:
                verdict = passage.observe()
                if verdict is not None and verdict.outcome is Outcome.DENY:
                    client.end("policy", denial(verdict))
