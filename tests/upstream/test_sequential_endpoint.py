"""Targets tried one after the other. `test_tunneling_agent` has whole dials through a proxy."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.errors import DialFailed
from egress.interfaces import IDial, IDialEndpoint, IDialListener
from egress.upstream.sequential_endpoint import SequentialEndpoint
from tests.upstream.ends import dial_failed
from tests.upstream.played import PlayedEndpoint

TARGETS = (b"192.0.2.1:443", b"192.0.2.2:443", b"192.0.2.3:443")


@implementer(IDialListener)
class Outcomes:
    """Keeps the outcomes of a dial."""

    def __init__(self) -> None:
        self.seen: list[IProtocol | Failure] = []

    def connected(self, protocol: IProtocol) -> None:
        """Keep a protocol."""
        self.seen.append(protocol)

    def failed(self, failure: Failure) -> None:
        """Keep a failure."""
        self.seen.append(failure)


class SequentialEndpointTests(SynchronousTestCase):
    """`SequentialEndpoint`, around endpoints whose outcomes a test decides."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.outcomes = Outcomes()
        self.factory = Factory()
        self.asked: list[tuple[bytes, float]] = []
        self.played: list[PlayedEndpoint] = []
        self.at_once: dict[bytes, IProtocol | Failure] = {}

    def endpoint_to(self, target: bytes, seconds: float) -> PlayedEndpoint:
        """Make the endpoint of one target."""
        self.asked.append((target, seconds))
        self.played.append(PlayedEndpoint(self.at_once.get(target)))
        return self.played[-1]

    def endpoint(
        self, targets: tuple[bytes, ...] = TARGETS, handshake_seconds: float = 60.0, total_seconds: float = 9.0
    ) -> SequentialEndpoint:
        """Make the endpoint."""
        return SequentialEndpoint(self.endpoint_to, targets, handshake_seconds, total_seconds, self.clock)

    def begin(
        self, targets: tuple[bytes, ...] = TARGETS, handshake_seconds: float = 60.0, total_seconds: float = 9.0
    ) -> IDial:
        """Begin a dial."""
        dial = self.endpoint(targets, handshake_seconds, total_seconds).make_dial(self.factory, self.outcomes)
        dial.begin()
        return dial

    def end_attempt(self, code: str = "proxy_refused") -> None:
        """Let the attempt in progress fail."""
        listener = self.played[-1].listener
        assert listener is not None
        listener.failed(Failure(DialFailed(code)))

    def codes(self) -> list[str]:
        """Give the codes of the outcomes."""
        return [dial_failed(each).code for each in self.outcomes.seen if isinstance(each, Failure)]

    def test_interfaces(self) -> None:
        """The endpoint and its dial provide their interfaces."""
        endpoint = self.endpoint()
        dial = endpoint.make_dial(self.factory, self.outcomes)

        self.assertTrue(verifyObject(IDialEndpoint, endpoint))
        self.assertTrue(verifyObject(IDial, dial) and verifyObject(IDialListener, dial))
        self.assertEqual([], self.asked)

    def test_first_target(self) -> None:
        """The first target that is reached is the outcome, and no other is asked for."""
        self.begin()
        self.assertEqual([], self.outcomes.seen)
        protocol, listener = Protocol(), self.played[0].listener
        assert listener is not None

        listener.connected(protocol)

        self.assertEqual([protocol], self.outcomes.seen)
        self.assertEqual([TARGETS[0]], [target for target, _ in self.asked])

    def test_next_target(self) -> None:
        """A failure that may concern one address is followed by the next attempt."""
        for code in ("proxy_refused", "proxy_failed", "proxy_timeout"):
            self.setUp()
            self.begin()
            self.end_attempt(code)
            self.assertEqual(TARGETS[:2], tuple(target for target, _ in self.asked), code)
            self.assertEqual([], self.outcomes.seen)

    def test_other_failures(self) -> None:
        """A failure that another address does not mend is the outcome."""
        for failure in (
            Failure(DialFailed("proxy_auth_required")),
            Failure(DialFailed("proxy_unreachable")),
            Failure(DialFailed("proxy_malformed")),
            Failure(ZeroDivisionError()),
        ):
            self.setUp()
            self.at_once[TARGETS[0]] = failure
            self.begin()
            self.assertEqual([failure], self.outcomes.seen)
            self.assertEqual(1, len(self.asked))

    def test_last_failure(self) -> None:
        """Where no target is reached, the outcome is the last failure."""
        self.begin()
        for code in ("proxy_refused", "proxy_timeout", "proxy_failed"):
            self.end_attempt(code)

        self.assertEqual(["proxy_failed"], self.codes())
        self.assertEqual(TARGETS, tuple(target for target, _ in self.asked))

    def test_at_once(self) -> None:
        """Attempts may end while they begin."""
        protocol = Protocol()
        self.at_once = {target: Failure(DialFailed("proxy_refused")) for target in TARGETS}
        self.at_once[TARGETS[2]] = protocol

        self.begin()

        self.assertEqual([protocol], self.outcomes.seen)
        self.assertEqual([["begin"]] * 3, [each.calls for each in self.played])

    def test_no_target(self) -> None:
        """A destination without addresses is unreachable."""
        self.begin(targets=())

        self.assertEqual((["unreachable"], []), (self.codes(), self.asked))

    def test_time_is_shared(self) -> None:
        """Each attempt has an even part of the time that is left, counted from the begin of the dial."""
        self.clock.advance(100.0)
        self.begin()
        self.clock.advance(1.0)
        self.end_attempt()
        self.clock.advance(4.0)
        self.end_attempt()

        self.assertEqual([3.0, 4.0, 4.0], [seconds for _, seconds in self.asked])

    def test_handshake_deadline(self) -> None:
        """No attempt has more time than a handshake may take."""
        self.begin(handshake_seconds=2.0)
        self.end_attempt()
        self.clock.advance(6.0)
        self.end_attempt()

        self.assertEqual([2.0, 2.0, 2.0], [seconds for _, seconds in self.asked])

    def test_deadline(self) -> None:
        """After the deadline, no attempt begins; a remainder of one tick is no time."""
        for seconds, count in ((8.0, 2), (8.9990234375, 1), (9.0, 1), (10.0, 1)):
            self.setUp()
            self.begin()
            self.clock.advance(seconds)
            self.end_attempt("proxy_timeout")
            self.assertEqual(count, len(self.asked), seconds)
            self.assertEqual(["proxy_timeout"] * (2 - count), self.codes())

    def test_first_attempt_has_time(self) -> None:
        """The first attempt is made whatever the deadline is, with a deadline after now."""
        self.begin(total_seconds=0.0)

        self.assertEqual([(TARGETS[0], 0.001)], self.asked)

    def test_cancel(self) -> None:
        """Cancelling the dial cancels the attempt in progress once, and no earlier one."""
        dial = self.begin()
        self.end_attempt()

        dial.cancel()
        dial.cancel()

        self.assertEqual([["begin"], ["begin", "cancel"]], [each.calls for each in self.played])
        self.assertEqual([], self.outcomes.seen)

    def test_cancel_without_attempt(self) -> None:
        """Before its begin and after its outcome, a dial has nothing to cancel."""
        self.endpoint().make_dial(self.factory, self.outcomes).cancel()
        protocol = Protocol()
        for outcome in (protocol, Failure(DialFailed("proxy_malformed"))):
            self.at_once[TARGETS[0]] = outcome
            self.begin().cancel()

        self.assertEqual([["begin"]] * 2, [each.calls for each in self.played])

    def test_deferred(self) -> None:
        """`connect` is the Deferred form of the dial, with the caller's factory."""
        protocol = Protocol()
        self.at_once = {TARGETS[0]: Failure(DialFailed("proxy_failed")), TARGETS[1]: protocol}

        self.assertIs(protocol, self.successResultOf(self.endpoint().connect(self.factory)))
        self.assertEqual([self.factory] * 2, [each.factory for each in self.played])
