"""The states of a handshake with a hop, with a strategy of the test."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.errors import DialFailed
from egress.interfaces import IDial, IDialEndpoint, IDialListener
from egress.model import Trace
from egress.upstream.handshake import TRANSITIONS, Event, Handshake, HandshakeEndpoint, State
from egress.upstream.handshake_strategy import HandshakeRefused, Reply
from egress.upstream.hop_errors import HopFault
from egress.upstream.replaceable_protocol import ReplaceableProtocol
from tests.upstream.ends import Ears, HalfEar

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "dialling.md"
OVER = (State.ESTABLISHED, State.FAILED, State.CANCELLED)
SECONDS = 5.0


class PlayedStrategy:
    """A dialogue of three words: the hop says `more`, `good` or `bad`; what follows `good` is for the caller."""

    target = "target:1"

    def build_connection(self, receiver: IProtocol) -> ReplaceableProtocol:
        """Build the usual protocol."""
        return ReplaceableProtocol(receiver)

    def start(self) -> bytes:
        """Greet."""
        return b"hello"

    def read(self, data: bytes) -> Reply:
        """Read a word."""
        if data == b"more":
            return Reply(data=b"again")
        if data.startswith(b"good"):
            return Reply(rest=data.removeprefix(b"good"))
        raise HandshakeRefused(self._fault("bad"))

    def lost(self, reason: Failure | None) -> HopFault:
        """Describe the loss."""
        return self._fault("lost" if reason is not None else "fin")

    def expired(self, seconds: float) -> HopFault:
        """Describe the wait."""
        return self._fault(f"late {seconds:g}")

    def _fault(self, outcome: str) -> HopFault:
        return HopFault("proxy_refused", "A reason.", outcome, outcome)


@implementer(IDialEndpoint, IDial)
@define(eq=False)
class PlayedDial:
    """The dial of the hop, which does nothing by itself."""

    begun: int = 0
    cancelled: int = 0

    def connect(self, protocol_factory: IProtocolFactory) -> Any:
        """Not used."""
        raise NotImplementedError

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> PlayedDial:
        """Give the dial."""
        return self

    def begin(self) -> None:
        """Count."""
        self.begun += 1

    def cancel(self) -> None:
        """Count."""
        self.cancelled += 1


@implementer(IDialListener)
@define(eq=False)
class Outcomes:
    """Keeps what a listener is told."""

    told: list[IProtocol | Failure] = field(factory=list)

    def connected(self, protocol: IProtocol) -> None:
        """Keep the protocol."""
        self.told.append(protocol)

    def failed(self, failure: Failure) -> None:
        """Keep the failure."""
        self.told.append(failure)


class ActingEars(Ears):
    """Does something while it builds a protocol."""

    act: Callable[[], object] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self.act is not None:
            self.act()
        return super().buildProtocol(addr)


class AbortableTransport(StringTransport):
    """A transport in memory that can be aborted."""

    is_aborted = False

    def abortConnection(self) -> None:
        """Note it."""
        self.is_aborted = True


class Scene:
    """One handshake, brought to a state."""

    def __init__(self, state: State = State.READY) -> None:
        self.clock, self.trace, self.dial, self.listener = Clock(), Trace(), PlayedDial(), Outcomes()
        self.ears, self.transport = ActingEars(), AbortableTransport()
        self.endpoint = HandshakeEndpoint(
            self.dial,
            PlayedStrategy,
            SECONDS,
            self.clock,
            "corporate",
            self.trace,
        )
        self.handshake: Handshake = self.endpoint.make_dial(self.ears, self.listener)
        self.protocol: Any = None
        for event in {
            State.READY: [],
            State.DIALLING: [Event.BEGIN],
            State.HANDSHAKING: [Event.BEGIN, Event.CONNECTED],
            State.ESTABLISHED: [Event.BEGIN, Event.CONNECTED, Event.COMPLETED],
            State.FAILED: [Event.BEGIN, Event.DIAL_FAILED],
            State.CANCELLED: [Event.CANCEL],
        }[state]:
            self.fire(event)

    def fire(self, event: Event) -> None:
        """Let an event come from outside."""
        handshake = self.handshake
        {
            Event.BEGIN: handshake.begin,
            Event.DIAL_FAILED: lambda: handshake.failed(Failure(DialFailed("proxy_unreachable"))),
            Event.CONNECTED: self._connect,
            Event.COMPLETED: lambda: handshake.dataReceived(b"good"),
            Event.REFUSED: lambda: handshake.dataReceived(b"bad"),
            Event.LOST: lambda: handshake.connectionLost(Failure(ConnectionDone())),
            Event.EXPIRED: lambda: self.clock.advance(SECONDS),
            Event.CANCEL: handshake.cancel,
        }[event]()

    def _connect(self) -> None:
        protocol: Any = self.handshake.buildProtocol(None)
        # A second connection is another one.
        transport = self.transport if self.protocol is None else AbortableTransport()
        self.protocol = self.protocol or protocol
        protocol.makeConnection(transport)
        if transport is not self.transport:
            assert transport.is_aborted, "nobody uses it"


class TransitionTests(SynchronousTestCase):
    """The table."""

    def test_interfaces(self) -> None:
        """A handshake is a dial of an endpoint."""
        scene = Scene()

        verifyObject(IDialEndpoint, scene.endpoint)
        verifyObject(IDial, scene.handshake)
        verifyObject(IDialListener, scene.handshake)

    def test_the_picture(self) -> None:
        """The documented picture shows the transitions of the table, and no others."""
        arrows = re.findall(r"^    (\w+) --> (\w+) : (\w+)$", PAGE.read_text("utf-8"), re.MULTILINE)

        self.assertEqual(len(arrows), len(TRANSITIONS))
        self.assertEqual({(State[state], Event[event]): State[after] for state, after, event in arrows}, TRANSITIONS)

    def test_every_event_in_every_state(self) -> None:
        """The state after each event is the table's; the listener is told once at most, and nothing is left waiting."""
        for state in set(State) - {State.HANDING_OVER}:
            for event in set(Event) - {Event.ACCEPTED, Event.REJECTED}:
                with self.subTest(state=state, event=event):
                    scene = Scene(state)
                    self.assertIs(state, scene.handshake.state)

                    scene.fire(event)

                    expected = TRANSITIONS.get((state, event), state)
                    if expected is State.HANDING_OVER:
                        expected = TRANSITIONS[expected, Event.ACCEPTED]
                    self.assertIs(expected, scene.handshake.state)
                    self.assert_consistent(scene)

    def test_every_event_in_the_hand_over(self) -> None:
        """Events that come while the caller's factory builds its protocol."""
        for event in set(Event) - {Event.ACCEPTED, Event.REJECTED, Event.CONNECTED}:
            with self.subTest(event=event):
                scene = Scene(State.HANDSHAKING)
                states: list[State] = []

                def act(scene: Scene = scene, event: Event = event, states: list[State] = states) -> None:
                    states.append(scene.handshake.state)
                    scene.fire(event)
                    states.append(scene.handshake.state)

                scene.ears.act = act
                scene.fire(Event.COMPLETED)

                after = TRANSITIONS.get((State.HANDING_OVER, event), State.HANDING_OVER)
                self.assertEqual([State.HANDING_OVER, after], states)
                last = State.ESTABLISHED if after is State.HANDING_OVER else after
                self.assertIs(last, scene.handshake.state)
                self.assert_consistent(scene)

    def test_a_factory_that_fails(self) -> None:
        """The hand-over is rejected, with the factory's own error."""
        scene = Scene(State.HANDSHAKING)

        def fail() -> None:
            raise ZeroDivisionError

        scene.ears.act = fail
        scene.fire(Event.COMPLETED)

        self.assertIs(TRANSITIONS[State.HANDING_OVER, Event.REJECTED], scene.handshake.state)
        (failure,) = scene.listener.told
        assert isinstance(failure, Failure)
        failure.trap(ZeroDivisionError)
        self.assert_consistent(scene)

    def assert_consistent(self, scene: Scene) -> None:
        """Assert what is true in every state."""
        state, told = scene.handshake.state, scene.listener.told
        is_dialled = scene.protocol is not None
        self.assertEqual(1 if state in (State.ESTABLISHED, State.FAILED) else 0, len(told))
        self.assertEqual(1 if state is State.HANDSHAKING else 0, len(scene.clock.getDelayedCalls()))
        if state is State.ESTABLISHED:
            self.assertFalse(scene.transport.is_aborted)
        elif state in OVER and is_dialled and scene.handshake._transport is not None:
            self.fail("a transport is kept")
        if state is State.CANCELLED:
            self.assertEqual([], told)


