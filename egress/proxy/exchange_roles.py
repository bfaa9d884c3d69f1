"""The roles of an exchange: its two sides, what they tell it, and what it asks of them. Typing Protocols only."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.proxy.limits import Limits
from egress.proxy.roles import LiveTransaction, OriginReceiver, Requester, TunnelClient
from egress.timing.timer_wheel import TimerWheel
from egress.transports.contract import IStreamTransport
from egress.wire.fields import Field
from egress.wire.framing import Framing
from egress.wire.request_head import RequestHead
from egress.wire.response_head import ResponseHead
from egress.wire.target import Target

PoolKey: TypeAlias = tuple[str, str, str, frozenset[str]]
"""Upstream, place, client key and client labels: connections are shared only where all are equal.

Limits may count several clients as one; their labels keep their connections apart. The place is the origin on a direct
route, where the dialled address is compared when a connection is taken. For other routes see `forwarding`.
"""

Trailers: TypeAlias = tuple[Field, ...]
"""Trailer fields that may be forwarded."""


class IdlePool(Protocol):
    """The pool, as an idle connection sees it.

    Attributes:
        limits: the server's limits.
        reached: how often each limit of the pool was reached.
    """

    limits: Limits
    reached: dict[str, int]

    def forget(self, connection: PooledConnection) -> None:
        """Drop a connection that ended, or is about to, while it was idle."""


class PooledConnection(Protocol):
    """An origin connection, as the transaction, the exchange and the pool use it.

    Attributes:
        transport: None once the connection is gone.
        receiver: receives its events; None while it is idle.
        address: the address that was dialled.
        generation: of the configuration snapshot that dialled it.
        is_used: it has served a request, so its origin may close it at any moment.
        pool: keeps the connection while it is idle; None otherwise.
        key: under which the pool keeps it, the same for its whole life.
        timers: keeps its deadline, once it has had one.
        due: see `TimerWheel`.
        visit: see `TimerWheel`.
    """

    transport: IStreamTransport | None
    receiver: OriginReceiver | None
    address: str
    generation: int
    is_used: bool
    pool: IdlePool | None
    key: PoolKey | None
    timers: TimerWheel | None
    due: int
    visit: int

    def expired(self) -> None:
        """The deadline passed: close, or reset."""

    def retire(self) -> None:
        """Close an idle connection."""

    def open_stream(self, sink: ResponseSink, limits: Limits) -> OriginSide:
        """Give the origin's side of one exchange.

        Args:
            sink: takes the response.
            limits: bound the response head.
        """

    def hold_events(self) -> None:
        """Keep what happens until `release_events`, and read no further."""

    def release_events(self) -> tuple[bytes, bool]:
        """Read on.

        Returns:
            The octets that came meanwhile, and whether the origin's FIN did. They are for `replay`.
        """

    def replay(self, data: bytes, is_ended: bool) -> None:
        """Tell the receiver of what came before it was there."""

    def close(self, timers: TimerWheel, seconds: float) -> None:
        """Close the connection after what was written. Its receiver is not told.

        Args:
            timers: keeps the deadline.
            seconds: after which the connection is reset, if the origin does not read.
        """

    def abort(self) -> None:
        """Reset the connection. Its receiver is not told."""


class ParsedRequest(Protocol):
    """A request as it was read."""

    @property
    def head(self) -> RequestHead:
        """The head."""

    @property
    def target(self) -> Target:
        """The parsed target."""

    @property
    def framing(self) -> Framing:
        """The framing of the body."""

    @property
    def is_repeatable(self) -> bool:
        """Whether the request may be sent again."""


class RequestForm(Protocol):
    """The form of a request on its route."""

    @property
    def is_absolute(self) -> bool:
        """The target is sent in absolute form, to an upstream proxy."""

    @property
    def authorization(self) -> bytes | None:
        """The value of Proxy-Authorization for that proxy; None for none."""


class RequestSource(Protocol):
    """An exchange, as the client's side sees it: is told of the request body and of the client's end."""

    def body_data(self, payload: bytes, trailers: Trailers | None) -> None:
        """A piece of the request body came, without its framing.

        Args:
            payload: the octets.
            trailers: the trailer fields of a complete body; None while more follows.
        """

    def body_malformed(self, refused: Refused) -> None:
        """The request body breaks its framing."""

    def body_truncated(self) -> None:
        """The client ended in the middle of the request body."""

    def client_lost(self, reason: Failure) -> None:
        """The client's side is gone."""

    def expired(self) -> None:
        """The deadline of the client's side passed."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the exchange now, without a response."""


