"""One HTTP request and its response, between a client's side and an origin's side.

Neither side is an HTTP/1.1 connection here: both are roles (`egress.proxy.roles`).
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import Admission, Request
from egress.proxy.exchange_roles import ClientSide, OriginSide, PooledConnection, Trailers
from egress.proxy.forwarding import DIRECT_FORWARDING, Forwarding
from egress.proxy.obligations import fulfil
from egress.proxy.request_roles import ParsedRequest
from egress.proxy.server import ProxyServer
from egress.proxy.states import AWAITING, CONNECTING, EXCHANGE, FINISHED, RECEIVING, RESPONDING, SENDING
from egress.proxy.transaction import Transaction
from egress.proxy.tunnel.tunnel import Tunnel
from egress.timing.idle_watch import IdleWatch
from egress.wire.connection_authentication import has_proxy_support
from egress.wire.framing import Framing, Kind
from egress.wire.proxy_status import response_source
from egress.wire.response_head import ResponseHead

_CLOSED = "The destination closed the connection without an answer."
_UNASKED = ProtocolError("origin_malformed", "The destination changed to a protocol that nobody asked for.").sentence


@define(eq=False)
class Exchange:
    """One request and its response (RequestSource, ResponseSink, TransactionOwner).

    Its states are the table `states.EXCHANGE`.

    Attributes:
        server: has the pool, the limits and the timers.
        client: the client's side.
        request: what is judged; `parsed` is what was read.
        upgrade: the protocol that the client may change to; None for none.
        transaction: admits, dials and records the request.
        origin: the origin's side; None while the state is connecting or finished.
        forwarding: the form of the request on its route.
        state: see the table.
    """

    server: ProxyServer
    client: ClientSide
    request: Request
    parsed: ParsedRequest
    upgrade: bytes | None
    transaction: Transaction = field(init=False)
    origin: OriginSide | None = field(init=False, default=None)
    forwarding: Forwarding = field(init=False, default=DIRECT_FORWARDING)
    state: str = field(init=False, default=CONNECTING)
    _idle: IdleWatch | None = field(init=False, default=None)
    _sent_at: float = field(init=False, default=0.0)

    def begin(self) -> None:
        """Ask the gate. Policies, the resolver and the dial have deadlines of their own."""
        client = self.client
        transaction = self.transaction = Transaction(self.server, client.subject, self.request, self)
        client.begin(self, transaction)
        transaction.admit()

    # Results of the transaction (TransactionOwner).

    def admitted(self, admission: Admission) -> None:
        """Take a pooled connection, or dial."""
        if self.state is FINISHED:
            return
        server, route = self.server, admission.route
        self.forwarding = DIRECT_FORWARDING
        if route.hops:
            proxies = server.gate.snapshot.proxies
            self.forwarding = server.forwardings.choose(proxies, self.request, route, self.upgrade, self.parsed.head)
        place, subject, is_repeatable = self.forwarding.place, self.client.subject, self.parsed.is_repeatable
        origin = server.pool.take(self.request, admission, place, subject, is_repeatable=is_repeatable)
        if origin is None:
            self.transaction.dial(self.forwarding.recipient, self.forwarding.connect_fields)
        else:
            self.transaction.dialled = origin.address
            self.connected(origin)

    def connected(self, origin: PooledConnection) -> None:
        """Send the head, and the body or what has come of it."""
        if self.state is FINISHED:
            origin.abort()
            return
        server, client = self.server, self.client
        stream = self.origin = origin.open_stream(self, server.limits, server.via)
        payload = b"" if self.parsed.framing.kind is Kind.NONE else client.take_body()
        try:
            parsed = fulfil(self.parsed, self.transaction.admission) if self.request.overrides else self.parsed
            stream.request(parsed, self.upgrade, self.forwarding, payload or b"")
        except ProtocolError as error:
            self._drop_origin()
            self.refused(Refused(error.code, error.sentence))
            return
        self.transaction.start()
        self._sent_at = server.clock.seconds()
        if payload is not None:
            self._step("send_whole")
            self.transaction.up += len(payload)
            server.timers.expect(client.subject, server.limits.response_seconds)
        else:
            self._step("send")
            self._watch(server.limits.body_stall_seconds)
            stream.pull_from(client.producer)
            client.start_body()

    def refused(self, refused: Refused) -> None:
        """Answer with a refusal; the response has not begun."""
        if self.state is FINISHED:
            return
        self._step("finish")
        transaction, client = self.transaction, self.client
        transaction.cancel()
        transaction.name_policy(refused)
        client.refuse(refused, self.request.id)
        transaction.record_refusal(refused)
        client.finish(is_read=False)

    # Events of the client's side (RequestSource).

    def body_data(self, payload: bytes, trailers: Trailers | None) -> None:
        """Forward a piece of the request body; with trailers, its last."""
        server, transaction, origin = self.server, self.transaction, self.origin
        if origin is None:
            return
        transaction.up += len(payload)
        if transaction.up > server.limits.request_body_bytes:
            self._fail(Refused("body_too_large", "The request body exceeds its limit."), "body_too_large")
            return
        origin.send(payload, trailers)
        if trailers is not None:
            self._step("sent")
            self._stop_body(origin)
            self._sent_at = server.clock.seconds()
            server.timers.expect(self.client.subject, server.limits.response_seconds)

    def body_malformed(self, refused: Refused) -> None:
        """Fail: the request body breaks its framing."""
        self._fail(refused, "body_malformed")

    def client_lost(self, reason: Failure) -> None:
        """End the exchange: its response has no recipient."""
        if self.state is not FINISHED:
            self._finish("client_closed" if reason.check(ConnectionDone) else "client_reset", None)

    def expired(self) -> None:
        """End what took too long. While a body streams, its deadline is a look at the counters."""
        server, state, watch = self.server, self.state, self._idle
        if watch is None or state is CONNECTING or state is AWAITING:
            self._fail(Refused("origin_timeout", "The destination did not answer in time."), "idle")
            return
        seconds = server.limits.body_stall_seconds if state is SENDING else server.limits.idle_seconds
        if watch.idle_seconds(self.transaction.up + self.transaction.down, server.clock.seconds()) < seconds:
            server.timers.expect(self.client.subject, seconds / 4)
        elif state is SENDING:
            self._fail(Refused("body_timeout", "The request body did not move on in time."), "body_timeout")
        else:
            self.end("idle")

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both sides."""
        if self.state is not FINISHED:
            self._finish(cause, refused)
            self.client.pull_from(None)
            self.client.abort()

    # Events of the origin's side (ResponseSink).

    def interim_response(self, head: ResponseHead) -> None:
        """Forward a 1xx response."""
        self.client.interim_response(head)

    def response(self, head: ResponseHead, framing: Framing, payload: bytes, trailers: Trailers | None) -> None:
        """Forward the head of the response and the first of its body."""
        server, transaction = self.server, self.transaction
        if head.status == 408 and self._repeat():
            # It was sent because the connection was idle for too long, and crossed the request.
            return
        if self.forwarding.is_absolute:
            if head.status == 407:
                # The proxy wants other credentials of ours. The client's have nothing to do with it.
                self._fail(self.forwarding.challenged(head), "failed")
                return
            self.forwarding.answered()
            transaction.response_source = response_source(head.status, head.fields.block)
        self.request.phases.wait = (server.clock.seconds() - self._sent_at) * 1000.0
        transaction.status = head.status
        transaction.down += len(payload)
        self._step("respond")
        self.client.respond(head, framing, payload, trailers, head.status == 401 and self._is_bound(head))
        origin = self.origin
        if origin is None:
            return
        if trailers is not None:
            self._complete(origin)
        elif origin.connection.transport is not None:
            self.client.pull_from(origin.connection.transport)
            self._watch(server.limits.idle_seconds)

    def response_data(self, payload: bytes, trailers: Trailers | None) -> None:
        """Forward a further piece of the response body."""
        self.transaction.down += len(payload)
        self.client.send(payload, trailers)
        origin = self.origin
        if trailers is not None and origin is not None:
            self._stop_response(origin)
            self._complete(origin)

    def protocol_changed(self, head: ResponseHead, rest: bytes) -> None:
        """Become a tunnel, if the client asked for that protocol."""
        upgrade, origin = self.upgrade, self.origin
        assert origin is not None
        if upgrade is None or [value.lower() for value in head.fields.values(b"upgrade")] != [upgrade]:
            self._fail(Refused("origin_malformed", _UNASKED), "origin_malformed")
            return
        self._step("finish")
        self.origin = None
        self.request.phases.wait = (self.server.clock.seconds() - self._sent_at) * 1000.0
        self.transaction.status = 101
        client = self.client.change_protocol(head, upgrade)
        origin.sink = None
        Tunnel(self.server, client, origin.connection, self.transaction).take_over(rest)

    def response_malformed(self, refused: Refused) -> None:
        """Fail: the response breaks the rules."""
        self._fail(refused, "origin_malformed")

    def response_truncated(self) -> None:
        """Reset the client's side, so that the response is never taken for whole."""
        self.end("origin_truncated")

    def origin_closed(self, reason: Failure | None) -> None:
        """Try again where that is safe: an origin may close an idle connection at any moment."""
        origin = self.origin
        if origin is not None and (origin.has_heard or not self._repeat()):
            self._drop_origin()
            self.refused(self.forwarding.blame(Refused("origin_closed", _CLOSED), reason))

    def _is_bound(self, head: ResponseHead) -> bool:
        """Tell whether the client may authenticate the connection: all proxies between client and origin keep it."""
        origin = self.origin
        is_kept = origin is not None and origin.connection.is_bound
        return is_kept and (not self.forwarding.is_absolute or has_proxy_support(head.fields))

    def _repeat(self) -> bool:
        """Send a repeatable request again by a new connection, if the present one was idle. That happens once."""
        origin = self.origin
        if origin is None or not origin.connection.is_used or not self.parsed.is_repeatable:
            return False
        self._drop_origin()
        self._step("reconnect")
        self.server.timers.clear(self.client.subject)
        self.transaction.dial(self.forwarding.recipient, self.forwarding.connect_fields)
        return True

    # Ends.

    def _step(self, event: str) -> None:
        self.state = EXCHANGE[self.state][event]

    def _finish(self, cause: str, refused: Refused | None) -> None:
        """Release the origin's side, and record the end."""
        self.transaction.cancel()
        self._drop_origin()
        self._step("finish")
        self.transaction.record_end(cause, refused)

    def _fail(self, refused: Refused, cause: str) -> None:
        """Answer with a failure, or reset the client's side if the response has begun."""
        state = self.state
        if state is FINISHED:
            return
        if state is RESPONDING or state is RECEIVING:
            self.end(cause)
            return
        self._drop_origin()
        self.refused(self.forwarding.blame(refused, None))

    def _complete(self, origin: OriginSide) -> None:
        """The response is complete. Keep the origin's connection if it can serve a further request."""
        transaction, is_read = self.transaction, self.state is RECEIVING
        admission = transaction.admission
        assert admission is not None
        self._step("finish")
        self.origin = None
        if not is_read:
            self._stop_body(origin)
            origin.abort()
        else:
            place, subject = self.forwarding.place, self.client.subject
            self.server.pool.give_back(origin, self.request, admission, place, subject)
        transaction.record_end("complete")
        self.client.finish(is_read=is_read)

    def _drop_origin(self) -> None:
        """Reset the origin's side."""
        origin, state = self.origin, self.state
        if origin is None:
            return
        self.origin = None
        if state is SENDING or state is RESPONDING:
            self._stop_body(origin)
        if state is RESPONDING or state is RECEIVING:
            self._stop_response(origin)
        origin.abort()

    def _stop_body(self, origin: OriginSide) -> None:
        """Stop to forward the request body: the client is paused on the origin's account no longer."""
        origin.pull_from(None)
        self.client.stop_body()

    def _stop_response(self, origin: OriginSide) -> None:
        """Stop to forward the response: the origin is paused on the client's account no longer."""
        self.client.pull_from(None)
        if origin.connection.transport is not None:
            origin.connection.transport.resumeProducing()

    def _watch(self, seconds: float) -> None:
        server = self.server
        self._idle = IdleWatch(self.transaction.up + self.transaction.down, server.clock.seconds())
        server.timers.expect(self.client.subject, seconds / 4)
