"""What all listeners share: the parts they hand requests to, the counts and the live connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from egress.errors import Refused
from egress.gate.gate import Gate
from egress.gate.policy_round import denial
from egress.gate.snapshot import Snapshot
from egress.interfaces import IAuditSink, IIdentifier
from egress.model import Client, Outcome
from egress.proxy.http1.forwarding import ForwardingMemo
from egress.proxy.http1.request_parsing import RequestParser
from egress.proxy.limits import Limits, TlsSettings
from egress.proxy.origin.connection import OriginFactory
from egress.proxy.origin.pool import OriginPool
from egress.proxy.reload.displaced_listeners import NONE_DISPLACED, DisplacedListeners, displace
from egress.proxy.reload.reevaluation import Reevaluation
from egress.timing.timer_wheel import TimerWheel

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

_PULSE_SECONDS = 1.0

_SILENT = ("keepalive_seconds", "idle_seconds", "linger_seconds", "drain_seconds")


class HandshakingConnection(Protocol):
    """A client's connection in its handshake, as the proxy server counts and can end it.

    Attributes:
        client: who it is counted for.
        listener: the name of the one that it came by.
    """

    client: Client

    @property
    def listener(self) -> str:
        """Give it as it was then."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Stop it, now."""


def _boot() -> str:
    """Mark the ids of this process, so that they differ from those of the one before."""
    return f"{time.time_ns() // 1_000_000:x}"


