"""The facts that a snapshot finds out about its policies."""

from __future__ import annotations

import time

from attrs import define, evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.interfaces import IPolicy, IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, Request, Resolution, RoutePlan, Verdict
from egress.policy.guard import Guard, GuardSettings
from egress.testing import FakeResolver, FixedPolicy
from tests.gate.support import PlanSelector


@implementer(IPolicy)
@define(eq=False)
class Impure:
    """Must be asked for each request."""

    name: str = "impure"
    pure: bool = False

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Abstain."""
        return Verdict(Outcome.ABSTAIN, self.name)


@implementer(IPolicyObserver)
@define(eq=False)
class Observing(FixedPolicy):
    """Observes admitted requests."""

    def started(self, request: Request, admission: Admission) -> None:
        """Do nothing."""

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        """Do nothing."""

    def ended(self, record: AuditEvent) -> None:
        """Do nothing."""


def make_snapshot(*policies: IPolicy) -> Snapshot:
    """Make a snapshot around policies."""
    names, selector = FakeResolver({}), PlanSelector(RoutePlan("direct", "none"))
    own = OwnAddresses((), (), local=lambda _: False)
    return Snapshot(1, policies, Guard(GuardSettings()), names, names, selector, None, own, None)  # type: ignore[arg-type]


class SnapshotTests(SynchronousTestCase):
    """`Snapshot`."""

    def test_impure(self) -> None:
        """One policy that must be asked for each request is enough, wherever it stands."""
        for policies, has_impure in (
            ((), False),
            ((FixedPolicy(), FixedPolicy()), False),
            ((Impure(), FixedPolicy()), True),
            ((FixedPolicy(), Impure()), True),
        ):
            self.assertIs(has_impure, make_snapshot(*policies).has_impure)

    def test_observers(self) -> None:
        """The policies that observe are found, in configured order."""
        first, second = Observing(), Observing()

        self.assertEqual((first, second), make_snapshot(first, FixedPolicy(), second, Impure()).observers)
        self.assertEqual((), make_snapshot(FixedPolicy()).observers)

    def test_replacement(self) -> None:
        """A snapshot made from another one has its own facts, decisions and time of creation."""
        before = time.monotonic()
        old = make_snapshot(FixedPolicy())
        new = evolve(old, generation=2, policies=(Impure(), Observing()))

        self.assertTrue(new.has_impure)
        self.assertEqual(new.policies[1:], new.observers)
        self.assertIsNot(old.decisions, new.decisions)
        self.assertTrue(before <= old.created_at <= new.created_at <= time.monotonic())
