"""One HTTP request and its answer: the request's side of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import Admission, Request
from egress.proxy.http1.forwarding import DIRECT_FORWARDING, Forwarding
from egress.proxy.http1.request_body import RequestBodyStream, take_whole
from egress.proxy.http1.response_stream import ResponseStream
from egress.proxy.origin.connection import OriginConnection
from egress.proxy.transaction import Transaction
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.body import BodyReader, NoBody, body_reader
from egress.wire.forwarding import serialize_request
from egress.wire.framing import Framing, Kind
from egress.wire.request_head import RequestHead
from egress.wire.response_head import ResponseReader
from egress.wire.target import Target

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

# What RFC 9110 section 9.2.2 lets anybody repeat.
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))

_CLOSED = "The destination closed the connection without an answer."

# One for all: it is complete from the start, and what is complete is never fed.
_NO_BODY = NoBody()


@define(eq=False)
class Exchange:
    """A request on its way: admitted, dialled or taken from the pool, sent with its body, and answered.

    Attributes:
        client: the protocol it came on.
        request: what is judged.
        head: as it was read.
        target: where to, and in which form it is sent on.
        framing: of its body.
        is_kept: the client's connection may serve another request afterwards.
        upgrade: the protocol that the client may change to.
        transaction: its way through the gate, its bytes and its record.
        body: reads the request's body.
        origin: once there is one.
        response_stream: reads and passes on the answer.
        forwarding: how it goes through proxies.
    """

    client: ClientConnection
    request: Request
    head: RequestHead
    target: Target
    framing: Framing
    is_kept: bool
    upgrade: bytes | None
    transaction: Transaction = field(init=False)
    body: BodyReader = field(init=False)
    origin: OriginConnection | None = field(init=False, default=None)
    response_stream: ResponseStream | None = field(init=False, default=None)
    forwarding: Forwarding = field(init=False, default=DIRECT_FORWARDING)
    _is_retried: bool = field(init=False, default=False)
    _mark: int = field(init=False, default=0)
    _quiet_since: float = field(init=False, default=0.0)
    _is_over: bool = field(init=False, default=False)
    _body_stream: RequestBodyStream | None = field(init=False, default=None)

    def begin(self) -> None:
        """Ask the gate."""
        client = self.client
        self.transaction = Transaction(client, self.request, self)
        self.body = _NO_BODY if self.framing.kind is Kind.NONE else body_reader(self.framing, "bad_framing")
        client.receiver, client.transaction = self, self.transaction
        # Policies, the resolver and the dial have deadlines of their own. As `TimerWheel.clear` does it.
        client.due = 0
        self.transaction.admit()

    @property
    def has_begun(self) -> bool:
        """The client has been given the head of the answer."""
        return self.response_stream is not None and self.response_stream.has_begun

    # What the transaction tells (TransactionOwner).

    def admitted(self, admission: Admission) -> None:
        """Take a connection that stands, or dial."""
        if self._is_over:
            return
        self.forwarding = DIRECT_FORWARDING
        if admission.route.hops:
            server = self.client.server
            proxies = server.gate.snapshot.proxies
            self.forwarding = server.forwarding_memo.find(proxies, self.request, admission.route, self.upgrade)
        origin = self.client.server.pool.take(self.request, admission, self.forwarding.place)
        if origin is None:
            self.transaction.dial(self.forwarding.recipient)
        else:
            self.transaction.dialled = origin.address
            self.connected(origin)

    def connected(self, origin: OriginConnection) -> None:
        """Send the head, and what has come of the body."""
        if self._is_over:
            origin.abort()
            return
        client = self.client
        server = client.server
        self.origin = origin
        response_stream = origin.response_stream
        if response_stream is None:
            reader = ResponseReader(server.limits.head_bytes, server.limits.head_fields)
            response_stream = origin.response_stream = ResponseStream(reader)
        self.response_stream = origin.user = response_stream
        response_stream.begin(self)
        transport, framing = origin.transport, self.framing
        assert transport is not None, "an origin that is used stands"
        try:
            if self.forwarding is DIRECT_FORWARDING:
                onward = serialize_request(self.head, self.target, framing, upgrade=self.upgrade)
            else:
                onward = self.forwarding.head(self.head, self.target, framing, self.upgrade)
        except ProtocolError as error:
            self._give_origin_up()
            self.refused(Refused(error.code, error.sentence))
            return
        if framing.kind is not Kind.NONE:
            payload = take_whole(self)
            if payload is None:
                self._send_in_pieces(onward, origin)
                return
            onward += payload
        transport.write(onward)
        self.transaction.started()
        response_stream.sent_at = server.clock.seconds()
        server.timers.expect(client, server.limits.response_seconds)

    def sent(self) -> None:
        """Wait for the answer: the last of the request's body has just been sent."""
        assert self.response_stream is not None
        self._body_stream = None
        server = self.client.server
        self.response_stream.sent_at = server.clock.seconds()
        server.timers.expect(self.client, server.limits.response_seconds)

    def _send_in_pieces(self, onward: bytes, origin: OriginConnection) -> None:
        assert self.response_stream is not None and origin.transport is not None
        origin.transport.write(onward)
        self.transaction.started()
        self.response_stream.sent_at = self.client.server.clock.seconds()
        self._body_stream = RequestBodyStream(self, origin)
        self._body_stream.begin()
        if self.client.is_ended and not self._is_over:
            self.client_ended()

    def refused(self, refused: Refused) -> None:
        """Answer, unless the answer has begun."""
        if self._is_over:
            return
        self._is_over = True
        self.transaction.cancel()
        self.client.answer_refusal(
            self.transaction,
            refused,
            keep_alive=self.is_kept and self.body.is_complete,
            has_body=self.head.method != "HEAD",
        )

    # What the client does (ClientReceiver).

    def client_data(self, data: bytes) -> None:
        """Pass the body on; what comes before its time is held."""
        if self._body_stream is None:
            self.client.hold(data)
        else:
            self._body_stream.pass_on(data)

    def client_ended(self) -> None:
        """A FIN within the body is the end of it; one after it only means that no further request will come."""
        if not self.body.is_complete and self.origin is not None:
            self.end("client_closed")

    def client_lost(self, reason: Failure) -> None:
        """The client went away."""
        if not self._is_over:
            self._is_over = True
            self.transaction.cancel()
            self._give_origin_up()
            self.transaction.record("end", "client_closed" if reason.check(ConnectionDone) else "client_reset")

    def watch(self, seconds: float) -> None:
        """Begin to watch a body, which may stand still for so long and no longer.

        Nothing is done for this while bytes move: the counters are compared when the deadline is visited.
        """
        self._mark = self.transaction.up + self.transaction.down
        self._quiet_since = self.client.server.clock.seconds()
        self.client.server.timers.expect(self.client, seconds / 4)

    def expired(self) -> None:
        """Something took too long, or it is time to look whether a body moves."""
        client, limits = self.client, self.client.server.limits
        if not self.has_begun and self.body.is_complete:
            self.fail(Refused("origin_timeout", "The destination did not answer in time."), "idle")
            return
        seconds = limits.idle_seconds if self.has_begun else limits.body_stall_seconds
        if self.transaction.up + self.transaction.down != self._mark:
            self.watch(seconds)
        elif client.server.clock.seconds() - self._quiet_since < seconds:
            client.server.timers.expect(client, seconds / 4)
        elif self.has_begun:
            self.end("idle")
        else:
            self.fail(Refused("body_timeout", "The request body did not move on in time."), "body_timeout")

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both sides."""
        if self._is_over:
            return
        self._is_over = True
        self.transaction.cancel()
        self._give_origin_up()
        self.transaction.record("refused" if refused is not None else "end", cause, refused)
        self.client.transport.unregisterProducer()
        self.client.abort()

    # What the answer's side asks.

    def fail(self, refused: Refused, cause: str) -> None:
        """Answer with a failure if the answer has not begun; else reset, so that it is never taken for whole."""
        if self._is_over:
            return
        if self.has_begun:
            self.end(cause)
            return
        self._give_origin_up()
        self.refused(self.forwarding.blame(refused, None))

    def origin_closed(self, reason: Failure | None) -> None:
        """The origin closed before an answer, which it may do to an idle connection: try again where that is safe."""
        origin = self.origin
        if self._is_over or origin is None:
            return
        can_retry = (
            origin.is_used
            and not self._is_retried
            and not (self.response_stream is not None and self.response_stream.has_heard)
            and self.framing.kind is Kind.NONE
            and self.head.method in _IDEMPOTENT
        )
        self._give_origin_up()
        if can_retry:
            self._is_retried = True
            self.client.server.timers.clear(self.client)
            self.transaction.dial(self.forwarding.recipient)
        else:
            self.refused(self.forwarding.blame(Refused("origin_closed", _CLOSED), reason))

    def changed(self, rest: bytes) -> None:
        """The protocol has changed (101): what follows is a tunnel.

        Args:
            rest: what the origin sent after its head.
        """
        client, origin = self.client, self.origin
        assert origin is not None
        self._is_over = True
        tunnel = Tunnel(client, origin, self.transaction)
        client.receiver = tunnel
        tunnel.begin()
        held = client.take_held()
        client.resume()
        if rest:
            tunnel.origin_data(rest)
        tunnel.join(held)
        if client.is_ended:
            tunnel.client_ended()

    def done(self, *, is_reusable: bool) -> None:
        """The answer was passed on whole.

        Args:
            is_reusable: the origin's connection is in a state for another request.
        """
        self._is_over = True
        origin, client, transaction = self.origin, self.client, self.transaction
        server, admission, is_read = client.server, transaction.admission, self.body.is_complete
        assert origin is not None and admission is not None
        self.origin = self.response_stream = None
        origin.user = None
        if not is_read:
            self._stop_sending()
            origin.abort()
        elif (
            is_reusable
            and not server.is_stopping
            and origin.transport is not None
            and origin.transport.unsent is None
            and admission.generation == server.gate.snapshot.generation
            and server.pool.keep(origin, self.request, admission, self.forwarding.place)
        ):
            origin.is_used = True
        else:
            origin.close(server.timers, server.limits.linger_seconds)
        transaction.record("end", "complete")
        client.finished(keep_alive=self.is_kept, is_read=is_read)

    def _give_origin_up(self) -> None:
        origin, self.origin = self.origin, None
        if origin is not None:
            self._stop_sending()
            if self.response_stream is not None:
                self.response_stream.stop_producing()
                self.response_stream = None
            origin.abort()

    def _stop_sending(self) -> None:
        sending, self._body_stream = self._body_stream, None
        if sending is not None:
            sending.stop()
