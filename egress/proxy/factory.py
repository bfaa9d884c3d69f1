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
        listener: the listener's name in the configuration.
        server: the server, which all listeners share.
        read_peer_of: reads uid and gid of the peer, where the listener is a unix socket.
    """

    listener: str
    server: ProxyServer
    read_peer_of: ReadPeer = read_peer
    noisy: bool = False
    numPorts: int = 0  # incremented and decremented by Twisted's ports

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
        """Do nothing: the service logs the listeners."""

    def doStop(self) -> None:
        """Do nothing."""
