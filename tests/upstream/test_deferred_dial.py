"""The Deferred form of a dial."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.errors import DialFailed
from egress.interfaces import IDial, IDialEndpoint, IDialListener
from egress.upstream import deferred_dial


@implementer(IDialEndpoint, IDial)
@define(eq=False)
class PlayedEndpoint:
    """An endpoint whose dial does what a test says."""

    outcome: IProtocol | Failure | None = None
    calls: list[str] = field(factory=list)
    listener: IDialListener | None = None

    def connect(self, protocol_factory: IProtocolFactory) -> Any:
        """Dial with a Deferred."""
        return deferred_dial.connect(self, protocol_factory)

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> PlayedEndpoint:
        """Give the dial."""
        self.listener = listener
        return self

    def begin(self) -> None:
        """Report the outcome at once, if there is one."""
        self.calls.append("begin")
        assert self.listener is not None
        if isinstance(self.outcome, Failure):
            self.listener.failed(self.outcome)
        elif self.outcome is not None:
            self.listener.connected(self.outcome)

    def cancel(self) -> None:
        """Note it."""
        self.calls.append("cancel")


class DeferredDialTests(SynchronousTestCase):
    """A dial for a caller that wants a Deferred."""

    def test_outcomes(self) -> None:
        """The Deferred fires with the protocol or the failure, at once or later."""
        protocol = Protocol()
        endpoint = PlayedEndpoint(protocol)
        self.assertIs(protocol, self.successResultOf(endpoint.connect(Factory())))

        endpoint = PlayedEndpoint(Failure(DialFailed("unreachable")))
        self.failureResultOf(endpoint.connect(Factory()), DialFailed)

        endpoint = PlayedEndpoint()
        result = endpoint.connect(Factory())
        self.assertNoResult(result)
        assert endpoint.listener is not None
        endpoint.listener.connected(protocol)
        self.assertIs(protocol, self.successResultOf(result))

    def test_cancel(self) -> None:
        """Cancelling the Deferred cancels the dial."""
        endpoint = PlayedEndpoint()

        result = endpoint.connect(Factory())
        result.cancel()

        self.failureResultOf(result, CancelledError)
        self.assertEqual(["begin", "cancel"], endpoint.calls)
