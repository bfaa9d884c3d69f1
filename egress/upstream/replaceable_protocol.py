"""A protocol that passes the events of its connection to a receiver, which can be replaced."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.interfaces import IConnectionNotifier
from egress.transports.connection_notice import OnConnected


@implementer(IConnectionNotifier, IHalfCloseableProtocol)
@define(eq=False)
class ReplaceableProtocol:
    """The protocol of a connection to a proxy. The receiver is a handshake, and afterwards the caller's protocol.

    Attributes:
        receiver: the protocol that receives the events.
        half: the receiver as IHalfCloseableProtocol; None where the receiver does not provide that interface.
        transport: the transport; None before the connection is established and after it is lost.
        on_connected: see IConnectionNotifier.
    """

    receiver: IProtocol
    half: IHalfCloseableProtocol | None = field(init=False)
    transport: ITransport | None = None
    on_connected: OnConnected | None = None

    @half.default
    def _adapt_receiver(self) -> IHalfCloseableProtocol | None:
        return IHalfCloseableProtocol(self.receiver, None)

    def replace(self, protocol: IProtocol) -> None:
        """Pass all further events to another receiver. The caller gives the transport to that receiver."""
        self.receiver = protocol
        self.half = self._adapt_receiver()

    def deliver(self, data: bytes) -> None:
        """Pass bytes to the receiver, unless the connection has ended."""
        if self.transport is not None:
            self.receiver.dataReceived(data)

    def makeConnection(self, transport: ITransport) -> None:
        """Pass the transport to the receiver (IProtocol)."""
        self.transport = transport
        self.receiver.makeConnection(transport)
        on_connected, self.on_connected = self.on_connected, None
        if on_connected is not None:
            on_connected(self, transport)

    def connectionMade(self) -> None:
        """Do nothing: the receiver's own `makeConnection` calls its `connectionMade` (IProtocol)."""

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes to the receiver (IProtocol)."""
        self.receiver.dataReceived(data)

    def readConnectionLost(self) -> None:
        """Pass the peer's FIN to the receiver (IHalfCloseableProtocol)."""
        half, transport = self.half, self.transport
        if half is not None:
            half.readConnectionLost()
        elif transport is not None:
            # Transports do this for a protocol without IHalfCloseableProtocol.
            transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Pass the end of the write direction to the receiver (IHalfCloseableProtocol)."""
        if self.half is not None:
            self.half.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """Pass the end of the connection to the receiver (IProtocol)."""
        self.transport = None
        self.receiver.connectionLost(reason)

    def logPrefix(self) -> str:
        """Name the receiver in Twisted's log messages."""
        return type(self.receiver).__name__
