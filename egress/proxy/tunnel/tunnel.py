"""An open tunnel: a client connection and an origin connection, each relayed to the other.

The transports move the octets (`IStreamTransport.relay_to`). The tunnel passes half-closes on, ends both connections
and keeps the deadlines. The engine's relays pass half-closes on as well; a second half-close has no effect.
"""

from __future__ import annotations

from attrs import define
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.proxy.exchange_roles import PooledConnection
from egress.proxy.roles import TunnelClient
from egress.proxy.server import ProxyServer
from egress.proxy.states import ENDED, OPEN, TUNNEL
from egress.proxy.transaction import Transaction
from egress.timing.idle_watch import IdleWatch

# A tunnel that is open for more than these seconds is recorded while it is open, so that the audit log of a killed
# process has the tunnel.
_OPEN_SECONDS = 2.0


@define(eq=False, weakref_slot=False)
class Tunnel:
    """An open tunnel (ClientReceiver, OriginReceiver). Its states are the table `states.TUNNEL`.

    Attributes:
        server: the server, with the limits and the timers.
        client: the client connection.
        origin: the origin connection.
        transaction: the transaction, which counts the octets and records the tunnel.
        state: the state; see the table.
        started: the time at which the tunnel was opened, in seconds on the clock.
        idle: the watch of the idle time, from the first deadline on.
    """

    server: ProxyServer
    client: TunnelClient
    origin: PooledConnection
    transaction: Transaction
    state: str = OPEN
    started: float = 0.0
    idle: IdleWatch | None = None

    def begin(self) -> None:
        """Set the first deadline."""
        self.started = self.server.clock.seconds()
        self.transaction.release_dial()
        self.expect()

    def relay_down(self) -> None:
        """Relay from the origin to the client."""
        client, origin = self.client, self.origin
        origin.receiver = self
        transport = origin.transport
        if transport is not None:
            self.transaction.downward = transport.relay_to(client.transport)

    def join(self, data: bytes) -> None:
        """Relay from the client to the origin.

        Args:
            data: the octets that the client has sent so far.
        """
        transport = self.origin.transport
        if data:
            self.client_data(data)
        if transport is not None:
            self.transaction.upward = self.client.transport.relay_to(transport)

    def take_over(self, rest: bytes) -> None:
        """Begin and join at once, after a change of protocol.

        Args:
            rest: the octets that the origin has sent so far.
        """
        client = self.client
        client.receiver = self
        self.begin()
        self.relay_down()
        held = client.take_held()
        client.resume()
        if rest:
            self.origin_data(rest)
        self.join(held)
        if client.has_ended:
            self.client_ended()

    def expect(self) -> None:
        """Set the first deadline."""
        self.server.timers.expect(self.client, _OPEN_SECONDS)

    def client_data(self, data: bytes) -> None:
        """Write octets that arrived before the relay to the origin."""
        self.transaction.up += len(data)
        transport = self.origin.transport
        if transport is not None:
            transport.write(data)

    def origin_data(self, data: bytes) -> None:
        """Write octets that arrived before the relay to the client."""
        self.transaction.down += len(data)
        self.client.transport.write(data)

    def client_ended(self) -> None:
        """Pass the client's FIN on."""
        if "client_fin" not in TUNNEL[self.state]:
            return
        self.state = TUNNEL[self.state]["client_fin"]
        if self.state is ENDED:
            self._complete()
            return
        transport = self.origin.transport
        assert transport is not None, "an origin connection that is gone has ended the tunnel"
        transport.unregisterProducer()
        transport.loseWriteConnection()

    def origin_ended(self) -> None:
        """Pass the origin's FIN on."""
        if "origin_fin" not in TUNNEL[self.state]:
            return
        self.state = TUNNEL[self.state]["origin_fin"]
        if self.state is ENDED:
            self._complete()
            return
        self.client.transport.unregisterProducer()
        self.client.transport.loseWriteConnection()

    def client_lost(self, reason: Failure) -> None:
        """Handle the loss of the client connection without a FIN."""
        if self.state is not ENDED:
            is_clean = reason.check(ConnectionDone) is not None
            self._end("complete" if is_clean else "client_reset")
            if is_clean:
                self._close_origin()
            else:
                self.origin.abort()

    def origin_lost(self, reason: Failure) -> None:
        """Handle the loss of the origin connection without a FIN."""
        if self.state is not ENDED:
            is_clean = reason.check(ConnectionDone) is not None
            self._end("complete" if is_clean else "origin_reset")
            self.client.transport.unregisterProducer()
            if is_clean:
                self.client.close()
            else:
                self.client.abort()

    def expired(self) -> None:
        """Check whether octets were transferred, and the age of the tunnel.

        The deadline costs nothing during the transfer: the counters are compared only when the deadline passes.
        """
        transaction, limits, now = self.transaction, self.server.limits, self.server.clock.seconds()
        if self.idle is None:
            transaction.record_open()
            transaction.count()
            self.idle = IdleWatch(transaction.up + transaction.down, now)
        else:
            transaction.count()
            if self.idle.idle_seconds(transaction.up + transaction.down, now) >= limits.idle_seconds:
                self.end("idle")
                return
        left = self.started + limits.tunnel_seconds - now
        if left <= 0:
            self.end("lifetime")
            return
        self.server.timers.expect(self.client, min(limits.idle_seconds / 4, left))

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both connections."""
        if self.state is not ENDED:
            self._end(cause, refused)
            self.origin.abort()
            self.client.transport.unregisterProducer()
            self.client.abort()

    def _complete(self) -> None:
        client, origin, transaction = self.client, self.origin, self.transaction
        relay, near, far = transaction.upward, client.transport, origin.transport
        transaction.record_end("complete")
        if relay is not None and relay.closes_transports and near.is_flushed and far is not None and far.is_flushed:
            # The relays close both connections at once.
            origin.receiver = None
            client.closed_by_relay()
            return
        client.transport.unregisterProducer()
        self._close_origin()
        client.close()

    def _close_origin(self) -> None:
        if self.origin.transport is not None:
            self.origin.transport.unregisterProducer()
        self.origin.close(self.server.timers, self.server.limits.idle_seconds)

    def _end(self, cause: str, refused: Refused | None = None) -> None:
        self.state = TUNNEL[self.state]["end"]
        self.transaction.record_end(cause, refused)
