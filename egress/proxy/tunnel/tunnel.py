"""A tunnel: two connections, each relayed to the other.

The transports move the octets (`IStreamTransport.relay_to`). The tunnel passes half-closes on, ends both connections
and keeps the deadlines. The engine's relays pass half-closes on as well; the second time has no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.proxy.origin.connection import OriginConnection
from egress.proxy.transaction import Transaction

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

# A tunnel that lives longer than this leaves a line while it is open, so that a killed process leaves a trace of it.
_OPEN_SECONDS = 2.0


@define(eq=False, weakref_slot=False)
class Tunnel:
    """A tunnel that stands.

    Attributes:
        client: one side.
        origin: the other.
        transaction: its bytes, its record.
        begun: seconds on the clock.
        mark: bytes moved at the last visit of the deadline.
        quiet_since: when a visit first found `mark` unchanged.
    """

    client: ClientConnection
    origin: OriginConnection
    transaction: Transaction
    begun: float = 0.0
    mark: int = -1
    quiet_since: float = 0.0
    _is_told: bool = False
    _is_client_done: bool = False
    _is_origin_done: bool = False
    _is_over: bool = False

    def begin(self) -> None:
        """Join the origin's side: what it says goes to the client from now on."""
        client, origin = self.client, self.origin
        assert origin.transport is not None, "an origin that is joined stands"
        self.begun = self.quiet_since = client.server.clock.seconds()
        origin.user = self
        self.transaction.downward = origin.transport.relay_to(client.transport)
        self.expect()

    def join(self, data: bytes) -> None:
        """Join the client's side.

        Args:
            data: what the client has said so far.
        """
        transaction, transport = self.transaction, self.origin.transport
        transaction.release_dial()
        if data:
            self.client_data(data)
        if transport is not None:
            transaction.upward = self.client.transport.relay_to(transport)

    def expect(self) -> None:
        """Set the first deadline."""
        self.client.server.timers.expect(self.client, _OPEN_SECONDS)

    def client_data(self, data: bytes) -> None:
        """Write to the origin what came before the relay was there (ClientReceiver)."""
        self.transaction.up += len(data)
        transport = self.origin.transport
        if transport is not None:
            transport.write(data)

    def origin_data(self, data: bytes) -> None:
        """Write to the client what came behind the answer to a handshake (OriginReceiver)."""
        self.transaction.down += len(data)
        self.client.transport.write(data)

    def client_ended(self) -> None:
        """Pass the client's FIN on."""
        if self._is_client_done or self._is_over:
            return
        self._is_client_done = True
        if self._is_origin_done:
            self._complete()
        else:
            transport = self.origin.transport
            assert transport is not None
            transport.unregisterProducer()
            transport.loseWriteConnection()

    def origin_ended(self) -> None:
        """Pass the origin's FIN on."""
        if self._is_origin_done or self._is_over:
            return
        self._is_origin_done = True
        if self._is_client_done:
            self._complete()
        else:
            self.client.transport.unregisterProducer()
            self.client.transport.loseWriteConnection()

    def client_lost(self, reason: Failure) -> None:
        """The client is gone, without a FIN that we could have passed on."""
        if not self._is_over:
            self._over("complete" if self._is_done(reason) else "client_reset")
            if reason.check(ConnectionDone):
                self._close_origin()
            else:
                self.origin.abort()

    def origin_lost(self, reason: Failure) -> None:
        """The origin is gone, without a FIN that we could have passed on."""
        if not self._is_over:
            self._over("complete" if self._is_done(reason) else "origin_reset")
            self.client.transport.unregisterProducer()
            if reason.check(ConnectionDone):
                self.client.close()
            else:
                self.client.abort()

    def expired(self) -> None:
        """Look whether anything moved, and how long the tunnel has lived.

        Nothing is done for this while bytes move: the counters are compared when the deadline is visited.
        """
        client, transaction = self.client, self.transaction
        limits = client.server.limits
        now = client.server.clock.seconds()
        if not self._is_told:
            self._is_told = True
            transaction.record("open", "")
        transaction.count()
        moved = transaction.up + transaction.down
        if moved != self.mark:
            self.mark, self.quiet_since = moved, now
        elif now - self.quiet_since >= limits.idle_seconds:
            self.end("idle")
            return
        left = self.begun + limits.tunnel_seconds - now
        if left <= 0:
            self.end("lifetime")
            return
        client.server.timers.expect(client, min(limits.idle_seconds / 4, left))

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both sides."""
        if not self._is_over:
            self._over(cause, refused)
            self.origin.abort()
            self.client.transport.unregisterProducer()
            self.client.abort()

    def _is_done(self, reason: Failure) -> bool:
        """Tell whether a side that is lost had nothing more to say or to hear."""
        return (self._is_client_done and self._is_origin_done) or reason.check(ConnectionDone) is not None

    def _complete(self) -> None:
        client, origin, transaction = self.client, self.origin, self.transaction
        relay, near, far = transaction.upward, client.transport, origin.transport
        self._over("complete")
        if relay is not None and relay.closes_transports and near.is_flushed and far is not None and far.is_flushed:
            # The relays close both connections at once.
            origin.user = None
            client.let_go()
            return
        client.transport.unregisterProducer()
        self._close_origin()
        client.close()

    def _close_origin(self) -> None:
        if self.origin.transport is not None:
            self.origin.transport.unregisterProducer()
        server = self.client.server
        self.origin.close(server.timers, server.limits.idle_seconds)

    def _over(self, cause: str, refused: Refused | None = None) -> None:
        self._is_over = True
        self.transaction.record("refused" if refused is not None else "end", cause, refused)
