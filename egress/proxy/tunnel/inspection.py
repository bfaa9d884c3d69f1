"""The beginning of an open tunnel: both sides' octets are read until the server names of its TLS are known."""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.model import HelloFacts
from egress.proxy.roles import TunnelClient
from egress.proxy.server import ProxyServer
from egress.proxy.states import HELLO_SENT, RETRYING, TUNNEL_INSPECTION, UNREAD
from egress.proxy.tunnel.hello_rule import find_refusal, has_rule, unreadable
from egress.proxy.tunnel.tunnel import Tunnel
from egress.wire.client_hello import ClientHello, ClientHelloReader
from egress.wire.client_records import ClientRecords
from egress.wire.server_hello import ServerHelloReader
from egress.wire.tls_record import begins_tls


@define(eq=False, weakref_slot=False)
class TunnelInspection:
    """An open tunnel that is not joined yet (ClientReceiver, OriginReceiver). States: `states.TUNNEL_INSPECTION`.

    A ClientHello must name the judged host (`hello_rule`). Behind a shared address the tunnel would otherwise lead to
    another host. An origin that answers with a HelloRetryRequest serves the name of the second ClientHello, so the
    client is relayed only when no second one can follow, or when it was read. What the origin sends is forwarded at
    once.

    Where nothing is asked of a ClientHello, what cannot be read as one is relayed like what is not TLS.

    Attributes:
        server: the server, with the limits and the timers.
        client: the client connection.
        tunnel: the tunnel, which writes to both sides and receives the events of a side that is relayed.
        state: the state; see the table.
        hello: the reader of the ClientHello that has begun.
        records: the reader of the client's records between two ClientHellos.
        answer: the reader of the origin's octets; None before the first of them.
        is_relayed: whether the origin is relayed to the client, or has ended.
        is_timed: whether the deadline of a ClientHello runs.
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
        """Pass the client's FIN on. One in a ClientHello leaves nothing to judge."""
        if self.hello is not None:
            self._unreadable("hello_truncated")
        else:
            self._join(self._take_kept())
        self.tunnel.client_ended()

    def client_lost(self, reason: Failure) -> None:
        """Handle the loss of the client connection."""
        self.tunnel.client_lost(reason)

    def expired(self) -> None:
        """Handle the deadline of a ClientHello or of the tunnel."""
        if self.is_timed:
            self._unreadable("hello_timeout")
        else:
            self.tunnel.expired()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset both connections."""
        self.tunnel.end(cause, refused)

    # Events of the origin connection (OriginReceiver).

    def origin_data(self, data: bytes) -> None:
        """Forward the octets; relay once they tell whether a second ClientHello may follow."""
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
        """Handle the loss of the origin connection."""
        self.tunnel.origin_lost(reason)

    # ClientHellos.

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
        """Record what a ClientHello says, and judge it."""
        transaction = self.tunnel.transaction
        name, first = hello.server_name, transaction.hello
        if first is None:
            transaction.hello = HelloFacts(name, hello.has_ech)
        else:
            transaction.hello = HelloFacts(first.server_name, first.has_ech or hello.has_ech, name)
        found = find_refusal(hello, transaction.request.authority, self.server.tls)
        if found is not None:
            self.end(*found)
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
        """End the tunnel, if anything is asked of a ClientHello. Otherwise relay what was held, and `data`."""
        authority, tls = self.tunnel.transaction.request.authority, self.server.tls
        if not has_rule(authority, tls):
            self._join(self._take_kept() + data)
        elif error is None:
            self.end(cause)
        else:
            self.end(cause, unreadable(error, authority, tls))

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
