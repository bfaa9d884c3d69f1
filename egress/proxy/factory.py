"""Builds a protocol for each client connection of one listener."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from egress.model import Connection
from egress.proxy.begin import begin
from egress.proxy.client import ClientProtocol
from egress.proxy.door import Door


@implementer(IProtocolFactory)
@define(eq=False)
class ProxyFactory:
    """The factory of one listener.

    Attributes:
        listener: its name in the configuration.
        door: what all listeners share.
    """

    listener: str
    door: Door
    noisy: bool = False
    numPorts: int = 0  # Twisted's ports count here

    def buildProtocol(self, address: IAddress) -> ClientProtocol:
        """Build the protocol of one connection."""
        peer = getattr(address, "host", "")
        connection = Connection(self.listener, peer or "", getattr(address, "port", 0))
        return ClientProtocol(self.door, connection, begin)

    def doStart(self) -> None:
        """Do nothing: listening is said by the service."""

    def doStop(self) -> None:
        """Do nothing."""
