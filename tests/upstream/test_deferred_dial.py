"""The Deferred form of a dial."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import DialFailed
from tests.upstream.played import PlayedEndpoint


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
