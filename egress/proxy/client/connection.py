"""The protocol on the agent's side: reads heads, and hands each request to an exchange or a tunnel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IProtocol, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import Refused
from egress.interfaces import IIdentifier
from egress.model import Client, Connection
from egress.proxy import error_responses as answers
from egress.proxy.client.facts import ReadPeer, gather
from egress.proxy.client.refusal import refuse
from egress.proxy.http1.pipelining import read_heads
from egress.proxy.http1.request_parsing import ParsedRequest
from egress.proxy.roles import CLOSING, DRAINING, LINGERING, OVER, READING, ClientReceiver, FlushProducer
from egress.proxy.transaction import Transaction, is_failure
from egress.transports.adapt import adapt
from egress.transports.contract import IStreamTransport
from egress.wire.request_head import RequestReader

if TYPE_CHECKING:
    from egress.proxy.server import ProxyServer

_log = Logger()

# What may wait in memory for its turn: pipelined requests, or bytes sent before a tunnel stands. More waits in the
# kernel, because reading is paused; one read of the transport (64 KiB) can come on top.
HELD_BYTES = 65_536


@implementer(IProtocol, IHalfCloseableProtocol)
@define(eq=False, weakref_slot=False)
class ClientConnection:
    """One client connection.

    Attributes:
        server: what all connections share.
        connection: the facts of this one.
        begin: makes the work that serves a request.
        read_peer_of: reads uid and gid from a unix socket; None on any other.
        by_facts: who it is by the facts of the connection alone.
        settled_by: the identifier that will say the same of every request; None where each has to be asked about.
        client: who it is counted for: whoever made the latest request.
        connection_id: what the audit log calls it.
        transport: given when the connection stands.
        reader: reads the next head, once there was one that was not known.
        receiver: serves the current request.
        transaction: of the current request.
        held: bytes that wait for their turn.
        is_ended: the client's FIN was seen.
        is_clogged: what was last written may not all be gone.
        is_displaced: a reload took its listener from it: the request that runs is the last.
        is_cut: that one is ended, too.
        is_timed: a head has begun, and must end in time.
        state: what it does: READING to OVER.
        is_looping: heads are being read.
        later: they will be, after others had their turn.
    """

    server: ProxyServer
    connection: Connection
    begin: Callable[[ClientConnection, ParsedRequest], None]
    read_peer_of: ReadPeer | None = None
    by_facts: Client = field(init=False)
    settled_by: IIdentifier | None = field(init=False, default=None)
    client: Client = field(init=False)
    connection_id: str = field(init=False, default="")
    transport: IStreamTransport = field(init=False)
    reader: RequestReader | None = field(init=False, default=None)
    receiver: ClientReceiver | None = field(init=False, default=None)
    transaction: Transaction | None = field(init=False, default=None)
    held: bytes = field(init=False, default=b"")
    is_ended: bool = field(init=False, default=False)
    is_clogged: bool = field(init=False, default=False)
    is_displaced: bool = field(init=False, default=False)
    is_cut: bool = field(init=False, default=False)
    is_timed: bool = field(init=False, default=False)
    due: int = field(init=False, default=0)
    visit: int = field(init=False, default=0)
    state: int = field(init=False, default=READING)
    _is_paused: bool = field(init=False, default=False)
    is_looping: bool = field(init=False, default=False)
    later: IDelayedCall | None = field(init=False, default=None)

    # What Twisted calls.

    def makeConnection(self, transport: ITransport) -> None:
        """Begin (IProtocol)."""
        self.transport = adapt(transport)
        server = self.server
        refused = gather(self, transport)
        refused = server.entered(self) or refused
        if refused is not None:
            self.refuse_unread(refused)
            return
        server.timers.expect(self, server.limits.keepalive_seconds)

    def connectionMade(self) -> None:
        """Do nothing: `makeConnection` has done it (IProtocol)."""

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes to whoever they are for."""
        receiver = self.receiver
        if receiver is not None:
            receiver.client_data(data)
        elif self.state == READING:
            self.held = self.held + data if self.held else data
            read_heads(self)
        elif self.state == DRAINING:
            self.hold(data)

    def readConnectionLost(self) -> None:
        """The client's FIN: what runs is finished, nothing new is begun."""
        self.is_ended = True
        if self.receiver is not None:
            self.receiver.client_ended()
        elif self.state in (READING, LINGERING, DRAINING) and (self.state == LINGERING or not self.held):
            self.close()

    def writeConnectionLost(self) -> None:
        """Do nothing: our own FIN is no news."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        server = self.server
        self.state = OVER
        later, self.later = self.later, None
        if later is not None:
            later.cancel()
        server.timers.forget(self)
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.client_lost(reason)
        self.transaction = self.reader = None
        self.held = b""
        server.left(self)

    # What an exchange or a tunnel asks of its connection.

    @property
    def is_last(self) -> bool:
        """Whether no request follows the one that runs."""
        return self.is_displaced or self.server.is_stopping

    def hold(self, data: bytes) -> None:
        """Keep bytes that are not yet wanted; the rest waits in the kernel."""
        self.held = self.held + data if self.held else data
        if len(self.held) > HELD_BYTES:
            self.pause()

    def send(self, data: bytes) -> None:
        """Write to the client."""
        transport = self.transport
        transport.write(data)
        self.is_clogged = transport.unsent is not None

    def take_held(self) -> bytes:
        """Give what was held."""
        held, self.held = self.held, b""
        return held

    def pause(self) -> None:
        """Read no more for now."""
        if not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    def finished(self, *, keep_alive: bool, is_read: bool = True) -> None:
        """The current request has had its whole answer.

        Args:
            keep_alive: go on with the next one.
            is_read: the request was read to its end. If not, the client may still be sending, and a plain close would
                answer that with a reset, which can destroy the answer on its way (RFC 9112 section 9.6).
        """
        self.receiver = self.transaction = None
        if self.state == OVER:
            return
        if keep_alive and not (self.is_displaced or self.server.is_stopping) and (self.held or not self.is_ended):
            if self.is_clogged:
                # Whoever sends requests and does not read the answers would have us keep them all.
                self.state = DRAINING
                self.server.timers.expect(self, self.server.limits.idle_seconds)
                self.transport.registerProducer(FlushProducer(self._drained), False)
            else:
                self._go_on()
        elif is_read and not self.held:
            self.close()
        else:
            self.linger()

    def _drained(self) -> None:
        """The client has taken what was written."""
        self.transport.unregisterProducer()
        self.is_clogged = False
        if self.state == DRAINING:
            self._go_on()

    def _go_on(self) -> None:
        """Read the next request."""
        if self.is_displaced:
            self.linger()
            return
        self.state = READING
        self.server.timers.expect(self, self.server.limits.keepalive_seconds)
        if self._is_paused:
            self.resume()
        if self.held:
            read_heads(self)
        if self.is_ended and self.state == READING and not self.held:
            self.close()

    def answer_refusal(
        self, transaction: Transaction, refused: Refused, *, keep_alive: bool, has_body: bool = True
    ) -> None:
        """Answer the current request with a refusal, and record it."""
        keep_alive = keep_alive and not self.is_last
        transaction.status = refused.status
        transaction.response_source = "egress"
        self.send(answers.refusal(refused, transaction.request.id, keep_alive=keep_alive, has_body=has_body))
        if is_failure(refused):
            transaction.record("end", "failed", refused)
        else:
            transaction.record("refused", "refused", refused)
        self.finished(keep_alive=keep_alive, is_read=False)

    def refuse_unread(self, refused: Refused) -> None:
        """Answer what could not be read as a request, record it and close."""
        refuse(self, refused)
        self.linger()

    # Ways to end.

    def linger(self) -> None:
        """Send what is written and a FIN, and read on for a while so that the client is not met by a reset."""
        if self.state == OVER:
            return
        self.receiver = self.transaction = None
        self.held = b""
        self._stop_draining()
        self.state = LINGERING
        if self.is_ended:
            self.close()
            return
        self.resume()
        self.transport.loseWriteConnection()
        self.server.timers.expect(self, self.server.limits.linger_seconds)

    def close(self) -> None:
        """Send what is written, and close."""
        if self.state == OVER:
            return
        self.receiver = self.transaction = None
        self._stop_draining()
        self.state = CLOSING
        if not self.transport.is_flushed:
            self.server.timers.expect(self, self.server.limits.idle_seconds)
        self.transport.loseConnection()

    def let_go(self) -> None:
        """Hear that the connection is being closed, and that nothing of it is left to do."""
        self.receiver = self.transaction = None
        self.state = CLOSING

    def _stop_draining(self) -> None:
        """A registered producer would keep the connection from closing."""
        if self.state == DRAINING:
            self.transport.unregisterProducer()

    def abort(self) -> None:
        """Reset the connection."""
        if self.state == OVER:
            return
        self.receiver = self.transaction = None
        self.state = CLOSING
        self.transport.abortConnection()

    def expired(self) -> None:
        """The deadline passed."""
        if self.receiver is not None:
            self.receiver.expired()
        elif self.state == READING and self.is_timed:
            self.refuse_unread(Refused("head_timeout", "The request head did not end in time."))
        elif self.state == READING:
            self.server.reached["keepalive_seconds"] += 1
            self.close()
        else:
            self.server.reached["linger_seconds" if self.state == LINGERING else "idle_seconds"] += 1
            self.abort()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Stop whatever runs, now."""
        if self.receiver is not None:
            self.receiver.end(cause, refused)
        else:
            self.abort()

    def drain(self) -> None:
        """Close as soon as nothing runs."""
        if self.state == READING and not self.is_timed:
            self.close()
