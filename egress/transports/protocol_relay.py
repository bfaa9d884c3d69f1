"""The relay between transports that are not both the engine's: octets pass through a protocol."""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.contract import IRelay, IStreamTransport


@implementer(IRelay, IProtocol, IHalfCloseableProtocol, IPushProducer)
class ProtocolRelay:
    """Replaces the protocol of `source`, and writes the octets of `source` to `sink`.

    The relay is the sink's producer. The replaced protocol still receives the ends of the connection, and passes them
    on.

    Args:
        source: the transport that this object is the protocol of.
        sink: the transport that is written to.
        protocol: the protocol that is replaced.
    """

    __slots__ = ("_half_closeable", "_moved", "_protocol", "_sink", "_source")

    closes_transports = False

    def __init__(self, source: IStreamTransport, sink: IStreamTransport, protocol: IProtocol) -> None:
        self._source = source
        self._sink = sink
        self._protocol = protocol
        self._half_closeable = IHalfCloseableProtocol(protocol, None)
        self._moved = 0

    def start(self) -> None:
        """Register the producer and read, even if the source was paused.

        Raises:
            RuntimeError: the source is relayed already, or the sink has a producer.
        """
        if isinstance(self._protocol, ProtocolRelay):
            raise RuntimeError("the source is relayed already")
        self._sink.registerProducer(self, True)
        self._source.resumeProducing()

    def collect(self) -> int:
        """Return the number of octets moved since the last call (IRelay)."""
        moved, self._moved = self._moved, 0
        return moved

    def makeConnection(self, transport: ITransport) -> None:
        """Do nothing: the source is connected already (IProtocol)."""

    def connectionMade(self) -> None:
        """Do nothing (IProtocol)."""

    def dataReceived(self, data: bytes) -> None:
        """Write to the sink (IProtocol)."""
        self._moved += len(data)
        self._sink.write(data)

    def readConnectionLost(self) -> None:
        """Pass the peer's FIN to the replaced protocol (IHalfCloseableProtocol)."""
        if self._half_closeable is not None:
            self._half_closeable.readConnectionLost()
        else:
            # Transports do this for protocols without half-close.
            self._source.loseConnection()

    def writeConnectionLost(self) -> None:
        """Pass the end of the write direction to the replaced protocol (IHalfCloseableProtocol)."""
        if self._half_closeable is not None:
            self._half_closeable.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """Pass the end of the connection to the replaced protocol (IProtocol)."""
        self._protocol.connectionLost(reason)

    def pauseProducing(self) -> None:
        """Stop reading the source (IPushProducer)."""
        self._source.pauseProducing()

    def resumeProducing(self) -> None:
        """Read the source again (IPushProducer)."""
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: the sink's protocol is told next of the loss, and ends the source (IProducer).

        The source's own method would close it as after a complete transfer, although the sink may have been reset.
        """

    def logPrefix(self) -> str:
        """Name the replaced protocol in Twisted's messages (ILoggingContext)."""
        return type(self._protocol).__name__
