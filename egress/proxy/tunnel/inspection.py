"""The beginning of an open tunnel: the first octets of the client are looked at before they are relayed."""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.proxy.roles import TunnelClient
from egress.proxy.server import ProxyServer
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.client_hello import ClientHello, ClientHelloReader, is_tls_record


@define(eq=False, weakref_slot=False)
class TunnelInspection:
    """An open tunnel whose client has not yet shown what it speaks (ClientReceiver).

    A ClientHello must name the judged host. Behind a shared address the tunnel would otherwise lead to another host.

    Attributes:
        server: has the limits and the timers.
        client: the client connection.
        tunnel: relays from the origin, and takes over from this object.
        hello: reads the ClientHello, once it has begun.
    """

    server: ProxyServer
    client: TunnelClient
    tunnel: Tunnel
    hello: ClientHelloReader | None = None

    def begin(self) -> None:
        """Relay from the origin, and receive the client's events."""
        self.client.receiver = self
        self.tunnel.begin()

    def client_data(self, data: bytes) -> None:
        """Look at what comes first."""
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
        transaction = self.tunnel.transaction
        authority = transaction.request.authority
        name = transaction.server_name = hello.server_name
        is_other = bool(name) and authority.address is None and name != authority.host
        if is_other and self.server.tls.sni == "enforce":
            reason = "The TLS server name is not the host that was judged."
            self.end("server_name", Refused("server_name_refused", reason))
            return
        self._join(held)

    def _join(self, data: bytes) -> None:
        """Let the tunnel receive the events of the client connection. This object is released."""
        tunnel, client = self.tunnel, self.client
        client.receiver = tunnel
        client.forget_parser()
        if self.hello is not None:
            tunnel.expect()  # in place of the ClientHello's deadline
        tunnel.join(data)

    def client_ended(self) -> None:
        """Pass the client's FIN on. One in a ClientHello leaves nothing to judge."""
        if self.hello is not None:
            self.end("hello_truncated")
            return
        self._join(b"")
        self.tunnel.client_ended()

    def client_lost(self, reason: Failure) -> None:
        """The client connection is gone."""
        self.tunnel.client_lost(reason)

    def expired(self) -> None:
        """The ClientHello took too long, or the tunnel has a deadline."""
        if self.hello is not None:
            self.end("hello_timeout")
        else:
            self.tunnel.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both connections."""
        self.tunnel.end(cause, refused)
