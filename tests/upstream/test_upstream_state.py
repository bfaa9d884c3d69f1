"""Whether an upstream works: what is logged, and when it counts for readiness."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.model import Authority
from egress.upstream.upstream import Upstream
from egress.upstream.upstream_state import QUIET_SECONDS, READINESS_SECONDS, Stage, UpstreamState, UpstreamStates

CORP = Upstream("corp", "http", Authority("proxy.example", 3128))
REFUSES = "An upstream proxy refuses connections."
DOWN = f"warn: upstream corp at http://proxy.example:3128 does not work: proxy_unreachable: {REFUSES}"
UP = "info: upstream corp at http://proxy.example:3128 works again"


class StateCase(SynchronousTestCase):
    """Arranges a state, and keeps what is logged."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.states = UpstreamStates(self.clock)
        self.state = self.states.of(CORP)
        self.said: list[str] = []
        self.said_at: list[float] = []

        @implementer(ILogObserver)
        def observe(event: dict[str, Any]) -> None:
            if event.get("log_namespace") == "egress.upstream.upstream_state":
                self.said_at.append(self.clock.seconds())
                self.said.append(f"{event['log_level'].name}: {str(event['log_format']).format(**event)}")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def fail_to_reach(self, state: UpstreamState | None = None) -> None:
        """Let a connection be refused."""
        (state or self.state).failed("proxy_unreachable", REFUSES, Stage.REACH)


class LogTests(StateCase):
    """One line a change."""

    def test_change(self) -> None:
        """The first failure and the first answer after it are logged once each, and nothing else."""
        self.state.worked()
        self.assertEqual([], self.said)
        for _ in range(3):
            self.fail_to_reach()
        self.assertEqual([DOWN], self.said)
        for _ in range(3):
            self.state.worked()

        self.assertEqual([DOWN, UP], self.said)

    def test_another_reason(self) -> None:
        """A proxy that can be reached and now refuses the credentials is logged anew."""
        self.fail_to_reach()
        self.state.failed("proxy_auth_required", "An upstream proxy wants credentials.", Stage.CONNECT)

        self.assertEqual(2, len(self.said))
        self.assertIn("does not work: proxy_auth_required: An upstream proxy wants credentials.", self.said[1])

    def test_flapping(self) -> None:
        """However often it changes, there is one line of each kind in ten seconds."""
        for _ in range(1000):
            self.fail_to_reach()
            self.state.worked()
            self.clock.advance(0.03)

        # 30 seconds: three periods, and the one that began.
        self.assertLessEqual(self.said.count(DOWN), 4)
        self.assertLessEqual(self.said.count(UP), 4)
        self.assertGreaterEqual(self.said.count(DOWN), 3)

    def test_last_line_is_true(self) -> None:
        """A change that came too soon after another one is logged later, if it still holds."""
        self.fail_to_reach()
        self.state.worked()
        self.fail_to_reach()
        self.assertEqual([DOWN, UP], self.said)

        self.clock.advance(QUIET_SECONDS)

        self.assertEqual([DOWN, UP, DOWN], self.said)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_change_that_was_taken_back(self) -> None:
        """A change that no longer holds is not logged."""
        self.fail_to_reach()
        self.state.worked()
        self.fail_to_reach()
        self.state.worked()

        self.clock.advance(QUIET_SECONDS)

        self.assertEqual([DOWN, UP], self.said)

    @given(st.lists(st.tuples(st.sampled_from(["up", "reach", "connect", "relay"]), st.floats(0.0, 15.0)), max_size=40))
    def test_any_history(self, history: list[tuple[str, float]]) -> None:
        """Lines of a kind are ten seconds apart, and once all is quiet the last line says what holds."""
        self.clock = Clock()
        self.state = UpstreamStates(self.clock).of(CORP)
        self.said.clear()
        self.said_at.clear()
        for what, seconds in history:
            if what == "up":
                self.state.worked()
            else:
                self.state.failed(f"proxy_{what}", "", Stage(what))
            self.clock.advance(seconds)
        self.clock.advance(QUIET_SECONDS)

        last_at: dict[str, float] = {}
        for line, at in zip(self.said, self.said_at, strict=True):
            self.assertGreaterEqual(at - last_at.get(line, -QUIET_SECONDS), QUIET_SECONDS - 0.001, line)
            last_at[line] = at
        last = self.said[-1] if self.said else UP
        self.assertIn(f": {self.state.code}: " if self.state.code else "works again", last)


class ReadinessTests(StateCase):
    """What a required upstream has to say."""

    def test_unknown(self) -> None:
        """An upstream is not taken for reachable before it was reached."""
        self.assertIn("'corp' has not been reached yet", self.state.readiness_fault())

        self.state.reached()

        self.assertEqual("", self.state.readiness_fault())

    def test_unreachable(self) -> None:
        """It is not ready for as long as it cannot be reached."""
        self.fail_to_reach()
        self.clock.advance(3600)
        self.assertEqual("The upstream 'corp' does not work: proxy_unreachable.", self.state.readiness_fault())

        self.state.reached()

        self.assertEqual("", self.state.readiness_fault())

    def test_credentials(self) -> None:
        """Refused credentials count until an answer, or for a minute: without readiness there may be no request."""
        self.state.worked()
        self.state.failed("proxy_auth_required", "", Stage.CONNECT)
        self.state.reached()
        self.assertIn("proxy_auth_required", self.state.readiness_fault())

        self.clock.advance(READINESS_SECONDS)

        self.assertEqual("", self.state.readiness_fault())
        self.assertEqual({("corp",): False}, self.states.up({"corp": CORP}))
        self.state.worked()
        self.assertEqual({("corp",): True}, self.states.up({"corp": CORP}))

    def test_relayed(self) -> None:
        """What an origin may have sent is logged, and neither ends readiness nor hides another reason."""
        self.state.worked()
        self.state.failed("proxy_auth_required", "", Stage.RELAY)
        self.assertEqual(("proxy_auth_required", ""), (self.state.code, self.state.readiness_fault()))
        self.state.worked()
        self.fail_to_reach()

        self.state.failed("proxy_auth_required", "", Stage.RELAY)

        self.assertEqual("proxy_unreachable", self.state.code)


class StatesTests(StateCase):
    """The states of a configuration, and of the next one."""

    def test_reload(self) -> None:
        """An upstream that a reload keeps has its state, one with another address has a new one."""
        moved = Upstream("corp", "http", Authority("other.example", 3128))
        self.fail_to_reach()
        self.states.retain([Upstream("corp", "http", Authority("proxy.example", 3128))])

        self.assertIs(self.state, self.states.of(CORP))
        self.assertEqual({("corp",): True}, self.states.up({"corp": moved}))

    def test_gone(self) -> None:
        """Nothing more is logged of an upstream that a reload took away."""
        self.fail_to_reach()
        self.state.worked()
        self.fail_to_reach()

        self.states.retain([])
        self.clock.advance(QUIET_SECONDS)
        self.fail_to_reach()

        self.assertEqual([DOWN, UP], self.said)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertIsNot(self.state, self.states.of(CORP))
