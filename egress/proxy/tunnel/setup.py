"""CONNECT: a tunnel from its head to the moment when it is joined (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import Admission, Request
from egress.proxy.error_responses import ESTABLISHED
from egress.proxy.origin.connection import OriginConnection
from egress.proxy.transaction import Transaction
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.client_hello import ClientHello, ClientHelloReader, is_tls_record

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection


@define(eq=False)
class TunnelSetup:
    """A tunnel that does not stand yet, or whose client has not yet shown what it speaks.

    What the client sends early is held, bounded, until the tunnel stands. Its first bytes are looked at: a ClientHello
    must name the host that was judged, or else the tunnel would lead, behind a shared address, to another one.
    """

    client: ClientConnection
    request: Request
    transaction: Transaction = field(init=False)
    tunnel: Tunnel | None = field(init=False, default=None)
    hello: ClientHelloReader | None = field(init=False, default=None)

    def begin(self) -> None:
        """Ask the gate."""
        self.transaction = Transaction(self.client, self.request, self)
        client = self.client
        client.receiver, client.transaction = self, self.transaction
        client.due = 0  # policies, the resolver and the dial have deadlines of their own
        self.transaction.admit()

    def admitted(self, _admission: Admission) -> None:
        """Dial (TransactionOwner)."""
        self.transaction.dial()

    def connected(self, origin: OriginConnection) -> None:
        """Answer, join the origin's side, and look at what the client sent early."""
        client = self.client
        client.transport.write(ESTABLISHED)
        self.transaction.status = 200
        self.transaction.response_source = "egress"
        self.transaction.started()
        self.tunnel = Tunnel(client, origin, self.transaction)
        self.tunnel.begin()
        if client.held:
            self.client_data(client.take_held())
        client.resume()
        if client.is_ended and client.receiver is not None:
            client.receiver.client_ended()

    def refused(self, refused: Refused) -> None:
        """Answer the refusal and close: what follows a CONNECT may be anything but a request."""
        self.client.answer_refusal(self.transaction, refused, keep_alive=False)

    def client_data(self, data: bytes) -> None:
        """Hold what comes early; look at what comes first (ClientReceiver)."""
        if self.tunnel is None:
            self.client.hold(data)
            return
        hello = self.hello
        if hello is None:
            if not is_tls_record(data):
                self._join(data)
                return
            limits = self.client.server.limits
            hello = self.hello = ClientHelloReader(limits.hello_bytes)
            self.client.server.timers.expect(self.client, limits.hello_seconds)
        try:
            found = hello.feed(data)
        except ProtocolError as error:
            self.end("hello_malformed", Refused("server_name_refused", error.sentence))
            return
        if found is not None:
            self._judge(found, hello.held)

    def _judge(self, hello: ClientHello, held: bytes) -> None:
        """Compare the name with the host that was judged.

        An encrypted name (ECH) has an outer one, which is the one compared. A literal address has no name to compare.
        """
        authority = self.request.authority
        name = self.transaction.server_name = hello.server_name
        is_other = bool(name) and authority.address is None and name != authority.host
        if is_other and self.client.server.tls.sni == "enforce":
            reason = "The TLS server name is not the host that was judged."
            self.end("server_name", Refused("server_name_refused", reason))
            return
        self._join(held)

    def _join(self, data: bytes) -> None:
        """Hand the client's side to the splice; this object is let go."""
        tunnel, client = self.tunnel, self.client
        assert tunnel is not None
        client.receiver = tunnel
        client.reader = None
        if self.hello is not None:
            tunnel.expect()  # the ClientHello had a deadline of its own
        tunnel.join(data)

    def client_ended(self) -> None:
        """A FIN before the tunnel stands waits for it; one in a ClientHello leaves nothing to judge."""
        if self.tunnel is None:
            return
        if self.hello is not None:
            self.end("hello_truncated")
            return
        self._join(b"")
        self.tunnel.client_ended()

    def client_lost(self, reason: Failure) -> None:
        """The client went away."""
        if self.tunnel is not None:
            self.tunnel.client_lost(reason)
        else:
            self.transaction.cancel()
            self.transaction.record("end", "client_closed")

    def expired(self) -> None:
        """The ClientHello took too long, or the splice has a deadline."""
        if self.tunnel is None:
            return
        if self.hello is not None:
            self.end("hello_timeout")
        else:
            self.tunnel.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset what there is."""
        if self.tunnel is not None:
            self.tunnel.end(cause, refused)
        else:
            self.transaction.cancel()
            self.transaction.record("refused" if refused is not None else "end", cause, refused)
            self.client.abort()
