"""The answers on one origin connection, one after the other, each to its exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.wire.body import BodyReader, body_reader, chunk, forwardable_trailers, last_chunk
from egress.wire.forwarding import serialize_response
from egress.wire.framing import NO_BODY, Kind, response_framing
from egress.wire.proxy_status import response_source
from egress.wire.response_head import ResponseHead, ResponseReader

if TYPE_CHECKING:
    from egress.proxy.http1.exchange import Exchange

# Interim answers (1xx) are few and short in any honest dialogue; without a bound an origin could send them for ever.
_INTERIM_LIMIT = 32
_INTERIM_BYTES = 65_536


@define(eq=False)
class ResponseStream:
    """Reads an origin's answer and passes it on (OriginReceiver).

    It belongs to the connection, and is used again with it.

    Attributes:
        reader: reads heads.
        exchange: what is answered now.
        has_begun: the client has been given the head of the answer.
        has_heard: the origin has said anything to this exchange.
        sent_at: when the request, or the last of its body, was sent.
    """

    reader: ResponseReader
    exchange: Exchange = field(init=False)
    has_begun: bool = field(init=False, default=False)
    has_heard: bool = field(init=False, default=False)
    sent_at: float = field(init=False, default=0.0)
    _body: BodyReader | None = field(init=False, default=None)
    _is_chunked: bool = field(init=False, default=False)
    _is_reusable: bool = field(init=False, default=False)
    _options: frozenset[bytes] = field(init=False, default=frozenset())
    _is_producing: bool = field(init=False, default=False)
    _interim: int = field(init=False, default=0)
    _interim_bytes: int = field(init=False, default=0)

    def begin(self, exchange: Exchange) -> None:
        """Be about another exchange."""
        self.exchange = exchange
        self._body = None
        self.has_begun = self.has_heard = self._is_producing = False
        self._interim = self._interim_bytes = 0

    def origin_data(self, data: bytes) -> None:
        """Read heads until the final one, then pass the body on."""
        exchange = self.exchange
        self.has_heard = True
        try:
            while self._body is None:
                head = self.reader.feed(data)
                if head is None:
                    return
                data = self.reader.rest
                if head.status == 101:
                    self._change(head, data)
                    return
                if head.status == 407 and exchange.forwarding.is_absolute:
                    # It is about our credentials, not the client's.
                    exchange.fail(exchange.forwarding.challenged(head), "failed")
                    return
                if head.status < 200:
                    self._pass_interim(head)
                else:
                    self._begin_final(head, data)
                    return
            self._pass_on(data)
        except ProtocolError as error:
            exchange.fail(Refused("origin_malformed", error.sentence), "origin_malformed")

    def _pass_interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on to a client that knows them (RFC 9110 section 15.2)."""
        onward = serialize_response(head, NO_BODY, is_http11=True, keep_alive=True)
        self._interim += 1
        self._interim_bytes += len(onward)
        if self._interim > _INTERIM_LIMIT or self._interim_bytes > _INTERIM_BYTES:
            raise ProtocolError("origin_malformed", "The destination sends interim answers without end.")
        exchange = self.exchange
        if exchange.head.is_http11:
            exchange.client.send(onward)

    def _change(self, head: ResponseHead, rest: bytes) -> None:
        """Become a tunnel, if that is what the client asked for."""
        exchange = self.exchange
        upgrade = exchange.upgrade
        if upgrade is None or [value.lower() for value in head.fields.values(b"upgrade")] != [upgrade]:
            raise ProtocolError("origin_malformed", "The destination changed to a protocol that nobody asked for.")
        self.has_begun = True
        self._measure()
        exchange.transaction.status = 101
        onward = serialize_response(head, NO_BODY, is_http11=True, keep_alive=True, upgrade=upgrade)
        exchange.client.send(onward)
        exchange.changed(rest)

    def _begin_final(self, head: ResponseHead, data: bytes) -> None:
        """Send the final head to the client, together with the first of the body.

        Args:
            head: of the final response.
            data: the octets after the head.
        """
        exchange = self.exchange
        client, transaction = exchange.client, exchange.transaction
        is_http11 = exchange.head.is_http11
        framing = response_framing(head, exchange.head.method)
        kind = framing.kind
        self._is_chunked = kind is Kind.CHUNKED and is_http11
        # The end of a body without framing, or de-chunked for HTTP/1.0, is the end of the connection.
        has_framing = kind is not Kind.CLOSE and (kind is not Kind.CHUNKED or self._is_chunked)
        exchange.is_kept = (
            exchange.is_kept
            and has_framing
            and exchange.body.is_complete
            and not (client.is_displaced or client.server.is_stopping)
            and (not client.is_ended or bool(client.held))
        )
        octets = serialize_response(head, framing, is_http11=is_http11, keep_alive=exchange.is_kept)
        self._is_reusable = kind is not Kind.CLOSE and head.is_persistent
        self._measure()
        transaction.status = head.status
        if exchange.forwarding.is_absolute:
            transaction.response_source = response_source(head.status, head.fields.block)
        surplus = len(data) - framing.length
        if kind is not Kind.LENGTH or surplus < 0:
            self._body = body_reader(framing, "origin_malformed")
            self._options = head.fields.options if self._is_chunked else frozenset()
            self._pass_on(data, octets)
            return
        # The fast path of a complete body: neither a body reader nor a producer is needed.
        self.has_begun = True
        transaction.down += framing.length
        octets += data[: framing.length] if surplus else data
        transport = client.transport
        transport.write(octets)
        client.is_clogged = transport.unsent is not None
        # Surplus octets are not forwarded, and a connection with surplus octets is not used again.
        exchange.done(is_reusable=self._is_reusable and not surplus)

    def _measure(self) -> None:
        exchange = self.exchange
        exchange.request.phases.wait = (exchange.client.server.clock.seconds() - self.sent_at) * 1000.0

    def _pass_on(self, data: bytes, onward: bytes = b"") -> None:
        """Pass a piece of the answer's body on, the first one behind its head."""
        exchange, body = self.exchange, self._body
        assert body is not None
        payload = body.feed(data)
        self.has_begun = True
        client = exchange.client
        if payload:
            exchange.transaction.down += len(payload)
            onward += chunk(payload) if self._is_chunked else payload
        if body.is_complete:
            if self._is_chunked:
                onward += last_chunk(forwardable_trailers(body.trailers, self._options))
            if onward:
                client.send(onward)
            self._finish()
            return
        if onward:
            client.send(onward)
        if not self._is_producing and exchange.origin is not None and exchange.origin.transport is not None:
            self._is_producing = True
            client.transport.registerProducer(exchange.origin.transport, True)
            exchange.watch(client.server.limits.idle_seconds)

    def origin_ended(self) -> None:
        """The origin's FIN: the end of a body without framing, and a fault anywhere else."""
        self._ended(None, is_clean=True)

    def origin_lost(self, reason: Failure) -> None:
        """The connection is gone; a reset never ends a body well."""
        self._ended(reason, is_clean=reason.check(ConnectionDone) is not None)

    def _ended(self, reason: Failure | None, *, is_clean: bool) -> None:
        if self._body is None:
            self.exchange.origin_closed(reason)
            return
        try:
            if not is_clean:
                raise ProtocolError("origin_malformed", "The destination reset the connection.")
            self._body.end_of_input()
        except ProtocolError:
            self.exchange.end("origin_truncated")
            return
        self._finish()

    def _finish(self) -> None:
        body = self._body
        assert body is not None
        self.stop_producing()
        self.exchange.done(is_reusable=self._is_reusable and not body.rest)

    def stop_producing(self) -> None:
        """The origin is no longer paused on the client's account."""
        if self._is_producing:
            self._is_producing = False
            exchange = self.exchange
            exchange.client.transport.unregisterProducer()
            if exchange.origin is not None and exchange.origin.transport is not None:
                exchange.origin.transport.resumeProducing()
