"""Policies with a description are treated alike, regardless of their author."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from attrs import define, evolve, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.errors import ConfigError
from egress.interfaces import IPolicy, IPolicyDescription
from egress.model import PolicyRule, RuleEffect
from egress.policy.audit_only import AuditOnly
from egress.service.build.configured_policies import describe_policies
from egress.service.build.consistency import check_consistency
from egress.service.dry_run import make_dry_run
from egress.service.settings.source import load
from egress.testing.policies import FixedPolicy
from tests.cli.test_check import REMOTE
from tests.service.reload.downgrades.support import DowngradeCase

ALLOW = PolicyRule(RuleEffect.ALLOW, "a", "rules[3]", ("a.example",))


@implementer(IPolicyDescription)
@define(eq=False)
class Described(FixedPolicy):
    """A third party's policy that describes itself with these rules."""

    listed: Any = field(kw_only=True, default=(ALLOW,))

    def rules(self) -> Any:
        """List them."""
        return self.listed() if callable(self.listed) else self.listed

    def weaker_than(self, _previous: IPolicy) -> list[str]:
        """Compare nothing."""
        return []


class DescriptionTests(SynchronousTestCase):
    """What is made of a description."""

    def describe(self, policy: IPolicy, **table: object) -> Any:
        """Describe one policy."""
        return describe_policies([{"kind": "acme", **table}], [policy])[0]

    def fault(self, listed: Any) -> str:
        """Describe a policy whose description is wrong."""
        error = self.assertRaises(ConfigError, self.describe, Described(listed=listed))
        self.assertEqual("policy[0]", error.where)
        return str(error.problem)

    def test_rules(self) -> None:
        """The rules are those that the policy lists; its settings are its table without what every table has."""
        found = self.describe(Described(), name="fixed", level=5)

        self.assertEqual([ALLOW], [each.rule for each in found.rules])
        self.assertEqual(({"level": 5}, True, True), (found.settings, found.is_enforced, found.can_allow))

    def test_without_description(self) -> None:
        """A policy that does not describe itself has no list of rules, and may allow anything."""
        found = self.describe(FixedPolicy())

        self.assertEqual((None, True), (found.rules, found.can_allow))

    def test_audit_only(self) -> None:
        """With mode = "audit" the rules are listed and none is enforced; without a description there is none."""
        found = self.describe(AuditOnly(Described()), mode="audit")

        self.assertEqual([evolve(ALLOW, is_enforced=False)], [each.rule for each in found.rules])
        self.assertFalse(found.can_allow)
        self.assertFalse(IPolicyDescription.providedBy(AuditOnly(FixedPolicy())))

    def test_wrong_descriptions(self) -> None:
        """A description that cannot be read is an error of the plugin, and holds no text of the plugin's."""

        def fail() -> Mapping[str, object]:
            raise ZeroDivisionError("a secret")

        self.assertIn("'fixed' wrongly: hosts[0]: ", self.fault([evolve(ALLOW, hosts=("*",))]))
        self.assertIn("'fixed' wrongly: ports[1]: ", self.fault([evolve(ALLOW, ports=(1, 0))]))
        self.assertIn("'fixed' wrongly: clients[0]: ", self.fault([evolve(ALLOW, clients=("me",))]))
        self.assertIn("'fixed' wrongly: paths[0]: ", self.fault([evolve(ALLOW, paths=("x",))]))
        for broken in (fail, None, [5]):
            problem = self.fault(broken)
            self.assertIn("the plugin failed to describe policy 'fixed' (", problem)
            self.assertNotIn("secret", problem)


class ConsistencyTests(DowngradeCase):
    """Rules of third parties are compared with listeners and routes."""

    def fault(self, text: str, rule: PolicyRule) -> str:
        """Check a file with a policy that has this rule."""
        source = evolve(load(None), settings=self.load(text))
        policies = describe_policies([{"kind": "acme"}], [Described(listed=[rule])])
        selector = make_dry_run(source, Clock(), {}).prepared.routing.selector
        return str(self.assertRaises(ConfigError, check_consistency, source, policies, selector))

    def test_unknown_listener(self) -> None:
        """A client of a listener that is not there is found, with the rule's place."""
        for place, key in (("rules[3]", "policy[0].rules[3].clients"), ("", "policy[0].clients")):
            error = self.fault("", evolve(ALLOW, place=place, clients=("listener:agnets",)))
            self.assertEqual(f"{key}: listener:agnets is no listener of this file; there are: default", error)

    def test_addresses_that_are_never_judged(self) -> None:
        """Addresses that a rule opens on a route on which no address is judged are found."""
        error = self.fault(REMOTE, evolve(ALLOW, addresses=(ip_network("10.0.0.0/8"),)))

        self.assertTrue(error.startswith("policy[0].rules[3].addresses: admits nothing: a.example goes"), error)
