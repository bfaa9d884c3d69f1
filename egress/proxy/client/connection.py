"""The protocol of client connections: reads HTTP/1.1 requests, and serves one at a time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import Refused
from egress.interfaces import IIdentifier
from egress.model import Authority, Client, Connection
from egress.proxy.client.connection_facts import ReadPeer, gather
from egress.proxy.client.flush import flush
from egress.proxy.client.pipelining import proceed, queue_held, read_requests
from egress.proxy.client.refusal import refuse_head
from egress.proxy.error_responses import refusal_response
from egress.proxy.exchange_roles import OriginBinding
from egress.proxy.http1.request_parsing import ParsedRequest
from egress.proxy.roles import ClientReceiver, Displacement, LiveTransaction
from egress.proxy.server import ProxyServer
from egress.proxy.states import (
    CLIENT_CONNECTION,
    CLOSED,
    CLOSING,
    DISPATCHING,
    FLUSHING,
    IDLE,
    LINGERING,
    READING,
    YIELDING,
)
from egress.transports.adapt import adapt
from egress.transports.contract import IStreamTransport
from egress.wire.request_head import RequestReader

# What may wait in memory for its turn: pipelined requests, or octets sent before a tunnel is open. More waits in the
# kernel, because reading is paused; one read of the transport, at most twice as large, can come on top.
HELD_BYTES = 16_384


@implementer(IProtocol, IHalfCloseableProtocol)
@define(eq=False, weakref_slot=False)
class ClientConnection:
    """One client connection. Its states are the table `states.CLIENT_CONNECTION`.

    Attributes:
        server: the server, which all connections share.
        connection: the facts of this connection.
        start: the function that starts a request.
        read_peer_of: the reader of uid and gid of the peer of a unix socket; None for any other socket.
        by_facts: the client that the facts alone identify.
        settled_by: the identifier that returns this client for every request; None where each request is identified.
        client: the client of the latest request, for which the connection is counted.
        transport: the transport, once the connection is open.
        reader: the reader of the next head; None before the first head that no memo holds.
        receiver: the receiver of events while a request runs.
        transaction: the transaction of the current request.
        held: the octets that wait for their turn.
        binding: the owner of the origin connection that belongs to this connection; None where there has been none.
        has_ended: the client's FIN was seen.
        displacement: what a reload did to the listener.
        state: see the table.
    """

    server: ProxyServer
    connection: Connection
    start: Callable[[ClientConnection, ParsedRequest], None]
    read_peer_of: ReadPeer | None = None
    by_facts: Client = field(init=False)
    settled_by: IIdentifier | None = field(init=False, default=None)
    client: Client = field(init=False)
    connection_id: str = field(init=False, default="")
    transport: IStreamTransport = field(init=False)
    reader: RequestReader | None = field(init=False, default=None)
    receiver: ClientReceiver | None = field(init=False, default=None)
    transaction: LiveTransaction | None = field(init=False, default=None)
    held: bytes = field(init=False, default=b"")
    binding: OriginBinding | None = field(init=False, default=None)
    has_ended: bool = field(init=False, default=False)
    displacement: Displacement | None = field(init=False, default=None)
    due: int = field(init=False, default=0)
    visit: int = field(init=False, default=0)
    state: str = field(init=False, default=IDLE)
    _is_paused: bool = field(init=False, default=False)

    # Events of the transport.

    def makeConnection(self, transport: ITransport) -> None:
        """Count the connection in, and wait for a request (IProtocol)."""
        self.transport = adapt(transport)
        server = self.server
        refused = gather(self, transport)
        refused = server.connections.add_live(self) or refused
        if refused is not None:
            self.refuse_unread(refused)
            return
        server.timers.expect(self, server.limits.keepalive_seconds)

    def connectionMade(self) -> None:
        """Do nothing (IProtocol)."""

    def dataReceived(self, data: bytes) -> None:
        """Give octets to the current request, or read the next one (IProtocol)."""
        receiver = self.receiver
        if receiver is not None:
            receiver.client_data(data)
        elif self.state is IDLE or self.state is READING:
            self.held = self.held + data if self.held else data
            read_requests(self)
        elif self.state is not LINGERING and self.state is not CLOSING:
            self.hold(data)

    def readConnectionLost(self) -> None:
        """The client's FIN: end what runs, or finish it and what was sent ahead (IHalfCloseableProtocol)."""
        self.has_ended = True
        state = self.state
        if self.receiver is not None:
            self.receiver.client_ended()
            return
        if self.server.http.is_fin_close:
            self.held = b""
        if state is LINGERING or (state in (IDLE, READING, YIELDING, FLUSHING) and not self.held):
            self.close()

    def writeConnectionLost(self) -> None:
        """Do nothing: this was our own FIN (IHalfCloseableProtocol)."""

    def connectionLost(self, reason: Failure) -> None:
        """Count the connection out (IProtocol)."""
        self.step("lost")
        self.server.turns.remove(self)
        self.server.timers.forget(self)
        self.server.connections.unread.pop(self, None)
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.client_lost(reason)
        if self.binding is not None:
            self.binding.close()
        self.transaction = self.reader = self.binding = None
        self.held = b""
        self.server.connections.remove_live(self)

    def expired(self) -> None:
        """The deadline of the current state passed (timer wheel)."""
        reached = self.server.reached
        if self.receiver is not None:
            self.receiver.expired()
        elif self.state is READING:
            self.refuse_unread(Refused("head_timeout", "The request head did not end in time."))
        elif self.state is IDLE:
            reached["keepalive_seconds"] += 1
            self.close()
        else:
            reached["linger_seconds" if self.state is LINGERING else "idle_seconds"] += 1
            self.abort()

    # Requests.

    def finished(self, *, keep_alive: bool, is_read: bool = True) -> None:
        """End the current request, whose response is complete. Continue with the next request, or close.

        Args:
            keep_alive: serve another request.
            is_read: the whole request was read. See `ClientSide.finish`.
        """
        self.receiver = self.transaction = None
        if self.state is CLOSED:
            return
        if keep_alive and self.can_continue:
            if self.transport.unsent is not None:
                # A client that sends requests and does not read the responses would have all of them kept here.
                flush(self)
            else:
                # The loop that dispatched a request goes on by itself.
                is_looping = self.state is DISPATCHING
                self.state = CLIENT_CONNECTION[self.state]["finish"]
                self.server.timers.expect(self, self.server.limits.keepalive_seconds)
                if self._is_paused:
                    self.resume()
                if not is_looping and (self.held or self.has_ended):
                    queue_held(self)
        elif is_read and not self.held:
            self.close()
        else:
            self.linger()

    def proceed(self) -> None:
        """Read the requests that are held, in a later turn than the ones before them (turn queue)."""
        proceed(self)

    def refuse_unread(self, refused: Refused, method: str = "", authority: Authority | None = None) -> None:
        """Answer what could not be read as a request, record it and close. See `refuse_head`."""
        refuse_head(self.server, self, refused, method, authority)
        self.linger()

    def write_refusal(self, refused: Refused, request_id: str, *, keep_alive: bool, has_body: bool = True) -> None:
        """Write the response to a refusal."""
        self.send(refusal_response(refused, request_id, keep_alive=keep_alive, has_body=has_body))

    # What a request uses of its connection.

    @property
    def listener(self) -> str:
        """The name of the listener."""
        return self.connection.listener

    @property
    def can_continue(self) -> bool:
        """Whether a request may follow: the listener and the server continue, and the client has or may send one."""
        if self.displacement is not None or self.server.connections.is_stopping:
            return False
        return not self.has_ended or bool(self.held)

    def send(self, data: bytes) -> None:
        """Write to the client."""
        self.transport.write(data)

    def hold(self, data: bytes) -> None:
        """Keep octets until their turn; the rest waits in the kernel."""
        self.held = self.held + data if self.held else data
        if len(self.held) > HELD_BYTES:
            self.pause()

    def take_held(self) -> bytes:
        """Take the octets that were kept."""
        held, self.held = self.held, b""
        return held

    def pause(self) -> None:
        """Read no more for now."""
        if not self._is_paused:
            self._is_paused = True
            self.stop_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused:
            self._is_paused = False
            self.read_on()

    def resume_unless_paused(self) -> None:
        """Read on where a consumer of this connection's octets paused it, but not where too many octets are kept."""
        if not self._is_paused:
            self.read_on()

    def stop_reading(self) -> None:
        """Leave octets in the kernel, and look once a second whether the client has left."""
        self.transport.pauseProducing()
        self.server.connections.unread[self] = None

    def read_on(self) -> None:
        """Read what is in the kernel."""
        self.transport.resumeProducing()
        self.server.connections.unread.pop(self, None)

    def forget_parser(self) -> None:
        """Release what reads request heads: no further request comes."""
        self.reader = None

    # Ends.

    def linger(self) -> None:
        """Send what was written and a FIN, and read on for a while, so that no reset destroys the response."""
        if self.state is CLOSED:
            return
        self._leave("linger")
        self.held = b""
        if self.has_ended:
            self.close()
            return
        self.resume()
        self.transport.loseWriteConnection()
        self.server.timers.expect(self, self.server.limits.linger_seconds)

    def close(self) -> None:
        """Send what was written, and close."""
        if self.state is CLOSED:
            return
        self._leave("close")
        if not self.transport.is_flushed:
            self.server.timers.expect(self, self.server.limits.idle_seconds)
        self.transport.loseConnection()

    def closed_by_relay(self) -> None:
        """Note that the relay closes the connection, and that nothing is left to do."""
        self._leave("close")

    def abort(self) -> None:
        """Reset the connection."""
        if self.state is CLOSED:
            return
        self._leave("close")
        self.transport.abortConnection()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End what runs, now."""
        if self.receiver is not None:
            self.receiver.end(cause, refused)
        else:
            self.abort()

    def _leave(self, event: str) -> None:
        """Serve nothing more."""
        self.receiver = self.transaction = None
        if self.state is FLUSHING:
            # A registered producer would keep the connection from closing.
            self.transport.unregisterProducer()
        self.step(event)

    def step(self, event: str) -> None:
        """Change the state, by the table."""
        self.state = CLIENT_CONNECTION[self.state][event]

    # What a reload and the end of the server do.

    def drain(self) -> None:
        """Close if no request is running or begun."""
        if self.state is IDLE and self.receiver is None:
            self.close()

    def renew_limits(self) -> None:
        """Read the next head under the server's current limits. A head that has begun keeps its own."""
        if self.reader is not None and not self.reader.is_begun:
            self.reader = None
