"""The beginning of an open tunnel: the first octets of the client are looked at before they are relayed."""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.proxy.roles import TunnelClient
from egress.proxy.server import ProxyServer
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.client_hello import ClientHello, ClientHelloReader
from egress.wire.tls_record import begins_tls


@define(eq=False, weakref_slot=False)
class TunnelInspection:
    """An open tunnel whose client has not yet shown what it speaks (ClientReceiver).

    A ClientHello must name the judged host. Behind a shared address the tunnel would otherwise lead to another host.
    Where nothing is compared (a tunnel to a literal address, or `sni = "record"`), what cannot be read as a ClientHello
    is relayed like what is not TLS.

    Attributes:
        server: has the limits and the timers.
        client: the client connection.
        tunnel: relays from the origin, and takes over from this object.
        hello: reads the ClientHello, once it has begun.
        is_timed: octets came that may be the beginning of a ClientHello, which has a deadline.
    """

    server: ProxyServer
    client: TunnelClient
    tunnel: Tunnel
    hello: ClientHelloReader | None = None
    is_timed: bool = False

    def begin(self) -> None:
        """Relay from the origin, and receive the client's events."""
        self.client.receiver = self
        self.tunnel.begin()

    @property
    def _is_compared(self) -> bool:
        """Whether a ClientHello has to name the judged host."""
        return self.server.tls.sni == "enforce" and self.tunnel.transaction.request.authority.address is None

    def client_data(self, data: bytes) -> None:
        """Look at what comes first."""
        hello = self.hello
        if hello is None:
            client, limits = self.client, self.server.limits
            data = client.take_held() + data
            is_tls = begins_tls(data)
            if is_tls is False:
                self._join(data)
                return
            if not self.is_timed:
                self.is_timed = True
                self.server.timers.expect(client, limits.hello_seconds)
            if is_tls is None:
                client.hold(data)
                return
            hello = self.hello = ClientHelloReader(limits.hello_bytes)
        try:
            found = hello.feed(data)
        except ProtocolError as error:
            self._unreadable("hello_malformed", hello.held, Refused("server_name_refused", error.sentence))
            return
        if found is not None:
            self._compare(found, hello.held)

    def _compare(self, hello: ClientHello, held: bytes) -> None:
        """Compare the server name with the judged host. An encrypted name (ECH) has an outer one, which is compared."""
        transaction = self.tunnel.transaction
        name = transaction.server_name = hello.server_name
        if name and name != transaction.request.authority.host and self._is_compared:
            reason = "The TLS server name is not the host that was judged."
            self.end("server_name", Refused("server_name_refused", reason))
            return
        self._join(held)

    def _unreadable(self, cause: str, held: bytes, refused: Refused | None = None) -> None:
        """End the tunnel, if a ClientHello would have to be compared. Otherwise relay what was held."""
        if self._is_compared:
            self.end(cause, refused)
        else:
            self._join(held)

    def _join(self, data: bytes) -> None:
        """Let the tunnel receive the events of the client connection. This object is released."""
        tunnel, client = self.tunnel, self.client
        client.receiver = tunnel
        client.forget_parser()
        if self.is_timed:
            tunnel.expect()  # in place of the ClientHello's deadline
        tunnel.join(data)

    def client_ended(self) -> None:
        """Pass the client's FIN on. One in a ClientHello leaves nothing to compare."""
        if self.hello is not None:
            self._unreadable("hello_truncated", self.hello.held)
        else:
            self._join(self.client.take_held())
        self.tunnel.client_ended()

    def client_lost(self, reason: Failure) -> None:
        """The client connection is gone."""
        self.tunnel.client_lost(reason)

    def expired(self) -> None:
        """The ClientHello took too long, or the tunnel has a deadline."""
        if self.is_timed:
            held = self.client.take_held() if self.hello is None else self.hello.held
            self._unreadable("hello_timeout", held)
        else:
            self.tunnel.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both connections."""
        self.tunnel.end(cause, refused)
