"""The combination of verdicts, and the effect of policies that fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.errors import Refused
from egress.gate.policy_round import PolicyRound, ask, denial
from egress.interfaces import IFailureVerdict, IPolicy, IPolicyObserver
from egress.model import Obligation, Outcome, Request, Resolution, Verdict
from egress.policy.audit_only import AuditOnly
from egress.testing import FixedPolicy, make_request, resolve_to

CLIENT_BYTES = "bytes-of-the-client"


@implementer(IPolicy)
@define(eq=False)
class AnswersWith:
    """Answers with whatever a function returns."""

    answer: Callable[[], Any]
    name: str = "p"
    pure: bool = False

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict | Deferred[Verdict]:
        return cast("Verdict", self.answer())


@implementer(IFailureVerdict)
@define(eq=False)
class Lenient(AnswersWith):
    """Fails always, and has a function for its failure verdict."""

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        raise ValueError(CLIENT_BYTES)

    def failure_verdict(self, problem: str) -> Verdict:
        return cast("Verdict", self.answer())


def _raises() -> Verdict:
    raise ValueError(CLIENT_BYTES)


def _same(answer: Deferred[Verdict]) -> Deferred[Verdict]:
    return answer


def _text(events: Sequence[LogEvent]) -> str:
    return " ".join(str(event) for event in events)


class AskTests(SynchronousTestCase):
    """`ask` gives a verdict or a refusal, never anything else."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.request = make_request("https://example.com")

    def ask(self, policy: IPolicy) -> Verdict | Deferred[Verdict]:
        return ask(policy, self.request, None, self.clock, 2.0)

    def refusal_of(self, answer: Any) -> Refused:
        with capturedLogs() as events, self.assertRaises(Refused) as caught:
            self.ask(AnswersWith(lambda: answer))
        self.assertEqual(len(events), 1)
        return cast("Refused", caught.exception)

    def test_verdict(self) -> None:
        """What a policy says at once is returned as it is, and nothing is scheduled."""
        verdict = Verdict(Outcome.ALLOW, "p", "rule")

        self.assertIs(self.ask(AnswersWith(lambda: verdict)), verdict)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_raises(self) -> None:
        """A policy that raises has denied; the log says where and no word of the exception's text."""
        with capturedLogs() as events, self.assertRaises(Refused) as caught:
            self.ask(AnswersWith(_raises))

        refused = caught.exception
        self.assertEqual((refused.code, refused.policy, refused.reason), ("policy_failed", "p", "The policy failed."))
        self.assertIn("ValueError in _raises", refused.detail)
        self.assertIn("ValueError in _raises", _text(events))
        self.assertNotIn(CLIENT_BYTES, _text(events) + str(refused) + refused.detail)

    def test_exits(self) -> None:
        """SystemExit, KeyboardInterrupt and the like are failures of the policy: at once, later, and when cancelled."""
        for kind in (SystemExit, KeyboardInterrupt, GeneratorExit):

            def exits(*_: object, kind: type[BaseException] = kind) -> Any:
                raise kind

            with capturedLogs() as events, self.assertRaises(Refused) as caught:
                self.ask(AnswersWith(exits))
            self.assertEqual(caught.exception.code, "policy_failed")
            self.assertIn(f"{kind.__name__} in exits", _text(events))

            stubborn: Deferred[Verdict] = Deferred(exits)
            answer = self.ask(AnswersWith(partial(_same, stubborn)))
            assert isinstance(answer, Deferred)
            with capturedLogs() as events:
                self.clock.advance(2.0)
            self.assertEqual(self.failureResultOf(answer, Refused).value.reason, "The policy was late.")
            self.assertIn(f"{kind.__name__} in exits", _text(events))

            later: Deferred[Verdict] = Deferred()
            later.addCallback(exits)
            answer = self.ask(AnswersWith(partial(_same, later)))
            assert isinstance(answer, Deferred)
            later.callback(Verdict(Outcome.ALLOW, "p"))
            self.assertEqual(self.failureResultOf(answer, Refused).value.code, "policy_failed")

    def test_bad_failure_verdict(self) -> None:
        """A policy whose failure verdict fails too, or is none, has denied."""
        for answer in (_raises, lambda: "abstain", lambda: Verdict(Outcome.ALLOW, "another")):
            with capturedLogs() as events, self.assertRaises(Refused) as caught:
                self.ask(Lenient(answer))
            self.assertEqual(caught.exception.code, "policy_failed")
            self.assertEqual(len(events), 2)

    def test_not_a_verdict(self) -> None:
        """True, None or an outcome alone are no verdicts."""
        for answer in (True, None, Outcome.ALLOW, "allow"):
            self.assertEqual(self.refusal_of(answer).code, "policy_failed")

    def test_no_outcome(self) -> None:
        """A verdict whose outcome is a mere word is none."""
        self.assertEqual(self.refusal_of(Verdict(cast("Outcome", "allow"), "p")).code, "policy_failed")

    def test_borrowed_name(self) -> None:
        """A policy cannot speak for another."""
        self.assertEqual(self.refusal_of(Verdict(Outcome.ALLOW, "other")).code, "policy_failed")

    def test_later(self) -> None:
        """A verdict that comes in time counts, and its deadline is called off."""
        pending: Deferred[Verdict] = Deferred()
        answer = self.ask(AnswersWith(lambda: pending))
        assert isinstance(answer, Deferred)
        self.assertNoResult(answer)

        pending.callback(Verdict(Outcome.DENY, "p"))

        self.assertEqual(self.successResultOf(answer), Verdict(Outcome.DENY, "p"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fired_already(self) -> None:
        """A Deferred that has its verdict already makes no Deferred."""
        pending: Deferred[Verdict] = Deferred()
        pending.callback(Verdict(Outcome.ALLOW, "p"))

        self.assertEqual(self.ask(AnswersWith(lambda: pending)), Verdict(Outcome.ALLOW, "p"))

    def test_failed_already(self) -> None:
        """A Deferred that has failed already is refused at once."""
        pending: Deferred[Verdict] = Deferred()
        pending.errback(ValueError(CLIENT_BYTES))

        self.assertEqual(self.refusal_of(pending).code, "policy_failed")

    def test_fails_later(self) -> None:
        """A failure that comes later is a refusal, without its text."""
        pending: Deferred[Verdict] = Deferred()
        answer = self.ask(AnswersWith(lambda: pending))
        assert isinstance(answer, Deferred)

        with capturedLogs() as events:
            pending.errback(ValueError(CLIENT_BYTES))

        refused = self.failureResultOf(answer, Refused).value
        self.assertEqual(refused.code, "policy_failed")
        self.assertNotIn(CLIENT_BYTES, _text(events) + refused.detail)

    def test_wrong_later(self) -> None:
        """What comes later is checked as well."""
        pending: Deferred[Any] = Deferred()
        answer = self.ask(AnswersWith(lambda: pending))
        assert isinstance(answer, Deferred)

        pending.callback(Verdict(Outcome.ALLOW, "other"))

        self.assertEqual(self.failureResultOf(answer, Refused).value.code, "policy_failed")

    def test_late(self) -> None:
        """At the deadline the policy is cancelled and has denied."""
        cancelled: list[object] = []
        pending: Deferred[Verdict] = Deferred(cancelled.append)
        answer = self.ask(AnswersWith(lambda: pending))
        assert isinstance(answer, Deferred)

        self.clock.advance(1.9)
        self.assertNoResult(answer)
        self.clock.advance(0.1)

        refused = self.failureResultOf(answer, Refused).value
        self.assertEqual((refused.code, refused.reason), ("policy_failed", "The policy was late."))
        self.assertEqual(cancelled, [pending])

    def test_late_and_stubborn(self) -> None:
        """A policy that answers its cancellation with ALLOW is late all the same."""
        pending: Deferred[Verdict] = Deferred(lambda it: it.callback(Verdict(Outcome.ALLOW, "p")))
        answer = self.ask(AnswersWith(lambda: pending))
        assert isinstance(answer, Deferred)

        self.clock.advance(2.0)

        self.assertEqual(self.failureResultOf(answer, Refused).value.code, "policy_failed")

    def test_late_and_deaf(self) -> None:
        """The deadline holds where cancelling does not end the policy's own waiting."""
        pending: Deferred[Verdict] = Deferred()
        pending.addErrback(lambda _: Deferred())
        answer = self.ask(AnswersWith(lambda: pending))
        assert isinstance(answer, Deferred)

        self.clock.advance(2.0)

        self.failureResultOf(answer, Refused)

    def test_late_and_broken(self) -> None:
        """A canceller that raises changes nothing."""

        def canceller(_: object) -> None:
            raise RuntimeError("the canceller failed")

        pending: Deferred[Verdict] = Deferred(canceller)
        answer = self.ask(AnswersWith(lambda: pending))
        assert isinstance(answer, Deferred)

        self.clock.advance(2.0)

        self.assertEqual(self.failureResultOf(answer, Refused).value.reason, "The policy was late.")

    def test_client_leaves(self) -> None:
        """Cancelling the answer cancels the policy, calls the deadline off and is no failure of the policy."""
        cancelled: list[object] = []
        answer = self.ask(AnswersWith(lambda: Deferred(cancelled.append)))
        assert isinstance(answer, Deferred)

        with capturedLogs() as events:
            answer.cancel()

        self.failureResultOf(answer, CancelledError)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(events, [])


class RoundTests(SynchronousTestCase):
    """One round of verdicts."""

    def test_first_deny_ends_it(self) -> None:
        """A DENY is raised with its policy, rule, reason and what was said before."""
        allow, deny = Verdict(Outcome.ALLOW, "a"), Verdict(Outcome.DENY, "b", "rule", "Not this one.")
        judged = PolicyRound()
        judged.add(allow)

        with self.assertRaises(Refused) as caught:
            judged.add(deny)

        refused = caught.exception
        self.assertEqual(
            (refused.code, refused.policy, refused.rule, refused.reason), ("denied", "b", "rule", "Not this one.")
        )
        self.assertEqual(refused.verdicts, (allow, deny))
        self.assertIsNone(refused.retry_seconds)

    def test_deny_that_passes(self) -> None:
        """A DENY that passes by itself is rate_limited, in whole seconds and at least one."""
        for seconds, shown in ((0.0, 1.0), (0.2, 1.0), (1.0, 1.0), (59.1, 60.0)):
            refused = denial(Verdict(Outcome.DENY, "b", retry_seconds=seconds))
            self.assertEqual((refused.code, refused.retry_seconds), ("rate_limited", shown))

    def test_endless_retry(self) -> None:
        """A plugin's infinite or absent number reaches no header."""
        for seconds in (float("inf"), float("nan")):
            self.assertIsNone(denial(Verdict(Outcome.DENY, "b", retry_seconds=seconds)).retry_seconds)

    def test_first_allow_counts(self) -> None:
        """The first ALLOW lets it in; later ones change nothing."""
        judged = PolicyRound()
        first, second = Verdict(Outcome.ALLOW, "a"), Verdict(Outcome.ALLOW, "b")
        for verdict in (Verdict(Outcome.ABSTAIN, "z"), first, second):
            judged.add(verdict)

        self.assertIs(judged.allowed, first)
        self.assertEqual([verdict.policy for verdict in judged.verdicts], ["z", "a", "b"])

    def test_asks(self) -> None:
        """The first ASK is kept and allows nothing."""
        judged = PolicyRound()
        question = Verdict(Outcome.ASK, "a")
        judged.add(question)

        self.assertIs(judged.asked, question)
        self.assertIsNone(judged.allowed)

    def test_no_policies(self) -> None:
        """Without policies everything is denied, and the refusal says so."""
        refused = PolicyRound().silence()

        self.assertEqual((refused.code, refused.reason), ("no_rule", "No policy is configured."))

    def test_messages(self) -> None:
        """A refusal has the message of the verdict that decides it, whatever kind of refusal it is."""
        for outcome in (Outcome.DENY, Outcome.ASK, Outcome.ABSTAIN):
            judged = PolicyRound()
            judged.add(Verdict(Outcome.ABSTAIN, "a", reason="Other.", message="Other."))
            try:
                judged.add(Verdict(outcome, "p", "r", "Because.", message="Ask me."))
                refused = judged.unapproved() if outcome is Outcome.ASK else judged.silence()
            except Refused as error:
                refused = error
            self.assertEqual(("r", "Ask me.", "Because. Ask me."), (refused.rule, refused.message, refused.explanation))

    def test_silence(self) -> None:
        """Policies that say nothing give a plain refusal."""
        judged = PolicyRound()
        judged.add(Verdict(Outcome.ABSTAIN, "a"))

        self.assertEqual(judged.silence().reason, "No rule allows it.")

    def test_near_miss(self) -> None:
        """A near miss is the most helpful reason, before what other policies said."""
        judged = PolicyRound()
        judged.add(Verdict(Outcome.ABSTAIN, "a", "", "No rule names the host."))
        judged.add(Verdict(Outcome.ABSTAIN, "b", "github", "The host is allowed, but only on port 443."))

        refused = judged.silence()

        self.assertEqual((refused.policy, refused.rule), ("b", "github"))
        self.assertEqual(refused.reason, "The host is allowed, but only on port 443.")
        self.assertEqual(refused.verdicts, judged.verdicts)


class AuditOnlyTests(SynchronousTestCase):
    """`mode = "audit"` says what would have been, and decides nothing."""

    def reason(self, policy: IPolicy) -> str:
        verdict = ask(AuditOnly(policy), make_request("https://example.com"), None, Clock(), 1.0)
        assert isinstance(verdict, Verdict)
        self.assertEqual((verdict.outcome, verdict.policy), (Outcome.ABSTAIN, policy.name))
        return verdict.reason

    def test_verdicts(self) -> None:
        """Each verdict becomes an abstention that tells it."""
        cases = (
            (FixedPolicy("p", Outcome.DENY, "r", "Not here."), "Would have said deny by rule r: Not here."),
            (FixedPolicy("p", Outcome.DENY), "Would have said deny."),
            (FixedPolicy("p", Outcome.ALLOW, "r"), "Would have allowed by rule r."),
            (FixedPolicy("p", Outcome.ASK, reason="May it?"), "Would have asked: May it?"),
            (FixedPolicy("p", Outcome.ABSTAIN, reason="Only on port 443."), "Only on port 443."),
        )
        for policy, reason in cases:
            self.assertEqual(self.reason(policy), reason)

    def test_message(self) -> None:
        """Nor does it say anything to a client."""
        denying = AnswersWith(lambda: Verdict(Outcome.DENY, "p", message="Ask me."))
        verdict = ask(AuditOnly(denying), make_request("https://example.com"), None, Clock(), 1.0)
        assert isinstance(verdict, Verdict)
        self.assertEqual("", verdict.message)

    def test_obligations(self) -> None:
        """An abstention's obligations are dropped: the policy decides nothing."""
        strip = frozenset([Obligation.STRIP_OVERRIDES])
        for outcome in Outcome:
            policy = AuditOnly(FixedPolicy("p", outcome, obligations=strip))
            verdict = ask(policy, make_request("https://example.com"), None, Clock(), 1.0)
            assert isinstance(verdict, Verdict)
            self.assertEqual((Outcome.ABSTAIN, frozenset()), (verdict.outcome, verdict.obligations))

    def test_failures(self) -> None:
        """A policy that raises or returns something else stands in nobody's way."""
        for policy in (AnswersWith(_raises), AnswersWith(lambda: None), AnswersWith(lambda: succeed(1))):
            self.assertEqual(self.reason(policy), "Would have been refused: The policy failed.")

    def test_late(self) -> None:
        """Nor does one that is late."""
        clock = Clock()
        policy = AuditOnly(AnswersWith(Deferred))
        answer = ask(policy, make_request("https://example.com"), None, clock, 1.0)
        assert isinstance(answer, Deferred)

        clock.advance(1.0)

        self.assertEqual(self.successResultOf(answer).reason, "Would have been refused: The policy was late.")

    def test_later(self) -> None:
        """A verdict that comes later becomes an abstention too."""
        pending: Deferred[Verdict] = Deferred()
        answer = ask(AuditOnly(AnswersWith(lambda: pending)), make_request("https://a.example"), None, Clock(), 1.0)
        assert isinstance(answer, Deferred)

        pending.callback(Verdict(Outcome.DENY, "p"))

        self.assertEqual(self.successResultOf(answer).outcome, Outcome.ABSTAIN)

    def test_promises(self) -> None:
        """Name and purity are the inner policy's; it observes only if that one does."""
        for pure in (True, False):
            policy = AuditOnly(FixedPolicy("p", pure=pure))
            self.assertEqual((policy.name, policy.pure), ("p", pure))
            self.assertFalse(IPolicyObserver.providedBy(policy))

    def test_second_round(self) -> None:
        """The inner policy sees what the name resolved to."""
        inner = FixedPolicy()
        request, resolution = make_request("https://example.com"), resolve_to("192.0.2.1")

        AuditOnly(inner).decide(request, resolution)

        self.assertEqual(inner.asked, [(request, resolution)])
