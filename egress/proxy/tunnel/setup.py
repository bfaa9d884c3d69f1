"""CONNECT: a tunnel from its request head until it is open (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.model import NO_FIELDS, Admission, Request
from egress.proxy.error_responses import ESTABLISHED
from egress.proxy.exchange_roles import PooledConnection
from egress.proxy.roles import TunnelClient
from egress.proxy.server import ProxyServer
from egress.proxy.transaction import Transaction
from egress.proxy.tunnel.inspection import TunnelInspection
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.connect_fields import connect_fields
from egress.wire.request_head import RequestHead


@define(eq=False)
class TunnelSetup:
    """A tunnel that is not open yet (ClientReceiver, TransactionOwner).

    What the client sends early is held, bounded, until the tunnel is open.

    Attributes:
        server: the server, with the limits and the timers.
        client: the client connection.
        request: the CONNECT; `head` is what was read.
        transaction: the transaction, which admits, dials and records the request.
        tunnel: the tunnel; None before the 200.
    """

    server: ProxyServer
    client: TunnelClient
    request: Request
    head: RequestHead
    transaction: Transaction = field(init=False)
    tunnel: Tunnel | None = field(init=False, default=None)

    def begin(self) -> None:
        """Ask the gate. Policies, the resolver and the dial have deadlines of their own."""
        client = self.client
        transaction = self.transaction = Transaction(self.server, client, self.request, self)
        client.receiver, client.transaction = self, transaction
        client.due = 0  # as `TimerWheel.clear` does it
        transaction.admit()

    # Results of the transaction (TransactionOwner).

    def admitted(self, admission: Admission) -> None:
        """Dial."""
        self.transaction.dial(None, connect_fields(self.head, self.server.via) if admission.route.hops else NO_FIELDS)

    def connected(self, origin: PooledConnection) -> None:
        """Answer, open the tunnel, and give it what the client sent early."""
        client, transaction = self.client, self.transaction
        client.transport.write(ESTABLISHED)
        transaction.status, transaction.response_source = 200, "egress"
        transaction.start()
        tunnel = self.tunnel = Tunnel(self.server, client, origin, transaction)
        inspection = TunnelInspection(self.server, client, tunnel)
        inspection.begin()
        if client.held:
            inspection.client_data(client.take_held())
        client.resume()
        if client.has_ended and client.receiver is not None:
            client.receiver.client_ended()

    def refused(self, refused: Refused) -> None:
        """Answer with a refusal and close: what follows a CONNECT may be anything but a request."""
        client = self.client
        self.transaction.name_policy(refused)
        client.write_refusal(refused, self.request.id, keep_alive=False)
        self.transaction.record_refusal(refused)
        client.finished(keep_alive=False, is_read=False)

    # Events of the client connection (ClientReceiver).

    def client_data(self, data: bytes) -> None:
        """Hold what comes before the tunnel is open."""
        self.client.hold(data)

    def client_ended(self) -> None:
        """End the request, or do nothing: the FIN then waits until the tunnel is open."""
        if self.server.http.is_fin_close:
            self.end("client_closed")

    def client_lost(self, reason: Failure) -> None:
        """The client connection is gone."""
        self.transaction.cancel()
        self.transaction.record_end("client_closed" if reason.check(ConnectionDone) else "client_reset")

    def expired(self) -> None:
        """Do nothing: a tunnel that is not open has no deadline here."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset what is open."""
        if self.tunnel is not None:
            self.tunnel.end(cause, refused)
            return
        self.transaction.cancel()
        self.transaction.record_end(cause, refused)
        self.client.abort()
