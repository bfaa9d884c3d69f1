"""The body of a request, passed on to the origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from egress.errors import ProtocolError, Refused
from egress.proxy.origin.connection import OriginConnection
from egress.wire.body import chunk, forwardable_trailers, last_chunk
from egress.wire.framing import Kind

if TYPE_CHECKING:
    from egress.proxy.http1.exchange import Exchange


def take_whole(exchange: Exchange) -> bytes | None:
    """Take the body where all of it has come already, with the head or while the request was judged.

    Returns:
        What goes behind the head; None where the body has to be waited for, or is not of a known length.
    """
    framing, client, body = exchange.framing, exchange.client, exchange.body
    length = framing.length
    if framing.kind is not Kind.LENGTH or len(client.held) < length or length > client.server.limits.request_body_bytes:
        return None
    payload = body.feed(client.take_held())
    exchange.transaction.up += length
    client.resume()
    if body.rest:
        client.hold(body.rest)
    return payload


@define(eq=False)
class RequestBodyStream:
    """Passes a body on as it comes.

    Attributes:
        exchange: whose request it is of.
        origin: where it goes to.
    """

    exchange: Exchange
    origin: OriginConnection
    _is_producing: bool = field(init=False, default=False)

    def begin(self) -> None:
        """Begin with what has come of it; the head has been sent."""
        exchange = self.exchange
        client, transport = exchange.client, self.origin.transport
        assert transport is not None, "an origin that is used stands"
        exchange.watch(client.server.limits.body_stall_seconds)
        transport.registerProducer(client.transport, True)
        self._is_producing = True
        early = client.take_held()
        client.resume()
        self.pass_on(early)

    def pass_on(self, data: bytes) -> None:
        """Send a piece."""
        exchange = self.exchange
        transaction, body, client = exchange.transaction, exchange.body, exchange.client
        try:
            payload = body.feed(data)
        except ProtocolError as error:
            exchange.fail(Refused(error.code, error.sentence), "body_malformed")
            return
        transaction.up += len(payload)
        limits = client.server.limits
        if transaction.up > limits.request_body_bytes:
            exchange.fail(Refused("body_too_large", "The request body is longer than it may be."), "body_too_large")
            return
        transport = self.origin.transport
        assert transport is not None, "an origin that is used stands"
        is_chunked = exchange.framing.kind is Kind.CHUNKED
        if payload:
            transport.write(chunk(payload) if is_chunked else payload)
        if body.is_complete:
            if is_chunked:
                transport.write(last_chunk(forwardable_trailers(body.trailers, exchange.head.fields.options)))
            self.stop()
            if body.rest:
                client.hold(body.rest)
            exchange.sent()

    def stop(self) -> None:
        """The client is no longer paused on the origin's account."""
        if self._is_producing:
            self._is_producing = False
            if self.origin.transport is not None:
                self.origin.transport.unregisterProducer()
            self.exchange.client.transport.resumeProducing()
