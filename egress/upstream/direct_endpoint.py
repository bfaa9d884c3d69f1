"""The endpoint of a direct route: judged addresses, and nothing in between."""

from __future__ import annotations

from typing import cast

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from egress.model import Address, Trace
from egress.transports.connection_notice import OnConnected, notify_connected
from egress.upstream.dial import Dial, Dialler


@implementer(IStreamClientEndpoint)
@define(eq=False)
class DirectEndpoint:
    """Connects to whichever of some addresses answers first.

    Attributes:
        reactor: connects, and tells the time.
        addresses: all that may be dialled, in the resolver's order.
        port: of every address.
        per_address_seconds: the deadline of one address.
        total_seconds: the deadline of all together.
        trace: is told of every attempt: "" while under way or connected, later `refused`, `timeout`, `no_route`, the
            system's name of the error in lower case, `overtaken` or `cancelled`.
        texts: the addresses, spelled, where somebody has done that.
    """

    reactor: Dialler
    addresses: tuple[Address, ...]
    port: int
    per_address_seconds: float
    total_seconds: float
    trace: Trace
    texts: tuple[str, ...] = ()

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial (IStreamClientEndpoint).

        Returns:
            A Deferred of the connected protocol; cancelling it stops every attempt. It fails with DialFailed:
            `connection_refused` if any address refused, else `dial_timeout` if a deadline passed, else `unreachable`.
        """

        def build(address: IAddress | None, met: OnConnected) -> IProtocol | None:
            # Twisted says that a transport without an address has None; a TCP transport has one.
            protocol = protocol_factory.buildProtocol(cast(IAddress, address))
            return None if protocol is None else notify_connected(protocol, met)

        result: Deferred[IProtocol] = Deferred(lambda _: dial.cancel())
        dial = Dial(self, build, result.callback, result.errback, protocol_factory)
        dial.begin()
        return result
