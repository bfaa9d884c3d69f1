"""The proxy server: the state that all client connections share, with start, reload and stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from egress.errors import Refused
from egress.gate.gate import Gate
from egress.gate.policy_round import FAILED, denial
from egress.gate.snapshot import Snapshot
from egress.interfaces import IAuditSink, IIdentifier
from egress.model import Outcome
from egress.proxy.connections import Connections
from egress.proxy.departure import end_departed
from egress.proxy.forwarding import Forwardings
from egress.proxy.handshakes import Handshakes
from egress.proxy.http1.request_parsing import RequestParser
from egress.proxy.limits import HttpSettings, Limits, TlsSettings
from egress.proxy.origin.connection import OriginFactory
from egress.proxy.origin.pool import OriginPool
from egress.proxy.reload.displaced_listeners import NONE_DISPLACED, DisplacedListeners, displace
from egress.proxy.reload.reevaluation import Reevaluation
from egress.proxy.roles import LiveConnection
from egress.timing.timer_wheel import TimerWheel
from egress.timing.turn_queue import TurnQueue
from egress.wire.date_field import DateField
from egress.wire.via import Via

_PULSE_SECONDS = 1.0

_log = Logger()

_UNRECORDED = ("keepalive_seconds", "idle_seconds", "linger_seconds", "drain_seconds")


def _make_boot_id() -> str:
    """Make the first part of this process's ids, so that the ids differ from those of earlier processes."""
    return f"{time.time_ns() // 1_000_000:x}"


