"""What a dialled transport meets first.

A transport takes its protocol before the protocol has the transport, and an endpoint's Deferred may only fire once it
does. So the transport gets a relay, which is there to hear of `makeConnection`. A protocol that calls `OnConnected`
by itself needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import define
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

OnConnected: TypeAlias = Callable[[IProtocol, ITransport], None]
"""Called once a protocol has its transport."""


class AbortingProtocol(Protocol):
    """Ends a connection that nobody waits for any more."""

    def connectionMade(self) -> None:
        """Abort it: there is nothing to flush, and nobody to tell."""
        abort(self.transport)


def abort(transport: ITransport | None) -> None:
    """Drop a connection at once where the transport can do that, else close it."""
    if transport is not None:
        getattr(transport, "abortConnection", transport.loseConnection)()


@implementer(IProtocol)
@define(eq=False)
class ConnectionNotice:
    """Stands between a transport and its protocol, and says when they have met.

    Attributes:
        protocol: what the endpoint's user wanted.
        met: called once, after `protocol` got its transport.
    """

    protocol: IProtocol
    met: OnConnected | None

    def makeConnection(self, transport: ITransport) -> None:
        """Hand the transport on, and then say so."""
        self.protocol.makeConnection(transport)
        # Kept no longer: it holds the whole dial, and this object lives as long as the connection.
        met, self.met = self.met, None
        if met is not None:
            met(self.protocol, transport)

    def connectionMade(self) -> None:
        """Nothing: `makeConnection` of the protocol itself calls it."""

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes on."""
        self.protocol.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """Hand the end on."""
        self.protocol.connectionLost(reason)

    def logPrefix(self) -> str:
        """Name the protocol in Twisted's own messages."""
        return type(self.protocol).__name__


@implementer(IHalfCloseableProtocol)
@define(eq=False)
class HalfCloseableConnectionNotice(ConnectionNotice):
    """The same for a protocol that wants to hear of a half-close."""

    half: IHalfCloseableProtocol

    def readConnectionLost(self) -> None:
        """Hand the other side's FIN on."""
        self.half.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Hand the end of our own writing on."""
        self.half.writeConnectionLost()


def notify_connected(protocol: IProtocol, met: OnConnected) -> ConnectionNotice:
    """Wrap a protocol so that its meeting with the transport is known."""
    if IHalfCloseableProtocol.providedBy(protocol):
        return HalfCloseableConnectionNotice(protocol, met, protocol)
    return ConnectionNotice(protocol, met)
