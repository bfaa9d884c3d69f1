"""The client's side of one HTTP/1.1 exchange: reads the request body, writes the response (RFC 9112)."""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import Client, Connection
from egress.proxy.exchange_roles import RequestSource, Trailers
from egress.proxy.http1.request_parsing import ParsedRequest
from egress.proxy.limits import Limits
from egress.proxy.roles import LiveTransaction, TunnelClient
from egress.timing.timer_wheel import Entry
from egress.wire.body import BodyReader, NoBody, body_reader, chunk, forwardable_trailers, last_chunk
from egress.wire.forwarding import serialize_response
from egress.wire.framing import NO_BODY, Framing, Kind
from egress.wire.response_head import ResponseHead

# One for all: it is complete from the start, and a complete body is never fed.
_NO_BODY = NoBody()


class HasLimits(Protocol):
    """A server, as far as a stream needs it."""

    limits: Limits


class Http1Connection(TunnelClient, Protocol):
    """The client connection that a request came on."""

    @property
    def server(self) -> HasLimits:
        """The server."""

    @property
    def is_last(self) -> bool:
        """Whether no request follows the running one."""

    def send(self, data: bytes) -> None:
        """Write."""


@define(eq=False)
class Http1ClientStream:
    """One request of a client connection (ClientSide, ClientReceiver).

    Attributes:
        client: the connection.
        is_kept: the connection serves another request afterwards.
        source: the exchange.
    """

    client: Http1Connection
    is_kept: bool
    source: RequestSource = field(init=False)
    _is_http11: bool = field(init=False)
    _has_response_body: bool = field(init=False)
    _framing: Framing = field(init=False)
    _body: BodyReader = field(init=False, default=_NO_BODY)
    _nominated: frozenset[bytes] = field(init=False, default=frozenset())
    _is_streaming: bool = field(init=False, default=False)
    _is_chunked: bool = field(init=False, default=False)

    def begin(self, parsed: ParsedRequest, source: RequestSource, transaction: LiveTransaction) -> None:
        """Receive the events of the connection for an exchange.

        Args:
            parsed: the request.
            source: the exchange.
            transaction: of the exchange.
        """
        head, framing = parsed.head, parsed.framing
        self.source = source
        self._is_http11, self._has_response_body, self._framing = head.is_http11, head.method != "HEAD", framing
        if framing.kind is not Kind.NONE:
            self._body = body_reader(framing, "bad_framing")
            self._nominated = head.fields.options
        self.client.begin(self, transaction)

    # The request (ClientSide).

    @property
    def connection(self) -> Connection:
        """The facts of the connection."""
        return self.client.connection

    @property
    def connection_id(self) -> str:
        """The id of the connection in the audit log."""
        return self.client.connection_id

    @property
    def by_facts(self) -> Client:
        """The client as the facts of the connection alone tell."""
        return self.client.by_facts

    @property
    def entry(self) -> Entry:
        """The connection's entry in the timer wheel."""
        return self.client.entry

    @property
    def producer(self) -> IPushProducer:
        """The connection's transport."""
        return self.client.transport

    @property
    def is_body_complete(self) -> bool:
        """Whether the whole request body was read."""
        return self._body.is_complete

    def take_body(self) -> bytes | None:
        """Give the request body, if all of it is here and its length is known; else None."""
        framing, client = self._framing, self.client
        if framing.kind is Kind.NONE:
            return b""
        length = framing.length
        if (
            framing.kind is not Kind.LENGTH
            or len(client.held) < length
            or length > client.server.limits.request_body_bytes
        ):
            return None
        payload = self._body.feed(client.take_held())
        client.resume()
        if self._body.rest:
            client.hold(self._body.rest)
        return payload

    def start_body(self) -> None:
        """Tell the exchange of the request body as it comes."""
        self._is_streaming = True
        early = self.client.take_held()
        self.client.resume()
        self._read_body(early)

    def stop_body(self) -> None:
        """Read the request body no longer, and pause no longer on the origin's account."""
        if self._is_streaming:
            self._is_streaming = False
            self.client.transport.resumeProducing()

    def _read_body(self, data: bytes) -> None:
        body = self._body
        try:
            payload = body.feed(data)
        except ProtocolError as error:
            self.source.body_malformed(Refused(error.code, error.sentence))
            return
        if not body.is_complete:
            self.source.body_data(payload, None)
            return
        if body.rest:
            self.client.hold(body.rest)
        self.source.body_data(payload, forwardable_trailers(body.trailers, self._nominated))

    # The response (ClientSide).

    def interim_response(self, head: ResponseHead) -> None:
        """Write a 1xx response to a client that knows them (RFC 9110 section 15.2)."""
        if self._is_http11:
            self.client.send(serialize_response(head, NO_BODY, is_http11=True, keep_alive=True))

    def respond(self, head: ResponseHead, framing: Framing, payload: bytes, trailers: Trailers | None) -> None:
        """Write the response head and the first of the body. See `ResponseSink.response`."""
        client, kind = self.client, framing.kind
        is_chunked = self._is_chunked = kind is Kind.CHUNKED and self._is_http11
        # The end of a body without framing, or de-chunked for HTTP/1.0, is the end of the connection.
        has_framing = is_chunked or kind is Kind.LENGTH or kind is Kind.NONE
        is_kept = self.is_kept = (
            self.is_kept
            and has_framing
            and self._body.is_complete
            and not client.is_last
            and (not client.has_ended or bool(client.held))
        )
        octets = serialize_response(head, framing, is_http11=self._is_http11, keep_alive=is_kept)
        if is_chunked:
            client.send(octets + _chunks(payload, trailers))
        else:
            client.send(octets + payload)

    def send(self, payload: bytes, trailers: Trailers | None) -> None:
        """Write a further piece of the response body."""
        octets = _chunks(payload, trailers) if self._is_chunked else payload
        if octets:
            self.client.send(octets)

    def pull_from(self, producer: IPushProducer | None) -> None:
        """Pause and resume this producer as the client reads; None for none."""
        if producer is None:
            self.client.transport.unregisterProducer()
        else:
            self.client.transport.registerProducer(producer, True)

    def change_protocol(self, head: ResponseHead, upgrade: bytes) -> TunnelClient:
        """Write the 101, and give the connection for a tunnel."""
        self.client.send(serialize_response(head, NO_BODY, is_http11=True, keep_alive=True, upgrade=upgrade))
        return self.client

    def refuse(self, refused: Refused, request_id: str) -> None:
        """Write the response to a refusal."""
        self.is_kept = self.is_kept and self._body.is_complete and not self.client.is_last
        self.client.write_refusal(refused, request_id, keep_alive=self.is_kept, has_body=self._has_response_body)

    def finish(self, *, is_read: bool) -> None:
        """End the response. See `ClientSide.finish`."""
        self.client.finished(keep_alive=self.is_kept, is_read=is_read)

    def abort(self) -> None:
        """Reset the connection."""
        self.client.abort()

    # The events of the connection (ClientReceiver).

    def client_data(self, data: bytes) -> None:
        """Read the body; keep what comes before its time, or after it."""
        if self._is_streaming and not self._body.is_complete:
            self._read_body(data)
        else:
            self.client.hold(data)

    def client_ended(self) -> None:
        """A FIN within the body truncates it. One after it means that no further request comes."""
        if not self._body.is_complete:
            self.source.body_truncated()

    def client_lost(self, reason: Failure) -> None:
        """Tell the exchange."""
        self.source.client_lost(reason)

    def expired(self) -> None:
        """Tell the exchange."""
        self.source.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the exchange."""
        self.source.end(cause, refused)


def _chunks(payload: bytes, trailers: Trailers | None) -> bytes:
    octets = chunk(payload) if payload else b""
    return octets if trailers is None else octets + last_chunk(trailers)
