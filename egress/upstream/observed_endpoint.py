"""Reports the failures of an endpoint's dials."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed
from egress.interfaces import IDial, IDialEndpoint, IDialListener
from egress.upstream import deferred_dial


@implementer(IDialEndpoint)
@define(eq=False)
class ObservedEndpoint:
    """An endpoint that reports failures before the listener of the dial is called.

    Attributes:
        endpoint: the endpoint that dials.
        report: called with each failure; not called for a cancelled dial.
    """

    endpoint: IDialEndpoint
    report: Callable[[DialFailed], None]

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial with a Deferred (IStreamClientEndpoint)."""
        return deferred_dial.connect(self, protocol_factory)

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> IDial:
        """Prepare a dial (IDialEndpoint)."""
        return self.endpoint.make_dial(protocol_factory, _Observer(listener, self.report))


@implementer(IDialListener)
@define(eq=False)
class _Observer:
    _listener: IDialListener
    _report: Callable[[DialFailed], None]

    def connected(self, protocol: IProtocol) -> None:
        self._listener.connected(protocol)

    def failed(self, failure: Failure) -> None:
        if isinstance(failure.value, DialFailed):
            self._report(failure.value)
        self._listener.failed(failure)
