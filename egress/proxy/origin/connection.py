"""The protocol of origin connections: gives its events to whoever uses the connection."""

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


@implementer(IConnectionNotifier, IHalfCloseableProtocol)
@define(eq=False, weakref_slot=False)
class OriginConnection:
    """One connection to an origin.

    Attributes:
        transport: given when the connection stands.
        receiver: receives its events; None while it is idle.
        address: the address that was dialled, for the pool.
        generation: of the snapshot that had it dialled, for the pool as well.
        timers: keeps its deadline, once it has had one.
        is_closing: it has been closed, and its last bytes are on their way.
        is_used: it has served a request before, so that its origin may be closing it at this very moment.
        pool: the pool that keeps it while it is idle.
        key: where the pool keeps it; the same for its whole life.
        stream: the origin's side of its exchanges.
        on_connected: see IConnectionNotifier; cleared once it was called.
    """

    transport: IStreamTransport | None = None
    receiver: OriginReceiver | None = None
    address: str = ""
    generation: int = 0
    is_used: bool = False
    pool: IdlePool | None = None
    key: PoolKey | None = None
    is_closing: bool = False
    timers: TimerWheel | None = None
    due: int = 0
    visit: int = 0
    stream: Http1OriginStream | None = None
    on_connected: OnConnected | None = None

    def makeConnection(self, transport: ITransport) -> None:
        """Hear of the connection (IProtocol)."""
        self.transport = adapt(transport)
        self.transport.setTcpNoDelay(True)
        on_connected, self.on_connected = self.on_connected, None
        if on_connected is not None:
            on_connected(self, transport)

    def connectionMade(self) -> None:
        """Do nothing: whoever dialled takes over."""

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes on; an idle connection that speaks is not one to use again."""
        if self.receiver is not None:
            self.receiver.origin_data(data)
        elif not self.is_closing:
            self.retire()

    def readConnectionLost(self) -> None:
        """Hand the FIN on."""
        if self.receiver is not None:
            self.receiver.origin_ended()
        elif not self.is_closing:
            self.retire()

    def writeConnectionLost(self) -> None:
        """Do nothing: our own FIN is no news."""

    def connectionLost(self, reason: Failure) -> None:
        """Hand the end on."""
        if self.pool is not None:
            self.pool.forget(self)
        if self.timers is not None:
            self.timers.forget(self)
        receiver, self.receiver, self.transport, self.stream = self.receiver, None, None, None
        if receiver is not None:
            receiver.origin_lost(reason)

    def expired(self) -> None:
        """Close an idle connection; reset one that does not get its last bytes out."""
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

    def open_stream(self, sink: ResponseSink, limits: Limits) -> Http1OriginStream:
        """Give the origin's side of one exchange (PooledConnection). One at a time: this is HTTP/1.1."""
        stream = self.stream
        if stream is None:
            stream = self.stream = Http1OriginStream(self, ResponseReader(limits.head_bytes, limits.head_fields))
        stream.sink, self.receiver = sink, stream
        return stream

    def hold_events(self) -> None:
        """Keep what happens until `release_events`, and read no further (PooledConnection)."""
        self.receiver = _HeldEvents()
        if self.transport is not None:
            self.transport.pauseProducing()

    def release_events(self) -> tuple[bytes, bool]:
        """Read on. See `PooledConnection.release_events`."""
        held, self.receiver = self.receiver, None
        if self.transport is not None:
            self.transport.resumeProducing()
        assert isinstance(held, _HeldEvents)
        return held.data, held.is_ended

    def replay(self, data: bytes, is_ended: bool) -> None:
        """Tell the receiver of what came before it was there (PooledConnection)."""
        if data:
            self.dataReceived(data)
        if is_ended:
            self.readConnectionLost()

    def abort(self) -> None:
        """Reset the connection, unheard by its receiver."""
        self.receiver = None
        if self.transport is not None:
            self.transport.abortConnection()

    def close(self, timers: TimerWheel, seconds: float) -> None:
        """Close after what was written, unheard by its receiver.

        Args:
            timers: for the deadline.
            seconds: after which a reset ends it, if the origin does not read.
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
        """Do nothing: the connection has no transport any more."""


@implementer(IProtocolFactory)
class OriginFactory:
    """Builds the protocols; one serves all connections, and is quiet."""

    noisy = False
    numPorts = 0

    def buildProtocol(self, _address: IAddress) -> OriginConnection:
        """Build one."""
        return OriginConnection()

    def doStart(self) -> None:
        """Do nothing."""

    def doStop(self) -> None:
        """Do nothing."""
