"""The roles of an exchange and of its two sides. Typing Protocols only."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.proxy.limits import Limits
from egress.proxy.request_roles import ParsedRequest, RequestForm
from egress.proxy.roles import LiveTransaction, OriginReceiver, Requester, TunnelClient
from egress.timing.timer_wheel import TimerWheel
from egress.transports.contract import IStreamTransport
from egress.wire.fields import Field
from egress.wire.framing import Framing
from egress.wire.response_head import ResponseHead
from egress.wire.via import Via

PoolKey: TypeAlias = tuple[str, str, str, frozenset[str]]
"""Upstream, place, client key and client labels: connections are shared only where all are equal.

Limits may count several clients as one; their labels keep their connections apart. The place is the origin on a direct
route, where the dialled address is compared when a connection is taken. For other routes see `forwarding`.
"""

BindingKey: TypeAlias = tuple[PoolKey, str]
"""The key in the pool, and the origin: through proxies, connections of several origins have one key in the pool."""

Trailers: TypeAlias = tuple[Field, ...]
"""Trailer fields that may be forwarded."""


class IdlePool(Protocol):
    """The owner of an idle connection, as used by the connection."""

    @property
    def limits(self) -> Limits:
        """The server's limits."""

    @property
    def reached(self) -> dict[str, int]:
        """The number of times that each limit of the pool was reached."""

    @property
    def timers(self) -> TimerWheel:
        """The timer wheel of the deadlines of idle connections."""

    def forget(self, connection: PooledConnection) -> None:
        """Remove a connection that ended, or is about to end, while it was idle."""


class PooledConnection(Protocol):
    """An origin connection, as used by the transaction, the exchange and the pool.

    Attributes:
        transport: the transport; None once the connection is lost.
        receiver: the receiver of the connection's events; None while the connection is idle.
        address: the address that was dialled.
        generation: the generation of the configuration snapshot that dialled the connection.
        is_used: whether the connection has served a request, so that its origin may close it at any moment.
        is_bound: whether the connection may be authenticated, so that it serves one client connection only.
        pool: the owner of the connection while it is idle; None otherwise.
        key: the connection's key in the pool, constant for its whole life.
        timers: the timer wheel of the connection's deadline, once a deadline was set.
        due: see `TimerWheel`.
        visit: see `TimerWheel`.
    """

    transport: IStreamTransport | None
    receiver: OriginReceiver | None
    address: str
    generation: int
    is_used: bool
    is_bound: bool
    pool: IdlePool | None
    key: PoolKey | None
    timers: TimerWheel | None
    due: int
    visit: int

    def expired(self) -> None:
        """Close or reset the connection: its deadline has passed."""

    def retire(self) -> None:
        """Close an idle connection."""

    def open_stream(self, sink: ResponseSink, limits: Limits, via: Via) -> OriginSide:
        """Return the origin's side of one exchange.

        Args:
            sink: the receiver of the response.
            limits: the limits of the response head.
            via: the Via of this proxy.
        """

    def hold_events(self) -> None:
        """Keep events until `release_events`, and pause reading."""

    def release_events(self) -> tuple[bytes, bool]:
        """Resume reading.

        Returns:
            The octets that arrived meanwhile, and whether the origin's FIN arrived. Both are arguments of `replay`.
        """

    def replay(self, data: bytes, is_ended: bool) -> None:
        """Pass the kept events to the receiver."""

    def close(self, timers: TimerWheel, seconds: float) -> None:
        """Close the connection after the written octets are sent, without an event for the receiver.

        Args:
            timers: the timer wheel of the deadline.
            seconds: the time after which the connection is reset, if the origin does not read.
        """

    def abort(self) -> None:
        """Reset the connection, without an event for the receiver."""


class OriginBinding(Protocol):
    """Keeps the origin connection that belongs to one client connection. See `egress.proxy.origin.binding`."""

    def take(self, key: BindingKey, addresses: tuple[str, ...] | None, generation: int) -> PooledConnection | None:
        """Return the connection, if it is for the origin of the request."""

    def keep(self, origin: PooledConnection, key: BindingKey, seconds: float) -> None:
        """Keep a connection."""

    def close(self) -> None:
        """Close the connection."""


class BindingRequester(Requester, Protocol):
    """The client's end of one request, which an origin connection can belong to.

    Attributes:
        binding: the owner of that connection while it is idle; None if there has been none.
    """

    binding: OriginBinding | None


class RequestSource(Protocol):
    """An exchange, as used by the client's side: receives the request body and the end of the client's side."""

    def body_data(self, payload: bytes, trailers: Trailers | None) -> None:
        """Receive a piece of the request body, without its framing.

        Args:
            payload: the octets.
            trailers: the trailer fields of a complete body; None while more follows.
        """

    def body_malformed(self, refused: Refused) -> None:
        """Fail: the request body violates its framing."""

    def client_lost(self, reason: Failure) -> None:
        """Handle the loss of the client's side."""

    def expired(self) -> None:
        """Handle the expiry of the client side's deadline."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the exchange now, without a response."""


