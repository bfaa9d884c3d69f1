"""The gate: the order of its checks, its caches, and its failures, which refuse."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.errors import Refused
from egress.gate.gate import Gate
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.interfaces import IPolicy
from egress.model import Admission, Client, Obligation, Outcome, Request, Resolution, Verdict
from egress.policy.destinations import make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.testing import FakeHost, FakeResolver, make_client, make_request
from egress.upstream import DirectSelector, TunnelingAgent

ADDRESS = "93.184.216.34"


@implementer(IPolicy)
@define(eq=False)
class Scripted:
    """Says what it is told, and remembers what it was asked."""

    name: str
    first: Any
    second: Any = None
    pure: bool = False
    asked: list[bool] = field(factory=list)

    def decide(self, request: Request, resolution: Resolution | None) -> Any:
        """Answer as told."""
        self.asked.append(resolution is not None)
        answer = self.first if resolution is None or self.second is None else self.second
        if isinstance(answer, Exception):
            raise answer
        return answer

    @classmethod
    def saying(cls, outcome: Outcome, name: str = "p", **more: Any) -> Scripted:
        """Make one that always says the same."""
        return cls(name, Verdict(outcome, name, **more))


class GateCase(SynchronousTestCase):
    """Arranges a Gate."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver({"a.example": ADDRESS})

    def gate(self, *policies: Any) -> Gate:
        """Make a Gate with these policies."""
        own = OwnAddresses((("0.0.0.0", 3128), ("127.0.0.1", 9)), local=lambda address: address.is_loopback)
        agent = TunnelingAgent(MemoryReactorClock(), 1.0, 1.0)
        snapshot = Snapshot(
            1, policies, Guard(GuardSettings()), self.resolver, self.resolver, DirectSelector(), agent, own, None
        )
        return Gate(snapshot, self.clock, 5.0)

    def refused(self, gate: Gate, request: Request) -> Refused:
        """Assert that a request is refused at once, and give the refusal."""
        with self.assertRaises(Refused) as raised:
            gate.admit(request)
        refused: Refused = raised.exception
        return refused