@define(eq=False)
class ProxyServer:
    """The state that all client connections of all listeners share.

    Attributes:
        gate: the gate that judges requests.
        identifier: the identifier of clients.
        audit_log: the sink of audit events.
        clock: the clock of every deadline and duration.
        limits: the `[limits]` table.
        tls: the `[tls]` table.
        http: the `[http]` table.
        now: returns the time of day in seconds since the epoch, for audit events.
        boot: the first part of every id.
        via: the Via of this process.
        timers: the timer wheel of connections.
        turns: the queue of connections with further pipelined requests.
        connections: the client connections.
        pool: the pool of idle origin connections.
        origins: the factory of origin connections.
        request_parser: the parser of request heads under the current limits.
        forwardings: the forms of requests on routes with proxies.
        date_field: returns the line of the Date field for responses without one.
        reached: the number of times that each limit without an audit event was reached. The pool counts its own limits.
    """

    gate: Gate
    identifier: IIdentifier
    audit_log: IAuditSink
    clock: IReactorTime
    limits: Limits = field(factory=Limits)
    tls: TlsSettings = field(factory=TlsSettings)
    http: HttpSettings = field(factory=HttpSettings)
    now: Callable[[], float] = time.time
    boot: str = field(factory=_make_boot_id)
    via: Via = field(factory=Via.make)
    timers: TimerWheel = field(init=False)
    turns: TurnQueue = field(init=False)
    handshakes: Handshakes = field(init=False)
    connections: Connections = field(init=False)
    pool: OriginPool = field(init=False)
    origins: OriginFactory = field(init=False, factory=OriginFactory)
    request_parser: RequestParser = field(init=False)
    forwardings: Forwardings = field(init=False)
    date_field: DateField = field(init=False)
    reached: dict[str, int] = field(init=False, factory=lambda: dict.fromkeys(_UNRECORDED, 0))
    _request_numbers: count[int] = field(init=False, factory=lambda: count(1))
    _connection_numbers: count[int] = field(init=False, factory=lambda: count(1))
    _pulse: IDelayedCall | None = field(init=False, default=None)
    _reevaluation: Reevaluation | None = field(init=False, default=None)
    # Requests that started under an earlier snapshot are still reported to its observers.
    _is_observed: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.timers = TimerWheel(self.clock)
        self.turns = TurnQueue(self.clock)
        self.handshakes = Handshakes(self.limits, self.clock)
        self.connections = Connections(self.limits)
        self.pool = OriginPool(self.limits, self.timers, self.gate.snapshot.generation)
        self.date_field = DateField(self.now)
        self.request_parser, self.forwardings = RequestParser(self.limits, self.via), Forwardings(self.via)

    def start(self) -> None:
        """Start the timer wheel, the reports to observers, and the search for clients that have left."""
        self.timers.start()
        self._pulse = self.clock.callLater(_PULSE_SECONDS, self._look)

    def renew(
        self,
        snapshot: Snapshot,
        identifier: IIdentifier,
        limits: Limits,
        tls: TlsSettings,
        http: HttpSettings,
        displaced: DisplacedListeners = NONE_DISPLACED,
        delegated_seconds: float = 60.0,
    ) -> Deferred[Reevaluation]:
        """Activate a configuration snapshot, and re-evaluate the requests in progress.

        Idle origin connections are closed, because an earlier snapshot dialled them.

        Args:
            snapshot: the new snapshot.
            identifier: the new identifier of clients.
            limits: the new limits.
            tls: the new `[tls]` table.
            http: the new `[http]` table.
            displaced: the listeners that were removed, renamed or moved.
            delegated_seconds: see `Gate`.

        Returns:
            A Deferred that fires once every request has been evaluated.
        """
        self._is_observed = self._is_observed or bool(self.gate.snapshot.observers)
        self.gate.renew(snapshot, limits.policy_seconds, delegated_seconds)
        self.identifier, self.limits, self.tls, self.http = identifier, limits, tls, http
        self.connections.limits = self.handshakes.limits = limits
        self.request_parser, self.forwardings = RequestParser(limits, self.via), Forwardings(self.via)
        for client in self.connections.live:
            client.renew_limits()
        self.pool.renew(limits, snapshot.generation)
        if self._reevaluation is not None:
            self._reevaluation.stop()
        self._reevaluation = Reevaluation(self.gate, self.connections, self.clock)
        self._reevaluation.begin()
        displace(self.connections, displaced)
        return self._reevaluation.done

    def stop(self) -> None:
        """End every connection and stop the timers at once."""
        self.connections.is_stopping = True
        if self._reevaluation is not None:
            self._reevaluation.stop()
        self.connections.end_all("stopping")
        self.pool.stop()
        self.timers.stop()
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None

    def drain(self) -> Deferred[None]:
        """Finish running requests, and serve no new request.

        Returns:
            A Deferred that fires once no connection is open. Connections that remain after `limits.drain_seconds` are
            ended.
        """
        connections = self.connections
        connections.is_stopping = True
        self.pool.stop()
        for client in list(connections.live):
            client.drain()
        for handshaking in list(connections.handshaking):
            handshaking.end("stopping")
        deadline = self.clock.callLater(self.limits.drain_seconds, self._end_drain)
        emptied = connections.when_empty()
        emptied.addBoth(lambda _: deadline.cancel() if deadline.active() else None)
        return emptied

    def _end_drain(self) -> None:
        self.reached["drain_seconds"] += 1
        self.connections.end_all("stopping")
        self.connections.give_up_waiting()

    def request_id(self) -> str:
        """Make an id for a request."""
        return f"{self.boot}-{next(self._request_numbers):x}"

    def connection_id(self) -> str:
        """Make an id for a connection. The letter is no hexadecimal digit, so that no request has the same id."""
        return f"{self.boot}-s{next(self._connection_numbers):x}"

    def _look(self) -> None:
        """Do what is done once a second."""
        self._pulse = self.clock.callLater(_PULSE_SECONDS, self._look)
        end_departed(self.connections.unread, is_fin_close=self.http.is_fin_close)
        self._tell_observers()

    def _tell_observers(self) -> None:
        """Report transferred octets to the observers. A DENY ends the request."""
        if not (self._is_observed or self.gate.snapshot.observers):
            return
        for client in list(self.connections.live):
            try:
                refused = self._observe(client)
                if refused is not None:
                    _end(client, refused)
            except Exception:
                # An exception of one connection must not prevent reports about the others.
                _log.failure("ending a request failed")

    def _observe(self, client: LiveConnection) -> Refused | None:
        """Report the transferred octets of one connection; return the refusal that ends its request, if any."""
        transaction = client.transaction
        if transaction is None:
            return None
        try:
            verdict = transaction.observe()
            return None if verdict is None or verdict.outcome is not Outcome.DENY else denial(verdict)
        except Exception:
            _log.failure("telling the observers of a request failed")
            return Refused("policy_failed", FAILED)


def _end(client: LiveConnection, refused: Refused) -> None:
    """End a request that an observer refuses: with an answer while it is dialled, else by a reset."""
    transaction = client.transaction
    if transaction is None or transaction.is_streaming:
        client.end("policy", refused)
    else:
        transaction.refuse_unstarted(refused)
