"""The protocol of origin connections, which passes its events to a receiver."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocolFactory,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.interfaces import IConnectionNotifier
from egress.proxy.exchange_roles import IdlePool, PoolKey, ResponseSink
from egress.proxy.http1.origin_stream import Http1OriginStream
from egress.proxy.limits import Limits
from egress.proxy.roles import OriginReceiver
from egress.timing.timer_wheel import TimerWheel
from egress.transports.adapt import adapt
from egress.transports.connection_notice import OnConnected
from egress.transports.contract import IStreamTransport
from egress.wire.response_head import ResponseReader
from egress.wire.via import Via


@implementer(IConnectionNotifier, IHalfCloseableProtocol)
@define(eq=False, weakref_slot=False)
class OriginConnection:
    """One connection to an origin.

    Attributes:
        transport: the transport, once the connection is established.
        receiver: the receiver of the connection's events; None while the connection is idle.
        address: the dialled address, for the pool.
        generation: the generation of the snapshot that dialled the connection, for the pool.
        timers: the timer wheel of the connection's deadline, once a deadline was set.
        is_closing: whether the connection has been closed while its last octets are unsent.
        is_used: whether the connection has served a request, so that its origin may close it at any moment.
        is_bound: whether the connection may be authenticated, so that it serves one client connection only.
        pool: the owner of the connection while it is idle.
        key: the connection's key in the pool, constant for its whole life.
        stream: the origin's side of the connection's exchanges.
        on_connected: see IConnectionNotifier; cleared after the call.
    """

    transport: IStreamTransport | None = None
    receiver: OriginReceiver | None = None
    address: str = ""
    generation: int = 0
    is_used: bool = False
    is_bound: bool = False
    pool: IdlePool | None = None
    key: PoolKey | None = None
    is_closing: bool = False
    timers: TimerWheel | None = None
    due: int = 0
    visit: int = 0
    stream: Http1OriginStream | None = None
    on_connected: OnConnected | None = None

    def makeConnection(self, transport: ITransport) -> None:
        """Adapt the transport, and report the connection (IProtocol)."""
        self.transport = adapt(transport)
        self.transport.setTcpNoDelay(True)
        on_connected, self.on_connected = self.on_connected, None
        if on_connected is not None:
            on_connected(self, transport)

    def connectionMade(self) -> None:
        """Do nothing: `on_connected` has reported the connection."""

    def dataReceived(self, data: bytes) -> None:
        """Pass octets to the receiver. An idle connection that receives octets is not reused."""
        if self.receiver is not None:
            self.receiver.origin_data(data)
        elif not self.is_closing:
            self.retire()

    def readConnectionLost(self) -> None:
        """Pass the FIN to the receiver."""
        if self.receiver is not None:
            self.receiver.origin_ended()
        elif not self.is_closing:
            self.retire()

    def writeConnectionLost(self) -> None:
        """Do nothing: this is the proxy's own FIN."""

    def connectionLost(self, reason: Failure) -> None:
        """Pass the loss of the connection to the receiver."""
        if self.pool is not None:
            self.pool.forget(self)
        if self.timers is not None:
            self.timers.forget(self)
        receiver, self.receiver, self.transport, self.stream = self.receiver, None, None, None
        if receiver is not None:
            receiver.origin_lost(reason)

    def expired(self) -> None:
        """Close an idle connection; reset a closing connection with unsent octets."""
        if self.is_closing:
            if self.transport is not None:
                self.transport.abortConnection()
            return
        if self.pool is not None:
            self.pool.reached["pool_seconds"] += 1
        self.retire()

    def retire(self) -> None:
        """Close an idle connection."""
        pool, timers = self.pool, self.timers
        if pool is not None:
            pool.forget(self)
            if timers is not None:
                self.close(timers, pool.limits.linger_seconds)
                return
        if self.transport is not None:
            self.transport.loseConnection()

    def open_stream(self, sink: ResponseSink, limits: Limits, via: Via) -> Http1OriginStream:
        """Return the origin's side of one exchange (PooledConnection). HTTP/1.1 allows one exchange at a time."""
        stream = self.stream
        if stream is None:
            stream = self.stream = Http1OriginStream(self, ResponseReader(limits.head_bytes), via)
        stream.sink, self.receiver = sink, stream
        return stream

    def hold_events(self) -> None:
        """Keep events until `release_events`, and pause reading (PooledConnection)."""
        self.receiver = _HeldEvents()
        if self.transport is not None:
            self.transport.pauseProducing()

    def release_events(self) -> tuple[bytes, bool]:
        """Resume reading. See `PooledConnection.release_events`."""
        held, self.receiver = self.receiver, None
        if self.transport is not None:
            self.transport.resumeProducing()
        assert isinstance(held, _HeldEvents)
        return held.data, held.is_ended

    def replay(self, data: bytes, is_ended: bool) -> None:
        """Pass the kept events to the receiver (PooledConnection)."""
        if data:
            self.dataReceived(data)
        if is_ended:
            self.readConnectionLost()

    def abort(self) -> None:
        """Reset the connection, without an event for the receiver."""
        self.receiver = None
        if self.transport is not None:
            self.transport.abortConnection()

    def close(self, timers: TimerWheel, seconds: float) -> None:
        """Close after the written octets are sent, without an event for the receiver.

        Args:
            timers: the timer wheel of the deadline.
            seconds: the time after which the connection is reset, if the origin does not read.
        """
        self.receiver = None
        if self.transport is not None:
            self.is_closing = True
            if not self.transport.is_flushed:
                self.timers = timers
                timers.expect(self, seconds)
            self.transport.loseConnection()


@define(eq=False)
class _HeldEvents:
    """Keeps the events of a connection that is not used yet (OriginReceiver)."""

    data: bytes = b""
    is_ended: bool = False

    def origin_data(self, data: bytes) -> None:
        """Keep the octets."""
        self.data += data

    def origin_ended(self) -> None:
        """Keep the FIN."""
        self.is_ended = True

    def origin_lost(self, reason: Failure) -> None:
        """Do nothing: the connection's transport is already None."""


@implementer(IProtocolFactory)
class OriginFactory:
    """The factory of all origin connections, which logs nothing."""

    noisy = False
    numPorts = 0

    def buildProtocol(self, _address: IAddress) -> OriginConnection:
        """Build the protocol of one connection."""
        return OriginConnection()

    def doStart(self) -> None:
        """Do nothing."""

    def doStop(self) -> None:
        """Do nothing."""