class Verdicts(GateCase):
    """How verdicts make a decision."""

    def test_allow(self) -> None:
        """An ALLOW, a public address: admitted at once, without a Deferred."""
        gate = self.gate(Scripted.saying(Outcome.ALLOW, rule="r"))

        admission = gate.admit(make_request("http://a.example/"))

        assert isinstance(admission, Admission)
        self.assertEqual((admission.verdict.rule, admission.route.texts), ("r", (ADDRESS,)))
        self.assertEqual((admission.plan.label, admission.plan.level), ("direct", "none"))

    def test_no_policies(self) -> None:
        """Nothing configured, nothing allowed."""
        self.assertEqual(self.refused(self.gate(), make_request("http://a.example/")).code, "no_rule")
        self.assertEqual(self.resolver.asked, [])

    def test_silence(self) -> None:
        """Abstaining is not allowing."""
        gate = self.gate(Scripted.saying(Outcome.ABSTAIN))

        self.assertEqual(self.refused(gate, make_request("http://a.example/")).code, "no_rule")
        self.assertEqual(self.resolver.asked, [])

    def test_deny_wins_wherever_it_stands(self) -> None:
        """One DENY ends it, before or after an ALLOW."""
        allow, deny = Scripted.saying(Outcome.ALLOW, "a"), Scripted.saying(Outcome.DENY, "d", reason="no")
        for order in ((allow, deny), (deny, allow)):
            refused = self.refused(self.gate(*order), make_request("http://a.example/"))
            self.assertEqual((refused.code, refused.policy, refused.reason), ("denied", "d", "no"))
        self.assertEqual(self.resolver.asked, [])

    def test_deny_on_the_address(self) -> None:
        """The second round can take away what the first gave."""
        policy = Scripted("p", Verdict(Outcome.ALLOW, "p"), Verdict(Outcome.DENY, "p"))

        self.assertEqual(self.refused(self.gate(policy), make_request("http://a.example/")).code, "denied")
        self.assertEqual(policy.asked, [False, True])

    def test_allow_on_the_address_is_too_late(self) -> None:
        """The second round cannot give what the first did not."""
        policy = Scripted("p", Verdict(Outcome.ABSTAIN, "p"), Verdict(Outcome.ALLOW, "p"))

        self.assertEqual(self.refused(self.gate(policy), make_request("http://a.example/")).code, "no_rule")

    def test_failing_policies_deny(self) -> None:
        """One that raises, fails later or says nonsense is a DENY, and the failure is logged."""
        for answer in (RuntimeError("boom"), fail(RuntimeError("boom")), "yes", None, succeed(True)):
            with self.subTest(answer=answer):
                self.setUp()
                gate = self.gate(Scripted.saying(Outcome.ALLOW), Scripted("bad", answer))
                try:
                    found = gate.admit(make_request("http://a.example/"))
                except Refused as refused:
                    self.assertEqual((refused.code, refused.policy), ("policy_failed", "bad"))
                else:
                    assert isinstance(found, Deferred)
                    failed = self.failureResultOf(found, Refused).value
                    self.assertEqual((failed.code, failed.policy), ("policy_failed", "bad"))
                self.flushLoggedErrors()

    def test_late_policies_deny(self) -> None:
        """One that does not answer in time is a DENY, and is told to stop."""
        stopped: list[bool] = []
        never: Deferred[Verdict] = Deferred(lambda _: stopped.append(True))
        found = self.gate(Scripted("slow", never)).admit(make_request("http://a.example/"))
        assert isinstance(found, Deferred)

        self.clock.advance(6)

        self.assertEqual(self.failureResultOf(found, Refused).value.code, "policy_failed")
        self.assertEqual(stopped, [True])
        self.flushLoggedErrors()

    def test_waiting_policy(self) -> None:
        """One that answers later is waited for."""
        later: Deferred[Verdict] = Deferred()
        found = self.gate(Scripted("slow", later, Verdict(Outcome.ABSTAIN, "slow"))).admit(
            make_request("http://a.example/")
        )
        assert isinstance(found, Deferred)
        self.assertNoResult(found)

        later.callback(Verdict(Outcome.ALLOW, "slow"))

        self.assertIsInstance(self.successResultOf(found), Admission)

    def test_cancelling_stops_everything(self) -> None:
        """When the client leaves, a policy that is waited for is told."""
        stopped: list[bool] = []
        never: Deferred[Verdict] = Deferred(lambda _: stopped.append(True))
        found = self.gate(Scripted("slow", never)).admit(make_request("http://a.example/"))
        assert isinstance(found, Deferred)

        found.cancel()

        self.failureResultOf(found)
        self.assertEqual(stopped, [True])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Asks(GateCase):
    """ASK."""

    def test_nobody_can_approve(self) -> None:
        """An ASK is refused with a code of its own: nobody can approve."""
        gate = self.gate(Scripted.saying(Outcome.ASK, reason="needs a person"), Scripted.saying(Outcome.ALLOW, "q"))

        refused = self.refused(gate, make_request("http://a.example/"))

        self.assertEqual((refused.code, refused.reason), ("approval_unavailable", "needs a person"))

    def test_deny_outweighs_ask(self) -> None:
        """A DENY counts before an ASK."""
        gate = self.gate(Scripted.saying(Outcome.ASK), Scripted.saying(Outcome.DENY, "d"))

        self.assertEqual(self.refused(gate, make_request("http://a.example/")).code, "denied")


