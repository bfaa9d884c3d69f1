"""One HTTP request and its answer: the request's side of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import Admission, Request
from egress.proxy.http1.forwarding import STRAIGHT, Through
from egress.proxy.http1.request_body import Sending, take_whole
from egress.proxy.http1.response_stream import Answering
from egress.proxy.origin.connection import OriginProtocol
from egress.proxy.transaction import Passage
from egress.proxy.tunnel.tunnel import Splice
from egress.transports.engine.transport import Transport
from egress.transports.immediate_write import has_unsent, send
from egress.wire.body import BodyReader, NoBody, body_reader
from egress.wire.forwarding import request_onward
from egress.wire.framing import Framing, Kind
from egress.wire.head import RequestHead, ResponseReader
from egress.wire.target import Target

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientProtocol

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
        passage: its way through the Gate, its bytes and its record.
        body: reads the request's body.
        origin: once there is one.
        answering: reads and passes on the answer.
        through: how it goes through proxies.
    """

    client: ClientProtocol
    request: Request
    head: RequestHead
    target: Target
    framing: Framing
    is_kept: bool
    upgrade: bytes | None
    passage: Passage = field(init=False)
    body: BodyReader = field(init=False)
    origin: OriginProtocol | None = field(init=False, default=None)
    answering: Answering | None = field(init=False, default=None)
    through: Through = field(init=False, default=STRAIGHT)
    _is_retried: bool = field(init=False, default=False)
    _mark: int = field(init=False, default=0)
    _quiet_since: float = field(init=False, default=0.0)
    _is_over: bool = field(init=False, default=False)
    _sending: Sending | None = field(init=False, default=None)

    def begin(self) -> None:
        """Ask the Gate."""
        client = self.client
        self.passage = Passage(client, self.request, self)
        self.body = _NO_BODY if self.framing.kind is Kind.NONE else body_reader(self.framing, "bad_framing")
        client.work, client.passage = self, self.passage
        # Policies, the resolver and the dial have deadlines of their own. As `Wheel.clear` does it.
        client.due = 0
        self.passage.admit()

    @property
    def has_begun(self) -> bool:
        """The client has been given the head of the answer."""
        return self.answering is not None and self.answering.has_begun

    # What the passage tells (Traveller).

    def admitted(self, admission: Admission) -> None:
        """Take a connection that stands, or dial."""
        if self._is_over:
            return
        self.through = STRAIGHT
        if admission.route.hops:
            ways = self.client.door.ways
            self.through = ways.find(self.passage.agent, self.request, admission.route, self.upgrade)
        origin = self.client.door.pool.take(self.request, admission, self.through.place)
        if origin is None:
            self.passage.dial(to_proxy=self.through.is_absolute)
        else:
            self.passage.dialled = origin.address
            self.connected(origin)

    def connected(self, origin: OriginProtocol) -> None:
        """Send the head, and what has come of the body."""
        if self._is_over:
            origin.abort()
            return
        client = self.client
        door = client.door
        self.origin = origin
        answering = origin.answering
        if answering is None:
            limits = door.limits
            answering = origin.answering = Answering(ResponseReader(limits.head_bytes, limits.head_fields))
        self.answering = origin.user = answering
        answering.begin(self)
        transport, framing = origin.transport, self.framing
        assert transport is not None, "an origin that is used stands"
        try:
            if self.through is STRAIGHT:
                onward = request_onward(self.head, self.target, framing, upgrade=self.upgrade)
            else:
                onward = self.through.head(self.head, self.target, framing, self.upgrade)
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
        if type(transport) is Transport:
            transport.write(onward)
        else:
            send(transport, onward)
        self.passage.started()
        answering.sent_at = door.clock.seconds()
        door.wheel.expect(client, door.limits.response_seconds)

    def sent(self) -> None:
        """Wait for the answer: the last of the request's body has just been sent."""
        assert self.answering is not None
        self._sending = None
        door = self.client.door
        self.answering.sent_at = door.clock.seconds()
        door.wheel.expect(self.client, door.limits.response_seconds)

    def _send_in_pieces(self, onward: bytes, origin: OriginProtocol) -> None:
        assert self.answering is not None and origin.transport is not None
        send(origin.transport, onward)
        self.passage.started()
        self.answering.sent_at = self.client.door.clock.seconds()
        self._sending = Sending(self, origin)
        self._sending.begin()
        if self.client.is_ended and not self._is_over:
            self.client_ended()

    def refused(self, refused: Refused) -> None:
        """Answer, unless the answer has begun."""
        if self._is_over:
            return
        self._is_over = True
        self.passage.cancel()
        self.client.answer_refusal(
            self.passage,
            refused,
            keep_alive=self.is_kept and self.body.is_complete,
            has_body=self.head.method != "HEAD",
        )

    # What the client does (Work).

    def client_data(self, data: bytes) -> None:
        """Pass the body on; what comes before its time is held."""
        if self._sending is None:
            self.client.hold(data)
        else:
            self._sending.pass_on(data)

    def client_ended(self) -> None:
        """A FIN within the body is the end of it; one after it only means that no further request will come."""
        if not self.body.is_complete and self.origin is not None:
            self.end("client_closed")

    def client_lost(self, reason: Failure) -> None:
        """The client went away."""
        if not self._is_over:
            self._is_over = True
            self.passage.cancel()
            self._give_origin_up()
            self.passage.record("end", "client_closed" if reason.check(ConnectionDone) else "client_reset")

    def watch(self, seconds: float) -> None:
        """Begin to watch a body, which may stand still for so long and no longer.

        Nothing is done for this while bytes move: the counters are compared when the deadline is visited.
        """
        self._mark = self.passage.up + self.passage.down
        self._quiet_since = self.client.door.clock.seconds()
        self.client.door.wheel.expect(self.client, seconds / 4)

    def expired(self) -> None:
        """Something took too long, or it is time to look whether a body moves."""
        client, limits = self.client, self.client.door.limits
        if not self.has_begun and self.body.is_complete:
            self.fail(Refused("origin_timeout", "The destination did not answer in time."), "idle")
            return
        seconds = limits.idle_seconds if self.has_begun else limits.body_stall_seconds
        if self.passage.up + self.passage.down != self._mark:
            self.watch(seconds)
        elif client.door.clock.seconds() - self._quiet_since < seconds:
            client.door.wheel.expect(client, seconds / 4)
        elif self.has_begun:
            self.end("idle")
        else:
            self.fail(Refused("body_timeout", "The request body did not move on in time."), "body_timeout")

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both sides."""
        if self._is_over:
            return
        self._is_over = True
        self.passage.cancel()
        self._give_origin_up()
        self.passage.record("refused" if refused is not None else "end", cause, refused)
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
        self.refused(self.through.blame(refused, None))

    def origin_closed(self, reason: Failure | None) -> None:
        """The origin closed before an answer, which it may do to an idle connection: try again where that is safe."""
        origin = self.origin
        if self._is_over or origin is None:
            return
        can_retry = (
            origin.is_used
            and not self._is_retried
            and not (self.answering is not None and self.answering.has_heard)
            and self.framing.kind is Kind.NONE
            and self.head.method in _IDEMPOTENT
        )
        self._give_origin_up()
        if can_retry:
            self._is_retried = True
            self.client.door.wheel.clear(self.client)
            self.passage.dial(to_proxy=self.through.is_absolute)
        else:
            self.refused(self.through.blame(Refused("origin_closed", _CLOSED), reason))

    def changed(self, rest: bytes) -> None:
        """The protocol has changed (101): what follows is a tunnel.

        Args:
            rest: what the origin sent after its head.
        """
        client, origin = self.client, self.origin
        assert origin is not None
        self._is_over = True
        splice = Splice(client, origin, self.passage)
        client.work = splice
        splice.begin()
        held = client.take_held()
        client.resume()
        if rest:
            splice.origin_data(rest)
        splice.join(held)
        if client.is_ended:
            splice.client_ended()

    def done(self, *, is_reusable: bool) -> None:
        """The answer was passed on whole.

        Args:
            is_reusable: the origin's connection is in a state for another request.
        """
        self._is_over = True
        origin, client, passage = self.origin, self.client, self.passage
        door, admission, is_read = client.door, passage.admission, self.body.is_complete
        assert origin is not None and admission is not None
        self.origin = self.answering = None
        origin.user = None
        if not is_read:
            self._stop_sending()
            origin.abort()
        elif (
            is_reusable
            and not door.is_stopping
            and origin.transport is not None
            and not has_unsent(origin.transport)
            and admission.generation == door.gate.world.generation
            and door.pool.keep(origin, self.request, admission, self.through.place)
        ):
            origin.is_used = True
        else:
            origin.close(door.wheel, door.limits.linger_seconds)
        passage.record("end", "complete")
        client.finished(keep_alive=self.is_kept, is_read=is_read)

    def _give_origin_up(self) -> None:
        origin, self.origin = self.origin, None
        if origin is not None:
            self._stop_sending()
            if self.answering is not None:
                self.answering.stop_producing()
                self.answering = None
            origin.abort()

    def _stop_sending(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.stop()