class DialogueTests(SynchronousTestCase):
    """What goes over the connection."""

    def test_words(self) -> None:
        """What the strategy answers is sent, and what follows the handshake comes after the listener was told."""
        scene = Scene(State.HANDSHAKING)

        scene.protocol.dataReceived(b"more")
        scene.protocol.dataReceived(b"good and early")

        self.assertEqual(b"helloagain", scene.transport.value())
        (protocol,) = scene.listener.told
        assert isinstance(protocol, HalfEar)
        self.assertEqual((b" and early", ["made", "data"]), (protocol.heard, protocol.events))
        self.assertEqual([("target:1", "")], scene.trace.attempts)

    def test_outcomes(self) -> None:
        """The trace holds the outcome, and the connection is aborted."""
        rows: list[tuple[Callable[[Scene], object], str]] = [
            (lambda scene: scene.protocol.dataReceived(b"bad"), "bad"),
            (lambda scene: scene.protocol.readConnectionLost(), "fin"),
            (lambda scene: scene.clock.advance(SECONDS), "late 5"),
            (lambda scene: scene.handshake.cancel(), "cancelled"),
        ]
        for act, outcome in rows:
            with self.subTest(outcome):
                scene = Scene(State.HANDSHAKING)

                act(scene)

                self.assertEqual([("target:1", outcome)], scene.trace.attempts)
                self.assertTrue(scene.transport.is_aborted)

    def test_a_loss(self) -> None:
        """A connection that is gone is not aborted."""
        scene = Scene(State.HANDSHAKING)

        scene.protocol.connectionLost(Failure(ConnectionDone()))

        self.assertEqual([("target:1", "lost")], scene.trace.attempts)
        self.assertFalse(scene.transport.is_aborted)

    def test_a_connection_after_a_cancellation(self) -> None:
        """It is aborted at once, and nothing is sent."""
        scene = Scene(State.CANCELLED)

        scene.fire(Event.CONNECTED)

        self.assertTrue(scene.transport.is_aborted)
        self.assertEqual(b"", scene.transport.value())

    def test_a_cancelled_dial(self) -> None:
        """The dial of the hop is cancelled with the handshake."""
        scene = Scene(State.DIALLING)

        scene.handshake.cancel()

        self.assertEqual(1, scene.dial.cancelled)
