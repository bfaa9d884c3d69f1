"""The beginning of an open tunnel: what the client and the origin send is read until their TLS handshake is known."""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import HelloFacts
from egress.proxy.roles import TunnelClient
from egress.proxy.server import ProxyServer
from egress.proxy.states import HELLO_SENT, RETRYING, TUNNEL_INSPECTION, UNREAD
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.client_hello import ClientHello, ClientHelloReader
from egress.wire.client_records import ClientRecords
from egress.wire.server_hello import ServerHelloReader
from egress.wire.tls_record import begins_tls


@define(eq=False, weakref_slot=False)
class TunnelInspection:
    """An open tunnel that is not joined yet (ClientReceiver, OriginReceiver). States: `states.TUNNEL_INSPECTION`.

    A ClientHello must name the judged host. Behind a shared address the tunnel would otherwise lead to another host. An
    origin that answers with a HelloRetryRequest serves the name of the second ClientHello, so the client is relayed
    only when no second one can follow, or when it was read. What the origin sends is forwarded at once.

    Where nothing is compared (a tunnel to a literal address, or `sni = "record"`), what cannot be read as a ClientHello
    is relayed like what is not TLS.

    Attributes:
        server: has the limits and the timers.
        client: the client connection.
        tunnel: writes to both sides, and receives their events once they are relayed.
        state: see the table.
        hello: reads the ClientHello that has begun.
        records: finds the second ClientHello.
        answer: reads what the origin sends, once it has sent anything.
        is_relayed: the origin is relayed to the client, or has ended.
        is_timed: octets came that may be the beginning of a ClientHello, which has a deadline.
    """

    server: ProxyServer
    client: TunnelClient
    tunnel: Tunnel
    state: str = UNREAD
    hello: ClientHelloReader | None = None
    records: ClientRecords | None = None
    answer: ServerHelloReader | None = None
    is_relayed: bool = False
    is_timed: bool = False
    _is_client_throttled: bool = False
    _is_origin_throttled: bool = False

    def begin(self) -> None:
        """Receive the events of both connections."""
        tunnel = self.tunnel
        self.client.receiver = tunnel.origin.receiver = self
        tunnel.begin()

    # Events of the client connection (ClientReceiver).

    def client_data(self, data: bytes) -> None:
        """Read up to the end of a ClientHello, and forward records between two of them."""
        if self.state is UNREAD:
            client = self.client
            if client.held:
                data = client.take_held() + data
            is_tls = begins_tls(data)
            if is_tls is False:
                self._join(data)
                return
            if is_tls is None:
                self._expect_hello()
                client.hold(data)
                return
            self.state = TUNNEL_INSPECTION[self.state]["hello_begun"]
            self._read_hello(data)
        elif self.hello is not None:
            self._read_hello(data)
        else:
            self._read_records(data)

    def client_ended(self) -> None:
        """Pass the client's FIN on. One in a ClientHello leaves nothing to compare."""
        if self.hello is not None:
            self._unreadable("hello_truncated")
        else:
            self._join(self._take_kept())
        self.tunnel.client_ended()

    def client_lost(self, reason: Failure) -> None:
        """The client connection is gone."""
        self.tunnel.client_lost(reason)

    def expired(self) -> None:
        """The ClientHello took too long, or the tunnel has a deadline."""
        if self.is_timed:
            self._unreadable("hello_timeout")
        else:
            self.tunnel.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both connections."""
        self.tunnel.end(cause, refused)

    # Events of the origin connection (OriginReceiver).

    def origin_data(self, data: bytes) -> None:
        """Forward; relay once the octets tell whether a second ClientHello may follow."""
        answer = self.answer
        if answer is None:
            answer = self.answer = ServerHelloReader()
        tunnel, may_retry = self.tunnel, answer.feed(data)
        if may_retry is not None:
            tunnel.origin_data(data)
            self._relay_down()
            if self.state is HELLO_SENT:
                self._answered(may_retry)
            return
        if not self._is_origin_throttled:
            self._is_origin_throttled = True
            assert tunnel.origin.transport is not None, "a connection that gives octets is open"
            self.client.transport.registerProducer(tunnel.origin.transport, True)
        tunnel.origin_data(data)

    def origin_ended(self) -> None:
        """Pass the origin's FIN on; the client is read on."""
        tunnel = self.tunnel
        self.is_relayed = True
        tunnel.origin.receiver = tunnel
        tunnel.origin_ended()

    def origin_lost(self, reason: Failure) -> None:
        """The origin connection is gone."""
        self.tunnel.origin_lost(reason)

    # ClientHellos.

    @property
    def _is_compared(self) -> bool:
        """Whether a ClientHello has to name the judged host."""
        return self.server.tls.sni == "enforce" and self.tunnel.transaction.request.authority.address is None

    def _expect_hello(self) -> None:
        if not self.is_timed:
            self.is_timed = True
            self.server.timers.expect(self.client, self.server.limits.hello_seconds)

    def _read_hello(self, data: bytes) -> None:
        reader = self.hello
        if reader is None:
            reader = self.hello = ClientHelloReader(self.server.limits.hello_bytes)
        try:
            hello = reader.feed(data)
        except ProtocolError as error:
            self._unreadable("hello_malformed", error)
            return
        if hello is None:
            self._expect_hello()
        elif self._is_accepted(hello):
            self._forward_hello(reader)

    def _is_accepted(self, hello: ClientHello) -> bool:
        """Compare the server name with the judged host. An encrypted name (ECH) has an outer one, which is compared."""
        transaction, name = self.tunnel.transaction, hello.server_name
        first = transaction.hello
        transaction.hello = HelloFacts(name) if first is None else HelloFacts(first.server_name, name)
        if name and name != transaction.request.authority.host and self._is_compared:
            reason = "The TLS server name is not the host that was judged."
            self.end("server_name", Refused("server_name_refused", reason))
            return False
        return True

    def _forward_hello(self, reader: ClientHelloReader) -> None:
        if self.is_timed:
            self.is_timed = False
            self.tunnel.expect()  # in place of the ClientHello's deadline
        if self.state is RETRYING:
            self._join(reader.held)
            return
        self.hello = None
        self.state = TUNNEL_INSPECTION[self.state]["hello_read"]
        held, size = reader.held, reader.size
        if len(held) == size:
            self.tunnel.client_data(held)
        else:
            self.tunnel.client_data(held[:size])
            self._read_records(held[size:])
        answer = self.answer
        if answer is not None and answer.may_retry is not None and self.state is HELLO_SENT:
            self._answered(answer.may_retry)

    def _read_records(self, data: bytes) -> None:
        """Forward records, up to one that may hold a second ClientHello."""
        tunnel, records = self.tunnel, self.records
        if records is None:
            records = self.records = ClientRecords()
        passing, data = records.feed(data)
        if passing:
            transport = tunnel.origin.transport
            if not self._is_client_throttled and transport is not None:
                self._is_client_throttled = True
                transport.registerProducer(self.client.transport, True)
            tunnel.client_data(passing)
        if not data:
            return
        if self.state is RETRYING:
            self._read_hello(data)
            return
        # A client does not send handshake messages before the answer to its ClientHello.
        error = ProtocolError("hello_malformed", "a handshake record came before the server's answer")
        self._unreadable("hello_malformed", error, data)

    def _answered(self, may_retry: bool) -> None:
        """Join, or wait for a second ClientHello."""
        if may_retry:
            self.state = TUNNEL_INSPECTION[self.state]["retry"]
        else:
            self._join(b"" if self.records is None else self.records.kept)

    def _unreadable(self, cause: str, error: ProtocolError | None = None, data: bytes = b"") -> None:
        """End the tunnel, if a ClientHello would have to be compared. Otherwise relay what was held, and `data`."""
        if not self._is_compared:
            self._join(self._take_kept() + data)
        elif error is None:
            self.end(cause)
        else:
            self.end(cause, Refused("server_name_refused", error.sentence))

    def _take_kept(self) -> bytes:
        """Take the client's octets that were not forwarded."""
        if self.hello is not None:
            return self.hello.held
        return self.client.take_held() if self.records is None else self.records.kept

    # Relays.

    def _relay_down(self) -> None:
        self.is_relayed = True
        if self._is_origin_throttled:
            self.client.transport.unregisterProducer()
        self.tunnel.relay_down()

    def _join(self, data: bytes) -> None:
        """Let the tunnel receive all events. This object is released.

        Args:
            data: the client's octets that were not forwarded.
        """
        tunnel, client = self.tunnel, self.client
        self.state = TUNNEL_INSPECTION[self.state]["join"]
        client.receiver = tunnel
        client.forget_parser()
        if self.is_timed:
            tunnel.expect()
        if not self.is_relayed:
            self._relay_down()
        if self._is_client_throttled and tunnel.origin.transport is not None:
            tunnel.origin.transport.unregisterProducer()
        tunnel.join(data)