class ResponseSink(Protocol):
    """An exchange, as the origin's side sees it: takes the response."""

    def interim_response(self, head: ResponseHead) -> None:
        """A response of the class 1xx came, 101 excepted."""

    def response(self, head: ResponseHead, framing: Framing, payload: bytes, trailers: Trailers | None) -> None:
        """The final response head came.

        Args:
            head: the head.
            framing: of its body.
            payload: the first of the body, without its framing.
            trailers: the trailer fields of a complete body; None while more follows.
        """

    def response_data(self, payload: bytes, trailers: Trailers | None) -> None:
        """A further piece of the response body came. See `response`."""

    def protocol_changed(self, head: ResponseHead, rest: bytes) -> None:
        """The origin changed the protocol (101); `rest` came after the head."""

    def response_malformed(self, refused: Refused) -> None:
        """The response breaks the rules."""

    def response_truncated(self) -> None:
        """The origin ended in the middle of the response body."""

    def origin_closed(self, reason: Failure | None) -> None:
        """The origin closed without a response; the reason where the connection is gone."""


class ClientSide(Protocol):
    """The client's side of one exchange: reads the body of one request and writes its response."""

    @property
    def subject(self) -> Requester:
        """The client's end of the request. The expiry of its deadline becomes `RequestSource.expired`."""

    def begin(self, source: RequestSource, transaction: LiveTransaction) -> None:
        """Tell an exchange of the events of the client's end."""

    @property
    def producer(self) -> IPushProducer:
        """Pauses and resumes the request body."""

    def take_body(self) -> bytes | None:
        """Give the request body, if all of it is here; else None. It is empty for a request without body."""

    def start_body(self) -> None:
        """Tell the exchange of the request body as it comes."""

    def stop_body(self) -> None:
        """Read the request body no longer, and pause no longer on the origin's account."""

    def interim_response(self, head: ResponseHead) -> None:
        """Write a 1xx response, where the client knows them."""

    def respond(self, head: ResponseHead, framing: Framing, payload: bytes, trailers: Trailers | None) -> None:
        """Write the response head and the first of the body. See `ResponseSink.response`."""

    def send(self, payload: bytes, trailers: Trailers | None) -> None:
        """Write a further piece of the response body."""

    def pull_from(self, producer: IPushProducer | None) -> None:
        """Pause and resume this producer as the client reads; None for none."""

    def change_protocol(self, head: ResponseHead, upgrade: bytes) -> TunnelClient:
        """Write the 101, and give the connection for a tunnel."""

    def refuse(self, refused: Refused, request_id: str) -> None:
        """Write the response to a refusal. `finish` follows."""

    def finish(self, *, is_read: bool) -> None:
        """End the response. The connection goes on with its next request, or closes.

        Args:
            is_read: the whole request was read. If not, the client may still be sending, and a plain close would be
                answered with a reset, which can destroy the response on its way (RFC 9112 section 9.6).
        """

    def abort(self) -> None:
        """Reset the client's side."""


class OriginSide(Protocol):
    """The origin's side of one exchange: writes one request and reads its response.

    Attributes:
        sink: the exchange; None once nothing more is to be told to it.
    """

    sink: ResponseSink | None

    @property
    def connection(self) -> PooledConnection:
        """The origin connection."""

    @property
    def has_heard(self) -> bool:
        """Whether anything has come from the origin for this exchange."""

    @property
    def is_reusable(self) -> bool:
        """Whether the connection can serve a further request after this response."""

    def request(self, parsed: ParsedRequest, upgrade: bytes | None, form: RequestForm, payload: bytes) -> None:
        """Write the request head and the first of its body.

        Args:
            parsed: the request as it was read.
            upgrade: the protocol that the client may change to; None for none.
            form: of the request on its route.
            payload: the first of the body, without its framing.

        Raises:
            ProtocolError: the head cannot be forwarded.
        """

    def send(self, payload: bytes, trailers: Trailers | None) -> None:
        """Write a piece of the request body; with trailers, its last."""

    def pull_from(self, producer: IPushProducer | None) -> None:
        """Pause and resume this producer as the origin reads; None for none."""

    def abort(self) -> None:
        """Tell the exchange of nothing more, and reset the origin's side."""