class ResponseSink(Protocol):
    """An exchange, as used by the origin's side: receives the response."""

    def interim_response(self, head: ResponseHead) -> None:
        """Receive a response of the class 1xx except 101."""

    def response(self, head: ResponseHead, framing: Framing, payload: bytes, trailers: Trailers | None) -> None:
        """Receive the final response head.

        Args:
            head: the head.
            framing: the framing of the response body.
            payload: the first piece of the body, without its framing.
            trailers: the trailer fields of a complete body; None while more follows.
        """

    def response_data(self, payload: bytes, trailers: Trailers | None) -> None:
        """Receive a further piece of the response body. See `response`."""

    def protocol_changed(self, head: ResponseHead, rest: bytes) -> None:
        """Handle a change of protocol by the origin (101); `rest` are the octets after the head."""

    def response_malformed(self, refused: Refused) -> None:
        """Fail: the response is malformed."""

    def response_truncated(self) -> None:
        """Handle the origin's end within the response body."""

    def origin_closed(self, reason: Failure | None) -> None:
        """Handle a close of the origin without a response. The reason is given where the connection is lost."""


class ClientSide(Protocol):
    """The client's side of one exchange: reads the body of one request and writes its response."""

    @property
    def subject(self) -> BindingRequester:
        """The client's end of the request. The expiry of the deadline calls `RequestSource.expired`."""

    def begin(self, source: RequestSource, transaction: LiveTransaction) -> None:
        """Pass the events of the client's end to an exchange."""

    @property
    def producer(self) -> IPushProducer:
        """Pauses and resumes the request body."""

    def take_body(self) -> bytes | None:
        """Return the request body, if it has arrived completely; else None. Empty for a request without body."""

    def start_body(self) -> None:
        """Pass the request body to the exchange as it arrives."""

    def stop_body(self) -> None:
        """Stop reading the request body, and end any pause caused by the origin."""

    def interim_response(self, head: ResponseHead) -> None:
        """Write a 1xx response, if the client's HTTP version has them."""

    def respond(
        self, head: ResponseHead, framing: Framing, payload: bytes, trailers: Trailers | None, is_bound: bool
    ) -> None:
        """Write the response head and the first piece of the body. See `ResponseSink.response`.

        Args:
            head: the head.
            framing: the framing of the body.
            payload: the first piece of the body, without its framing.
            trailers: the trailer fields of a complete body; None while more follows.
            is_bound: whether the client may authenticate the origin connection, because it is kept for the client.
        """

    def send(self, payload: bytes, trailers: Trailers | None) -> None:
        """Write a further piece of the response body."""

    def pull_from(self, producer: IPushProducer | None) -> None:
        """Pause and resume this producer as the client reads; None for none."""

    def change_protocol(self, head: ResponseHead, upgrade: bytes) -> TunnelClient:
        """Write the 101, and return the connection for a tunnel."""

    def refuse(self, refused: Refused, request_id: str) -> None:
        """Write the response to a refusal. `finish` follows."""

    def finish(self, *, is_read: bool) -> None:
        """End the response. The connection continues with its next request, or closes.

        Args:
            is_read: whether the whole request was read. Otherwise the client may still be sending, and a plain close
                would cause a reset, which can destroy the response in transit (RFC 9112 section 9.6).
        """

    def abort(self) -> None:
        """Reset the client's side."""


class OriginSide(Protocol):
    """The origin's side of one exchange: writes one request and reads its response.

    Attributes:
        sink: the exchange; None once the exchange must receive no further event.
    """

    sink: ResponseSink | None

    @property
    def connection(self) -> PooledConnection:
        """The origin connection."""

    @property
    def has_heard(self) -> bool:
        """Whether any octet has arrived from the origin for this exchange."""

    @property
    def is_reusable(self) -> bool:
        """Whether the connection can serve a further request after this response."""

    @property
    def idle_seconds(self) -> float:
        """For how long the origin keeps the connection open after this response; infinity where it does not say."""

    def request(self, parsed: ParsedRequest, upgrade: bytes | None, form: RequestForm, payload: bytes) -> None:
        """Write the request head and the first piece of the body.

        Args:
            parsed: the parsed request.
            upgrade: the protocol that the client may change to; None for none.
            form: the form of the request on its route.
            payload: the first of the body, without its framing.

        Raises:
            ProtocolError: the head cannot be forwarded.
        """

    def send(self, payload: bytes, trailers: Trailers | None) -> None:
        """Write a piece of the request body; with trailers, its last."""

    def pull_from(self, producer: IPushProducer | None) -> None:
        """Pause and resume this producer as the origin reads; None for none."""

    def abort(self) -> None:
        """Reset the origin's side, without a further event for the exchange."""
