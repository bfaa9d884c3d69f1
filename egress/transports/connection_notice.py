"""Reports when a protocol has been connected to its transport.

A factory builds a protocol before the protocol has its transport, and a dial may report success only afterwards.
`notify_connected` arranges for that report. Protocols that provide IConnectionNotifier make it themselves; all others
are wrapped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import define
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.interfaces import IConnectionNotifier

OnConnected: TypeAlias = Callable[[IProtocol, ITransport], None]
"""Called with a protocol and its transport after the protocol's `makeConnection`."""


class AbortingProtocol(Protocol):
    """Aborts its connection at once. Built where a connection is established after its dial was cancelled."""

    def connectionMade(self) -> None:
        """Abort the connection."""
        abort(self.transport)


def abort(transport: ITransport | None) -> None:
    """Abort a connection, or close it where the transport has no `abortConnection`."""
    if transport is not None:
        getattr(transport, "abortConnection", transport.loseConnection)()


@implementer(IProtocol)
@define(eq=False)
class ConnectionNotice:
    """Wraps a protocol, and reports that the protocol has its transport.

    Attributes:
        protocol: the wrapped protocol.
        on_connected: called once, after `protocol.makeConnection`.
    """

    protocol: IProtocol
    on_connected: OnConnected | None

    def makeConnection(self, transport: ITransport) -> None:
        """Pass the transport to the protocol, then call `on_connected`."""
        self.protocol.makeConnection(transport)
        # Cleared because the callback refers to the dial, and this object lives as long as the connection.
        on_connected, self.on_connected = self.on_connected, None
        if on_connected is not None:
            on_connected(self.protocol, transport)

    def connectionMade(self) -> None:
        """Do nothing: the protocol's own `makeConnection` calls its `connectionMade`."""

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes to the protocol."""
        self.protocol.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """Pass the end of the connection to the protocol."""
        self.protocol.connectionLost(reason)

    def logPrefix(self) -> str:
        """Name the protocol in Twisted's log messages."""
        return type(self.protocol).__name__


@implementer(IHalfCloseableProtocol)
@define(eq=False)
class HalfCloseableConnectionNotice(ConnectionNotice):
    """Wraps a protocol that provides IHalfCloseableProtocol."""

    half: IHalfCloseableProtocol

    def readConnectionLost(self) -> None:
        """Pass the peer's FIN to the protocol."""
        self.half.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Pass the end of the write direction to the protocol."""
        self.half.writeConnectionLost()


def notify_connected(protocol: IProtocol, on_connected: OnConnected) -> IProtocol:
    """Arrange that `on_connected` is called once the protocol has its transport.

    Returns:
        The protocol for the transport: the protocol itself, or a wrapper.
    """
    if IConnectionNotifier.providedBy(protocol):
        protocol.on_connected = on_connected
        return protocol
    if IHalfCloseableProtocol.providedBy(protocol):
        return HalfCloseableConnectionNotice(protocol, on_connected, protocol)
    return ConnectionNotice(protocol, on_connected)
