"""Builds a protocol for each client connection of one listener."""

from __future__ import annotations

from attrs import define
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from egress.model import Connection
from egress.proxy.client.connection import ClientProtocol
from egress.proxy.client.facts import PeerOf, read_peer
from egress.proxy.dispatch import begin
from egress.proxy.server import Door
from egress.transports.engine.socket_addresses import SocketAddress


@implementer(IProtocolFactory)
@define(eq=False)
class ProxyFactory:
    """The factory of one listener.

    Attributes:
        listener: its name in the configuration.
        door: what all listeners share.
        peer_of: tells who connected, where the listener is a unix socket.
    """

    listener: str
    door: Door
    peer_of: PeerOf = read_peer
    noisy: bool = False
    numPorts: int = 0  # Twisted's ports count here

    def buildProtocol(self, address: IAddress | None) -> ClientProtocol:
        """Build the protocol of one connection."""
        peer = getattr(address, "host", "")
        connection = Connection(self.listener, peer or "", getattr(address, "port", 0))
        peer_of = self.peer_of if isinstance(address, UNIXAddress) else None
        return ClientProtocol(self.door, connection, begin, peer_of)

    def accepted(self, peer: SocketAddress) -> ClientProtocol:
        """Build the protocol of one TCP connection that the engine has accepted."""
        return ClientProtocol(self.door, Connection(self.listener, peer[0], peer[1]), begin, None)

    def doStart(self) -> None:
        """Do nothing: listening is said by the service."""

    def doStop(self) -> None:
        """Do nothing."""
