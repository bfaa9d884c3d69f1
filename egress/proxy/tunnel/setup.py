"""CONNECT: a tunnel from its request head until both directions are relayed (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from attrs import define, field
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import NO_FIELDS, Admission, Request
from egress.proxy.error_responses import ESTABLISHED
from egress.proxy.exchange_roles import PooledConnection
from egress.proxy.roles import TunnelClient
from egress.proxy.server import ProxyServer
from egress.proxy.transaction import Transaction
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.client_hello import ClientHello, ClientHelloReader, is_tls_record
from egress.wire.connect_fields import connect_fields
from egress.wire.request_head import RequestHead


@define(eq=False)
class TunnelSetup:
    """A tunnel whose client has not yet shown what it speaks (ClientReceiver, TransactionOwner).

    What the client sends early is held, bounded, until the tunnel is open. The first octets are looked at: a
    ClientHello must name the judged host. Behind a shared address the tunnel would otherwise lead to another host.

    Attributes:
        server: has the limits and the timers.
        client: the client connection.
        request: the CONNECT; `head` is what was read.
        transaction: admits, dials and records the request.
        tunnel: once the 200 was sent.
        hello: reads the ClientHello, once it has begun.
    """

    server: ProxyServer
    client: TunnelClient
    request: Request
    head: RequestHead
    transaction: Transaction = field(init=False)
    tunnel: Tunnel | None = field(init=False, default=None)
    hello: ClientHelloReader | None = field(init=False, default=None)

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
        """Answer, relay from the origin, and look at what the client sent early."""
        client, transaction = self.client, self.transaction
        client.transport.write(ESTABLISHED)
        transaction.status, transaction.response_source = 200, "egress"
        transaction.start()
        tunnel = self.tunnel = Tunnel(self.server, client, origin, transaction)
        tunnel.begin()
        if client.held:
            self.client_data(client.take_held())
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
        """Hold what comes before the tunnel is open; look at what comes first."""
        if self.tunnel is None:
            self.client.hold(data)
            return
        hello = self.hello
        if hello is None:
            if not is_tls_record(data):
                self._join(data)
                return
            limits = self.server.limits
            hello = self.hello = ClientHelloReader(limits.hello_bytes)
            self.server.timers.expect(self.client, limits.hello_seconds)
        try:
            found = hello.feed(data)
        except ProtocolError as error:
            self.end("hello_malformed", Refused("server_name_refused", error.sentence))
            return
        if found is not None:
            self._compare(found, hello.held)

    def _compare(self, hello: ClientHello, held: bytes) -> None:
        """Compare the server name with the judged host.

        An encrypted name (ECH) has an outer one, which is the one compared. A literal address has no name to compare.
        """
        authority = self.request.authority
        name = self.transaction.server_name = hello.server_name
        is_other = bool(name) and authority.address is None and name != authority.host
        if is_other and self.server.tls.sni == "enforce":
            reason = "The TLS server name is not the host that was judged."
            self.end("server_name", Refused("server_name_refused", reason))
            return
        self._join(held)

    def _join(self, data: bytes) -> None:
        """Let the tunnel receive the events of the client connection. This object is released."""
        tunnel, client = self.tunnel, self.client
        assert tunnel is not None
        client.receiver = tunnel
        client.forget_parser()
        if self.hello is not None:
            tunnel.expect()  # in place of the ClientHello's deadline
        tunnel.join(data)

    def client_ended(self) -> None:
        """A FIN before the tunnel is open waits for it. One in a ClientHello leaves nothing to judge."""
        if self.tunnel is None:
            return
        if self.hello is not None:
            self.end("hello_truncated")
            return
        self._join(b"")
        self.tunnel.client_ended()

    def client_lost(self, reason: Failure) -> None:
        """The client connection is gone."""
        if self.tunnel is not None:
            self.tunnel.client_lost(reason)
        else:
            self.transaction.cancel()
            self.transaction.record_end("client_closed")

    def expired(self) -> None:
        """The ClientHello took too long, or the tunnel has a deadline."""
        if self.tunnel is None:
            return
        if self.hello is not None:
            self.end("hello_timeout")
        else:
            self.tunnel.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset what is open."""
        if self.tunnel is not None:
            self.tunnel.end(cause, refused)
        else:
            self.transaction.cancel()
            self.transaction.record_end(cause, refused)
            self.client.abort()
