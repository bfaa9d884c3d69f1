"""The client's side of one HTTP/1.1 exchange: reads the request body, writes the response (RFC 9112)."""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import ProtocolError, Refused
from egress.proxy.exchange_roles import BindingRequester, RequestSource, Trailers
from egress.proxy.http1.request_parsing import ParsedRequest
from egress.proxy.limits import HttpSettings, Limits
from egress.proxy.roles import LiveTransaction, TunnelClient
from egress.wire.body import BodyReader, body_reader
from egress.wire.chunked import chunk, forwardable_trailers, last_chunk
from egress.wire.date_field import DateField
from egress.wire.forwarding import serialize_response
from egress.wire.framing import NO_BODY, Framing, Kind
from egress.wire.response_head import ResponseHead


class StreamServer(Protocol):
    """The part of a server that a stream uses.

    Attributes:
        limits: the bounds.
        http: the `[http]` table.
        date_field: gives the line of the Date field for a response without one.
    """

    limits: Limits
    date_field: DateField
    http: HttpSettings


class Http1Connection(TunnelClient, BindingRequester, Protocol):
    """The client connection that a request came on."""

    @property
    def server(self) -> StreamServer:
        """The server."""

    @property
    def can_continue(self) -> bool:
        """Whether a request may follow the running one."""

    def stop_reading(self) -> None:
        """Read no more until `read_on` or `resume_unless_paused`."""

    def read_on(self) -> None:
        """Read on."""

    def resume_unless_paused(self) -> None:
        """Read on, unless too many octets are kept."""


