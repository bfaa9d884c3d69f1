"""The origin's side of HTTP/1.1 exchanges: writes requests, reads responses (RFC 9112)."""

from __future__ import annotations

from math import inf

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.proxy.exchange_roles import PooledConnection, ResponseSink, Trailers
from egress.proxy.request_roles import ParsedRequest, RequestForm
from egress.wire.body import BodyReader, body_reader
from egress.wire.chunked import chunk, forwardable_trailers, last_chunk
from egress.wire.connection_authentication import is_challenged
from egress.wire.forwarding import serialize_request
from egress.wire.framing import Framing, Kind, response_framing
from egress.wire.response_head import ResponseHead, ResponseReader
from egress.wire.via import Via

# Interim responses (1xx) are few and short. Without a limit an origin could send them endlessly.
_INTERIM_LIMIT = 32
_INTERIM_BYTES = 65_536

_CODE = "origin_malformed"


@define(eq=False)
class Http1OriginStream:
    """The origin's side of consecutive exchanges on one origin connection (OriginSide, OriginReceiver).

    The connection keeps this object and reuses it.

    Attributes:
        connection: the origin connection.
        reader: reads response heads.
        via: the Via of this proxy.
        has_heard: whether any octet has arrived from the origin for this exchange.
        is_reusable: whether the connection can serve a further request after this response.
        idle_seconds: the seconds for which the origin then keeps the connection open; infinity where it does not say.
        sink: the exchange; None between two exchanges.
    """

    connection: PooledConnection
    reader: ResponseReader
    via: Via
    has_heard: bool = field(init=False, default=False)
    is_reusable: bool = field(init=False, default=False)
    idle_seconds: float = field(init=False, default=inf)
    sink: ResponseSink | None = field(init=False, default=None)
    _method: str = field(init=False, default="")
    _body: BodyReader | None = field(init=False, default=None)
    _nominated: frozenset[bytes] = field(init=False, default=frozenset())
    _is_request_chunked: bool = field(init=False, default=False)
    _interim: int = field(init=False, default=0)
    _interim_bytes: int = field(init=False, default=0)

    # The request (OriginSide).

    def request(self, parsed: ParsedRequest, upgrade: bytes | None, form: RequestForm, payload: bytes) -> None:
        """Write the request head and the first piece of the body. See `OriginSide.request`."""
        framing = parsed.framing
        octets = serialize_request(
            parsed.head,
            parsed.target,
            framing,
            self.via,
            upgrade=upgrade,
            is_absolute=form.is_absolute,
            authorization=form.authorization,
        )
        self._method, self._is_request_chunked = parsed.head.method, framing.kind is Kind.CHUNKED
        self._body = None
        self.has_heard = self.is_reusable = False
        self._interim = self._interim_bytes = 0
        if parsed.head.authenticates_connection:
            self.connection.is_bound = True
        transport = self.connection.transport
        assert transport is not None, "a connection that is taken for an exchange is open"
        transport.write(octets + payload)

    def send(self, payload: bytes, trailers: Trailers | None) -> None:
        """Write a piece of the request body; with trailers, its last."""
        octets = payload
        if self._is_request_chunked:
            octets = chunk(payload) if payload else b""
            if trailers is not None:
                octets += last_chunk(trailers)
        transport = self.connection.transport
        if octets and transport is not None:
            transport.write(octets)

    def pull_from(self, producer: IPushProducer | None) -> None:
        """Pause and resume this producer as the origin reads; None for none."""
        transport = self.connection.transport
        if transport is None:
            return
        if producer is None:
            transport.unregisterProducer()
        else:
            transport.registerProducer(producer, True)

    def abort(self) -> None:
        """Reset the connection, without a further event for the exchange."""
        self.sink = None
        self.connection.abort()

    # The response (OriginReceiver).

    def origin_data(self, data: bytes) -> None:
        """Read heads until the final one, then the body."""
        self.has_heard = True
        sink = self.sink
        try:
            while self._body is None and sink is not None:
                head = self.reader.feed(data)
                if head is None:
                    return
                data = self.reader.rest
                status = head.status
                if status < 200:
                    if status == 101:
                        sink.protocol_changed(head, data)
                        return
                    self._read_interim(sink, head)
                    sink = self.sink
                    continue
                framing = response_framing(head, self._method)
                self.idle_seconds = head.idle_seconds
                if (status == 401 or status == 407) and is_challenged(head.fields.block):
                    self.connection.is_bound = True
                if framing.kind is Kind.LENGTH and len(data) >= framing.length:
                    # The fast path of a complete body needs no reader. Surplus octets are not forwarded, and a
                    # connection with surplus octets is not reused.
                    self.is_reusable = head.is_persistent
                    if len(data) > framing.length:
                        data, self.is_reusable = data[: framing.length], False
                    sink.response(head, framing, data, ())
                    return
                self._read_final(sink, head, framing, data)
                return
            self._read_body(data)
        except ProtocolError as error:
            if self.sink is not None:
                self.sink.response_malformed(Refused(_CODE, error.sentence))

    def _read_interim(self, sink: ResponseSink, head: ResponseHead) -> None:
        self._interim += 1
        self._interim_bytes += sum(len(name) + len(value) + 4 for _, name, value in head.fields.all())
        if self._interim > _INTERIM_LIMIT or self._interim_bytes > _INTERIM_BYTES:
            raise ProtocolError(_CODE, "The destination sends interim answers without end.")
        sink.interim_response(head)

    def _read_final(self, sink: ResponseSink, head: ResponseHead, framing: Framing, data: bytes) -> None:
        self.is_reusable = framing.kind is not Kind.CLOSE and head.is_persistent
        body = self._body = body_reader(framing, _CODE)
        self._nominated = head.fields.options if framing.kind is Kind.CHUNKED else frozenset()
        payload = body.feed(data)
        sink.response(head, framing, payload, self._trailers(body))

    def _read_body(self, data: bytes) -> None:
        body, sink = self._body, self.sink
        if body is None or sink is None:
            return
        payload = body.feed(data)
        trailers = self._trailers(body)
        if payload or trailers is not None:
            sink.response_data(payload, trailers)

    def _trailers(self, body: BodyReader) -> Trailers | None:
        if not body.is_complete:
            return None
        self.is_reusable = self.is_reusable and not body.rest
        return forwardable_trailers(body.trailers, self._nominated)

    def origin_ended(self) -> None:
        """The origin's FIN completes a body without framing. Anywhere else a FIN is a fault."""
        self._ended(None, is_clean=True)

    def origin_lost(self, reason: Failure) -> None:
        """Handle the loss of the connection. A reset never completes a body."""
        self._ended(reason, is_clean=reason.check(ConnectionDone) is not None)

    def _ended(self, reason: Failure | None, *, is_clean: bool) -> None:
        sink, body = self.sink, self._body
        if sink is None:
            return
        if body is None:
            sink.origin_closed(reason)
            return
        try:
            if not is_clean:
                raise ProtocolError(_CODE, "The destination reset the connection.")
            body.end_of_input()
        except ProtocolError:
            sink.response_truncated()
            return
        sink.response_data(b"", self._trailers(body))
