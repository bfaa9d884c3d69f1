"""The protocol on the far side: hands what it hears to whoever uses the connection now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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
from egress.transports.adapt import adapt
from egress.transports.connection_notice import OnConnected
from egress.transports.contract import IStreamTransport

if TYPE_CHECKING:
    from egress.proxy.http1.response_stream import ResponseStream
    from egress.proxy.origin.pool import Key, OriginPool
    from egress.timing.timer_wheel import TimerWheel


class OriginReceiver(Protocol):
    """What an exchange or a tunnel hears of its origin."""

    def origin_data(self, data: bytes) -> None:
        """Bytes came."""

    def origin_ended(self) -> None:
        """The origin sent its FIN; it may still be written to."""

    def origin_lost(self, reason: Failure) -> None:
        """The connection is gone."""


@implementer(IConnectionNotifier, IHalfCloseableProtocol)
@define(eq=False, weakref_slot=False)
class OriginConnection:
    """One connection to an origin.

    Attributes:
        transport: given when the connection stands.
        user: who uses it now; None while it is idle.
        address: the address that was dialled, for the pool.
        generation: of the snapshot that had it dialled, for the pool as well.
        timers: keeps its deadline, once it has had one.
        is_closing: it has been closed, and its last bytes are on their way.
        is_used: it has served a request before, so that its origin may be closing it at this very moment.
        pool: the pool that keeps it while it is idle.
        key: where the pool keeps it; the same for its whole life.
        response_stream: reads the answers on this connection.
        on_connected: see IConnectionNotifier; cleared once it was called.
    """

    transport: IStreamTransport | None = None
    user: OriginReceiver | None = None
    address: str = ""
    generation: int = 0
    is_used: bool = False
    pool: OriginPool | None = None
    key: Key | None = None
    is_closing: bool = False
    timers: TimerWheel | None = None
    due: int = 0
    visit: int = 0
    response_stream: ResponseStream | None = None
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
        if self.user is not None:
            self.user.origin_data(data)
        elif not self.is_closing:
            self.retire()

    def readConnectionLost(self) -> None:
        """Hand the FIN on."""
        if self.user is not None:
            self.user.origin_ended()
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
        user, self.user, self.transport = self.user, None, None
        if user is not None:
            user.origin_lost(reason)

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

    def abort(self) -> None:
        """Reset the connection, unheard by its user."""
        self.user = None
        if self.transport is not None:
            self.transport.abortConnection()

    def close(self, timers: TimerWheel, seconds: float) -> None:
        """Close after what was written, unheard by its user.

        Args:
            timers: for the deadline.
            seconds: after which a reset ends it, if the origin does not read.
        """
        self.user = None
        if self.transport is not None:
            self.is_closing = True
            if not self.transport.is_flushed:
                self.timers = timers
                timers.expect(self, seconds)
            self.transport.loseConnection()


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
