"""The Deferred form of a dial."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.interfaces import IDialEndpoint, IDialListener


def connect(endpoint: IDialEndpoint, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
    """Dial with a Deferred. Every endpoint in this package implements `IStreamClientEndpoint.connect` by this function.

    Returns:
        A Deferred of the protocol, which has its transport. Cancelling it cancels the dial.
    """
    result: Deferred[IProtocol] = Deferred(lambda _: dial.cancel())
    dial = endpoint.make_dial(protocol_factory, _DeferredListener(result))
    dial.begin()
    return result


@implementer(IDialListener)
@frozen(eq=False)
class _DeferredListener:
    """Fires a Deferred with the outcome of a dial."""

    result: Deferred[IProtocol]

    def connected(self, protocol: IProtocol) -> None:
        self.result.callback(protocol)

    def failed(self, failure: Failure) -> None:
        self.result.errback(failure)