@define(eq=False)
class Http1ClientStream:
    """One request of a client connection (ClientSide, ClientReceiver).

    Attributes:
        subject: the connection.
        parsed: the request.
        is_kept: the connection persists after the response, as its head said.
        source: the exchange, until its end. Both are then freed at once, for they do not refer to each other.
    """

    subject: Http1Connection
    parsed: ParsedRequest
    is_kept: bool = field(init=False, default=False)
    source: RequestSource = field(init=False)
    _body: BodyReader | None = field(init=False, default=None)
    _is_streaming: bool = field(init=False, default=False)
    _is_chunked: bool = field(init=False, default=False)

    def begin(self, source: RequestSource, transaction: LiveTransaction) -> None:
        """Receive the events of the connection (ClientSide)."""
        self.source = source
        framing = self.parsed.framing
        if framing.kind is not Kind.NONE:
            self._body = body_reader(framing, "bad_framing")
        client = self.subject
        client.receiver, client.transaction = self, transaction
        client.due = 0  # as `TimerWheel.clear` does it

    # The request (ClientSide).

    @property
    def producer(self) -> IPushProducer:
        """The connection, as the producer of the request body."""
        return _BodyProducer(self.subject)

    def _is_body_complete(self) -> bool:
        return self._body is None or self._body.is_complete

    def take_body(self) -> bytes | None:
        """Give the request body, if all of it is here and its length is known; else None."""
        framing, client, body = self.parsed.framing, self.subject, self._body
        if body is None:
            return b""
        length, limit = framing.length, client.server.limits.request_body_bytes
        if framing.kind is not Kind.LENGTH or len(client.held) < length or length > limit:
            return None
        payload = body.feed(client.take_held())
        client.resume()
        if body.rest:
            client.hold(body.rest)
        return payload

    def start_body(self) -> None:
        """Tell the exchange of the request body as it comes."""
        self._is_streaming = True
        early = self.subject.take_held()
        self.subject.resume()
        self._read_body(early)

    def stop_body(self) -> None:
        """Read the request body no longer, and pause no longer on the origin's account."""
        if self._is_streaming:
            self._is_streaming = False
            self.subject.resume_unless_paused()

    def _read_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None, "only a request with a body is streamed"
        try:
            payload = body.feed(data)
        except ProtocolError as error:
            self.source.body_malformed(Refused(error.code, error.sentence))
            return
        if not body.is_complete:
            self.source.body_data(payload, None)
            return
        if body.rest:
            self.subject.hold(body.rest)
        self.source.body_data(payload, forwardable_trailers(body.trailers, self.parsed.head.fields.options))

    # The response (ClientSide).

    def interim_response(self, head: ResponseHead) -> None:
        """Write a 1xx response to a client that knows them (RFC 9110 section 15.2)."""
        if self.parsed.head.is_http11:
            self._write_head(head)

    def respond(
        self,
        head: ResponseHead,
        framing: Framing,
        payload: bytes,
        trailers: Trailers | None,
        is_bound: bool,
    ) -> None:
        """Write the response head and the first of the body. See `ClientSide.respond`."""
        client, kind, body = self.subject, framing.kind, self._body
        is_http11 = self.parsed.head.is_http11
        has_length = kind is Kind.LENGTH
        is_chunked = self._is_chunked = is_http11 and not has_length and kind is Kind.CHUNKED
        # The end of a body without framing, or de-chunked for HTTP/1.0, is the end of the connection.
        is_kept = self.is_kept = (
            self.parsed.head.is_persistent
            and (has_length or is_chunked or kind is Kind.NONE)
            and (body is None or body.is_complete)
            and client.can_continue
        )
        octets = serialize_response(
            head,
            framing,
            is_http11=is_http11,
            keep_alive=is_kept,
            make_date=client.server.date_field,
            is_bound=is_bound,
        )
        client.transport.write(octets + (_chunks(payload, trailers) if is_chunked else payload))

    def send(self, payload: bytes, trailers: Trailers | None) -> None:
        """Write a further piece of the response body."""
        octets = _chunks(payload, trailers) if self._is_chunked else payload
        if octets:
            self.subject.transport.write(octets)

    def pull_from(self, producer: IPushProducer | None) -> None:
        """Pause and resume this producer as the client reads; None for none."""
        if producer is None:
            self.subject.transport.unregisterProducer()
        else:
            self.subject.transport.registerProducer(producer, True)

    def change_protocol(self, head: ResponseHead, upgrade: bytes) -> TunnelClient:
        """Write the 101, and give the connection for a tunnel."""
        del self.source
        self._write_head(head, upgrade)
        return self.subject

    def _write_head(self, head: ResponseHead, upgrade: bytes | None = None) -> None:
        """Write the head of a 1xx response, for a client of HTTP/1.1."""
        client = self.subject
        client.transport.write(
            serialize_response(
                head,
                NO_BODY,
                is_http11=True,
                keep_alive=True,
                make_date=client.server.date_field,
                upgrade=upgrade,
            )
        )

    def refuse(self, refused: Refused, request_id: str) -> None:
        """Write the response to a refusal."""
        head = self.parsed.head
        self.is_kept = head.is_persistent and self._is_body_complete() and self.subject.can_continue
        self.subject.write_refusal(refused, request_id, keep_alive=self.is_kept, has_body=head.method != "HEAD")

    def finish(self, *, is_read: bool) -> None:
        """End the response. See `ClientSide.finish`."""
        del self.source
        self.subject.finished(keep_alive=self.is_kept, is_read=is_read)

    def abort(self) -> None:
        """Reset the connection."""
        del self.source
        self.subject.abort()

    # The events of the connection (ClientReceiver).

    def client_data(self, data: bytes) -> None:
        """Read the body; keep what comes before its time, or after it."""
        if self._is_streaming and not self._is_body_complete():
            self._read_body(data)
        else:
            self.subject.hold(data)

    def client_ended(self) -> None:
        """A FIN within the body truncates it. One after it means that the client has left, or sends nothing more."""
        if self.subject.server.http.is_fin_close or not self._is_body_complete():
            self.source.end("client_closed")

    def client_lost(self, reason: Failure) -> None:
        """Tell the exchange."""
        source = self.source
        del self.source
        source.client_lost(reason)

    def expired(self) -> None:
        """Tell the exchange."""
        self.source.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the exchange."""
        self.source.end(cause, refused)


@implementer(IPushProducer)
@define(eq=False)
class _BodyProducer:
    """Pauses and resumes a client connection as the origin reads the request body.

    A transport that is lost stops its producer. A client connection must not close then: it has a refusal to write, and
    to read on after that, so that no reset destroys the refusal.
    """

    client: Http1Connection

    def pauseProducing(self) -> None:
        """Read no more for now (IPushProducer)."""
        self.client.stop_reading()

    def resumeProducing(self) -> None:
        """Read on (IPushProducer)."""
        self.client.read_on()

    def stopProducing(self) -> None:
        """Do nothing: the exchange hears of the loss itself (IProducer)."""


def _chunks(payload: bytes, trailers: Trailers | None) -> bytes:
    octets = chunk(payload) if payload else b""
    return octets if trailers is None else octets + last_chunk(trailers)
