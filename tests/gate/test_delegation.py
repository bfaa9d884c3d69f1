"""Names that failed to resolve here and are delegated to an upstream proxy."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import NameNotFound
from egress.gate import delegation
from egress.gate.delegation import Delegations
from egress.testing import FakeResolver

HOST = "only.proxy.example"
FAR = "93.184.216.34"


class DelegationTests(SynchronousTestCase):
    """What is remembered, and for how long."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver({HOST: NameNotFound("no such name")})
        self.delegations = Delegations(self.clock, 60.0)

    def test_unknown(self) -> None:
        """A name that was never left to a proxy is not delegated, and nobody is asked."""
        self.assertIsNone(self.delegations.find(HOST, self.resolver, "agents"))
        self.assertEqual([], self.resolver.asked)

    def test_remembered(self) -> None:
        """A delegated name has no addresses, and is the same object unasked while the failure is fresh."""
        kept = self.delegations.keep(HOST)
        self.clock.advance(59)

        self.assertEqual((True, ()), (kept.is_delegated, kept.addresses))
        self.assertIs(kept, self.delegations.find(HOST, self.resolver, "agents"))
        self.assertEqual([], self.resolver.asked)

    def test_asked_again_beside_the_request(self) -> None:
        """An old failure is used once more, and the resolver is asked beside that request, once a period."""
        kept = self.delegations.keep(HOST)
        self.clock.advance(60)

        self.assertIs(kept, self.delegations.find(HOST, self.resolver, "agents"))
        self.assertIs(kept, self.delegations.find(HOST, self.resolver, "agents"))

        self.assertEqual([HOST], self.resolver.asked)

    def test_resolves_now(self) -> None:
        """A name that the resolver knows by then is forgotten from the next request on."""
        kept = self.delegations.keep(HOST)
        self.clock.advance(60)
        self.resolver.answer(HOST, FAR)

        self.assertIs(kept, self.delegations.find(HOST, self.resolver, "agents"))
        self.assertIsNone(self.delegations.find(HOST, self.resolver, "agents"))

    def test_resolves_later(self) -> None:
        """So is one whose answer takes a while; one whose answer is a failure stays."""
        for answer, is_known in ((NameNotFound("still"), True), (FAR, False)):
            with self.subTest(answer):
                self.delegations.keep(HOST)
                self.resolver.hold(HOST)
                self.clock.advance(60)
                self.delegations.find(HOST, self.resolver, "agents")

                self.resolver.answer(HOST, answer)

                self.assertEqual(is_known, self.delegations.find(HOST, self.resolver, "agents") is not None)

    def test_trust(self) -> None:
        """A name that resolved is remembered as such for a while, so that a failure does not delegate it."""
        self.assertFalse(self.delegations.has_resolved(HOST))

        self.delegations.note_resolved(HOST)

        self.assertTrue(self.delegations.has_resolved(HOST))
        self.clock.advance(300)
        self.assertFalse(self.delegations.has_resolved(HOST))

    def test_bounded(self) -> None:
        """Neither memory grows without bound."""
        self.patch(delegation, "_KEPT", 3)
        for number in range(10):
            self.delegations.keep(f"h{number}.example")
            self.delegations.note_resolved(f"h{number}.example")

        self.assertIsNone(self.delegations.find("h0.example", self.resolver, "agents"))
        self.assertIsNotNone(self.delegations.find("h9.example", self.resolver, "agents"))
        self.assertFalse(self.delegations.has_resolved("h0.example"))
        self.assertTrue(self.delegations.has_resolved("h9.example"))
