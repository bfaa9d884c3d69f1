"""The endpoint of a direct route: dials judged addresses."""

from __future__ import annotations

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from zope.interface import implementer

from egress.interfaces import IDialEndpoint, IDialListener
from egress.model import Address, Trace
from egress.upstream import deferred_dial
from egress.upstream.happy_eyeballs import Dialler, HappyEyeballs


@implementer(IDialEndpoint)
@define(eq=False)
class DirectEndpoint:
    """Connects to the first of several addresses that accepts the connection.

    A dial fails with DialFailed: `connection_refused` if any address refused, else `origin_closed` if any accepted and
    reset, else `dial_timeout` if a deadline passed, else `unreachable`.

    Attributes:
        reactor: provides connectTCP and the clock.
        addresses: all addresses that may be dialled, in the resolver's order.
        port: the port of every address.
        per_address_seconds: the deadline of the attempt for one address.
        total_seconds: the deadline of all addresses together.
        trace: records every attempt: "" while in progress or connected, later `refused`, `timeout`, `reset`,
            `no_route`, the system's name of the error in lower case, `overtaken` (another address connected first) or
            `cancelled`.
        texts: the addresses as text, if already formatted; else empty.
    """

    reactor: Dialler
    addresses: tuple[Address, ...]
    port: int
    per_address_seconds: float
    total_seconds: float
    trace: Trace
    texts: tuple[str, ...] = ()

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial with a Deferred (IStreamClientEndpoint)."""
        return deferred_dial.connect(self, protocol_factory)

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> HappyEyeballs:
        """Prepare a dial (IDialEndpoint)."""
        return HappyEyeballs(self, protocol_factory, listener)
