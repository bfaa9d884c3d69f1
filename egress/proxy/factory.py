"""Builds a protocol for each client connection of one listener."""

from __future__ import annotations

from attrs import define
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from egress.model import Connection
from egress.proxy.client.connection import ClientConnection
from egress.proxy.client.connection_facts import ReadPeer, read_peer
from egress.proxy.dispatch import dispatch
from egress.proxy.server import ProxyServer
from egress.transports.contract import SocketAddress


@implementer(IProtocolFactory)
@define(eq=False)
class ProxyFactory:
    """The factory of one listener.

    Attributes:
        listener: its name in the configuration.
        server: what all listeners share.
        read_peer_of: tells who connected, where the listener is a unix socket.
    """

    listener: str
    server: ProxyServer
    read_peer_of: ReadPeer = read_peer
    noisy: bool = False
    numPorts: int = 0  # Twisted's ports count here

    def buildProtocol(self, address: IAddress | None) -> ClientConnection:
        """Build the protocol of one connection."""
        peer = getattr(address, "host", "")
        connection = Connection(self.listener, peer or "", getattr(address, "port", 0))
        read_peer_of = self.read_peer_of if isinstance(address, UNIXAddress) else None
        return ClientConnection(self.server, connection, dispatch, read_peer_of)

    def accepted(self, peer: SocketAddress) -> ClientConnection:
        """Build the protocol of one TCP connection that the engine has accepted."""
        return ClientConnection(self.server, Connection(self.listener, peer[0], peer[1]), dispatch, None)

    def doStart(self) -> None:
        """Do nothing: listening is said by the service."""

    def doStop(self) -> None:
        """Do nothing."""