class Memory(GateCase):
    """What is asked again, and what is not."""

    def test_pure_policies_are_asked_once(self) -> None:
        """The same question again costs no policy and no new judgement."""
        policy = Scripted("p", Verdict(Outcome.ALLOW, "p"), pure=True)
        gate = self.gate(policy)

        first = gate.admit(make_request("http://a.example/"))
        again = gate.admit(make_request("http://a.example/"))

        self.assertIs(first, again)
        self.assertEqual(policy.asked, [False, True])

    def test_other_questions_are_asked(self) -> None:
        """Another path, method, client, listener or port is another question."""
        policy = Scripted("p", Verdict(Outcome.ALLOW, "p"), pure=True)
        gate = self.gate(policy)

        gate.admit(make_request("http://a.example/"))
        gate.admit(make_request("http://a.example/b"))
        gate.admit(make_request("http://a.example/", method="POST"))
        gate.admit(make_request("http://a.example:81/"))
        gate.admit(make_request("http://a.example/", client=make_client("another")))
        gate.admit(make_request("http://a.example/", listener="another"))

        self.assertEqual(len(policy.asked), 12)

    def test_override_fields_are_part_of_the_question(self) -> None:
        """A request that overrides the method does not get the verdict of one that does not, whoever asks first."""
        rules = {"allow": [{"hosts": ["a.example"], "methods": ["GET"]}]}
        plain, overriding = (
            make_request("http://a.example/"),
            make_request("http://a.example/", overrides=["x-http-method"]),
        )
        for first in (plain, overriding):
            gate = self.gate(make_destinations("rules", rules, FakeHost()))
            for request in (first, plain, overriding, plain, overriding):
                if request is plain:
                    self.assertIsInstance(gate.admit(request), Admission)
                else:
                    self.assertIn("X-Http-Method", self.refused(gate, request).reason)

    def test_obligations_are_part_of_the_answer(self) -> None:
        """Only the request with the field is admitted with the obligation to strip it."""
        rules = {"allow": [{"hosts": ["a.example"], "methods": ["GET"]}], "override_fields": "strip"}
        gate = self.gate(make_destinations("rules", rules, FakeHost()))
        for _ in range(2):
            for overrides, obligations in (((), frozenset()), (["x-http-method"], {Obligation.STRIP_OVERRIDES})):
                admission = gate.admit(make_request("http://a.example/", overrides=overrides))
                assert isinstance(admission, Admission)
                self.assertEqual(obligations, admission.verdict.obligations)

    def test_labels_are_part_of_the_question(self) -> None:
        """Clients that limits count as one are judged each by its own labels, whoever asks first."""
        rules = {"allow": [{"hosts": ["a.example"], "clients": ["address:2001:db8::1"]}]}
        gate = self.gate(make_destinations("rules", rules, FakeHost()))
        one, two = (Client("agents/2001:db8::/64", frozenset([f"address:2001:db8::{at}"])) for at in (1, 2))

        for _ in range(2):
            self.refused(gate, make_request("http://a.example/", client=two))
            self.assertIsInstance(gate.admit(make_request("http://a.example/", client=one)), Admission)

    def test_impure_policies_are_asked_each_time(self) -> None:
        """Only the pure ones are spared."""
        pure = Scripted("pure", Verdict(Outcome.ALLOW, "pure"), pure=True)
        impure = Scripted("impure", Verdict(Outcome.ABSTAIN, "impure"))
        gate = self.gate(pure, impure)

        for _ in range(3):
            gate.admit(make_request("http://a.example/"))

        self.assertEqual(pure.asked.count(False), 1)
        self.assertEqual(impure.asked, [False, True] * 3)

    def test_a_new_answer_is_judged_anew(self) -> None:
        """What was judged is good for the answer that was judged: rebinding meets the guard."""
        gate = self.gate(Scripted("p", Verdict(Outcome.ALLOW, "p"), pure=True))
        gate.admit(make_request("http://a.example/"))

        self.resolver.answer("a.example", "127.0.0.1")

        self.assertEqual(self.refused(gate, make_request("http://a.example/")).code, "address_refused")


class Destinations(GateCase):
    """Own addresses and the guard."""

    def test_own_addresses(self) -> None:
        """No spelling of ourselves is a destination, whatever policies say."""
        admits = (ip_network("127.0.0.0/8"), ip_network("0.0.0.0/8"), ip_network("::/0"))
        gate = self.gate(Scripted.saying(Outcome.ALLOW, admits=admits))
        self.resolver.answer("self.example", ["93.184.216.34", "::ffff:127.0.0.1"])
        for url in (
            "http://127.0.0.1:3128/",
            "http://127.9.9.9:3128/",
            "http://0.0.0.0:3128/",
            "http://[::1]:3128/",
            "http://[::]:3128/",
            "http://[::ffff:127.0.0.1]:9/",
            "http://self.example:3128/",
        ):
            with self.subTest(url):
                self.assertEqual(self.refused(gate, make_request(url)).code, "own_address")

    def test_dry_run(self) -> None:
        """Explaining asks every policy, looks up, dials nothing and remembers nothing."""
        policies = (Scripted.saying(Outcome.DENY, "no"), Scripted.saying(Outcome.ALLOW, "yes"))
        gate = self.gate(*policies)

        seen = gate.explain(make_request("http://a.example/", is_dry_run=True))

        assert not isinstance(seen, Deferred)
        self.assertEqual([verdict.policy for verdict in seen.first], ["no", "yes"])
        assert seen.refused is not None
        self.assertEqual(seen.refused.policy, "no")

    def test_dry_run_of_what_passes(self) -> None:
        """It shows the route, the addresses and the guard's word."""
        seen = self.gate(Scripted.saying(Outcome.ALLOW)).explain(make_request("http://a.example/", is_dry_run=True))

        assert not isinstance(seen, Deferred) and seen.plan is not None and seen.resolution is not None
        self.assertEqual((seen.plan.label, seen.guard, seen.resolution.host), ("direct", "passed", "a.example"))
        self.assertIsNot(seen.admission, None)