@define(eq=False)
class ProxyServer:
    """The supervisor's side of every client connection.

    Attributes:
        gate: judges.
        identifier: says who calls.
        audit_log: takes the record.
        clock: for every deadline and duration.
        limits: every bound.
        tls: how server names in tunnels are treated.
        now: the time of day, seconds since the epoch, for the record.
        boot: the first part of every id.
        live: every client connection.
        arriving: those that have not ended their handshake yet.
        shaking: those of them that have begun it, the oldest first.
        request_parser: reads and parses request heads under the current limits.
        forwarding_memo: by routes with proxies, as this snapshot has them.
        per_client: how many connections each client has.
        is_stopping: no new requests are served.
        reached: how often a limit was reached that leaves no record; the pool counts its own.
    """

    gate: Gate
    identifier: IIdentifier
    audit_log: IAuditSink
    clock: IReactorTime
    limits: Limits = field(factory=Limits)
    tls: TlsSettings = field(factory=TlsSettings)
    now: Callable[[], float] = time.time
    boot: str = field(factory=_boot)
    timers: TimerWheel = field(init=False)
    pool: OriginPool = field(init=False)
    origins: OriginFactory = field(init=False, factory=OriginFactory)
    live: set[ClientConnection] = field(init=False, factory=set)
    arriving: set[HandshakingConnection] = field(init=False, factory=set)
    shaking: dict[HandshakingConnection, None] = field(init=False, factory=dict)
    request_parser: RequestParser = field(init=False)
    forwarding_memo: ForwardingMemo = field(init=False, factory=ForwardingMemo)
    per_client: dict[str, int] = field(init=False, factory=dict)
    is_stopping: bool = field(init=False, default=False)
    reached: dict[str, int] = field(init=False, factory=lambda: dict.fromkeys(_SILENT, 0))
    _requests: count[int] = field(init=False, factory=lambda: count(1))
    _connections: count[int] = field(init=False, factory=lambda: count(1))
    _pulse: IDelayedCall | None = field(init=False, default=None)
    _empty: Deferred[None] | None = field(init=False, default=None)
    _reevaluation: Reevaluation | None = field(init=False, default=None)
    # Requests that started under an earlier snapshot are still told to its observers.
    _is_observed: bool = field(init=False, default=False)

    @request_parser.default
    def _make_request_parser(self) -> RequestParser:
        return RequestParser(self.limits)

    @timers.default
    def _make_timers(self) -> TimerWheel:
        return TimerWheel(self.clock)

    @pool.default
    def _make_pool(self) -> OriginPool:
        return OriginPool(self.limits, self.timers, self.gate.snapshot.generation)

    def start(self) -> None:
        """Begin to keep deadlines, and to tell observers of what moves."""
        self.timers.start()
        self._pulse = self.clock.callLater(_PULSE_SECONDS, self._beat)

    def renew(
        self,
        snapshot: Snapshot,
        identifier: IIdentifier,
        limits: Limits,
        tls: TlsSettings,
        displaced: DisplacedListeners = NONE_DISPLACED,
        delegated_seconds: float = 60.0,
    ) -> Deferred[Reevaluation]:
        """Put a new snapshot in place for all that begins, and ask it about all that is under way.

        Idle connections to origins and proxies are closed: they were made with what the old one knew.

        Args:
            snapshot: the new one.
            identifier: says who calls from now on.
            limits: hold from now on.
            tls: the same.
            displaced: the listeners whose connections do not live on as before.
        delegated_seconds: see `Gate`.

        Returns:
            Fires when everything has been judged.
        """
        gate = self.gate
        self._is_observed = self._is_observed or bool(gate.snapshot.observers)
        gate.renew(snapshot, limits.policy_seconds, delegated_seconds)
        self.identifier, self.limits, self.tls = identifier, limits, tls
        self.request_parser, self.forwarding_memo = RequestParser(limits), ForwardingMemo()
        for client in self.live:
            # A head that has begun is read under the limits under which it began.
            if client.reader is not None and not client.reader.is_begun:
                client.reader = None
        self.pool.renew(limits, snapshot.generation)
        if self._reevaluation is not None:
            self._reevaluation.stop()
        self._reevaluation = Reevaluation(self)
        self._reevaluation.begin()
        self._displace(displaced)
        return self._reevaluation.done

    def _displace(self, displaced: DisplacedListeners) -> None:
        """Serve nothing new on connections of listeners that are not what they were.

        They bear the name of theirs, and would be asked for what another one of that name asks, or for nothing.
        """
        for client in [client for client in self.live if client.connection.listener in displaced]:
            displace(client, is_cut=client.connection.listener in displaced.lost)
        for arriving in [arriving for arriving in self.arriving if arriving.listener in displaced]:
            arriving.end("refused")

    def stop(self) -> None:
        """End everything at once."""
        self.is_stopping = True
        if self._reevaluation is not None:
            self._reevaluation.stop()
        self._end_all()
        self.pool.close()
        self.timers.stop()
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
        for arriving in list(self.arriving):
            arriving.end("stopping")
        empty: Deferred[None] = Deferred()
        self._empty = empty
        deadline = self.clock.callLater(self.limits.drain_seconds, self._drained)
        empty.addBoth(lambda _: deadline.cancel() if deadline.active() else None)
        self.left(None)
        return empty

    def _end_all(self) -> None:
        everybody: list[ClientConnection | HandshakingConnection] = [*self.live, *self.arriving]
        for each in everybody:
            each.end("stopping")

    def _drained(self) -> None:
        self.reached["drain_seconds"] += 1
        self._end_all()
        empty, self._empty = self._empty, None
        if empty is not None:
            empty.callback(None)

    def entered(self, client: ClientConnection) -> Refused | None:
        """Count a connection in.

        Returns:
            None, or why it must not be served. It is counted all the same until it has `left`.
        """
        self.live.add(client)
        key = client.client.key
        number = self.per_client[key] = self.per_client.get(key, 0) + 1
        if (
            number > self.limits.connections_per_client
            or len(self.live) + len(self.arriving) > self.limits.connections
            or self.is_stopping
        ):
            return self._overfull(number)
        return None

    def arrived(self, arriving: HandshakingConnection) -> Refused | None:
        """Count a connection in whose handshake begins. It counts until it has `gone`, be it to enter."""
        self.arriving.add(arriving)
        key = arriving.client.key
        number = self.per_client[key] = self.per_client.get(key, 0) + 1
        return self._overfull(number)

    def _overfull(self, number: int) -> Refused | None:
        """Say whether there is no room for a connection that is counted already."""
        if self.is_stopping:
            return Refused("stopping", "The proxy is stopping.")
        if len(self.live) + len(self.arriving) > self.limits.connections:
            return Refused("busy", "The proxy has as many connections as it may.")
        if number > self.limits.connections_per_client:
            return Refused("too_many_connections", "This client has as many connections as it may.")
        return None

    def recount(self, client: ClientConnection, caller: Client) -> Refused | None:
        """Count a connection for whoever its latest request is of.

        Returns:
            None, or why the request must not be served. The connection counts for the one before, then.
        """
        key, before = caller.key, client.client.key
        if key != before:
            number = self.per_client.get(key, 0) + 1
            if number > self.limits.connections_per_client:
                return Refused("too_many_connections", "This client has as many connections as it may.")
            self._uncount(before)
            self.per_client[key] = number
        client.client = caller
        return None

    def _uncount(self, key: str) -> None:
        number = self.per_client[key] - 1
        if number:
            self.per_client[key] = number
        else:
            del self.per_client[key]

    def left(self, client: ClientConnection | None) -> None:
        """Count a connection out."""
        if client is not None:
            self.live.discard(client)
            self._uncount(client.client.key)
        if self._empty is not None and not self.live and not self.arriving:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def gone(self, arriving: HandshakingConnection) -> None:
        """Count a connection out whose handshake is over."""
        self.arriving.discard(arriving)
        self._uncount(arriving.client.key)
        self.left(None)

    def request_id(self) -> str:
        """Make an id for a request."""
        return f"{self.boot}-{next(self._requests):x}"

    def connection_id(self) -> str:
        """Make an id for a connection."""
        return f"{self.boot}-c{next(self._connections):x}"

    def _beat(self) -> None:
        """Tell the observers, once a second, what moved; a DENY ends the request."""
        self._pulse = self.clock.callLater(_PULSE_SECONDS, self._beat)
        if not (self._is_observed or self.gate.snapshot.observers):
            return
        for client in list(self.live):
            transaction = client.transaction
            if transaction is not None:
                verdict = transaction.observe()
                if verdict is not None and verdict.outcome is Outcome.DENY:
                    client.end("policy", denial(verdict))
