"""Descriptions of the built-in policies."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.interfaces import IPolicyDescription
from egress.model import PolicyRule, RuleEffect
from egress.policy.audit_only import AuditOnly
from egress.policy.destinations import make_destinations
from egress.policy.rate import make_rate
from egress.testing import FakeHost
from egress.testing.policies import FixedPolicy

ALLOW = {"hosts": ["A.example", "10.0.0.0/8"], "ports": [80, "8000-8100"], "clients": ["uid:*", "uid:1"]}


class DestinationsTests(SynchronousTestCase):
    """The rules of `destinations`."""

    def describe(self, **settings: Any) -> tuple[PolicyRule, ...]:
        """Make a policy, and let it describe itself."""
        policy = make_destinations("destinations", settings, FakeHost())
        self.assertTrue(verifyObject(IPolicyDescription, policy))
        return policy.rules()

    def test_every_key(self) -> None:
        """A rule is described by each of its keys, in canonical spelling; deny rules come first."""
        deny, allow = self.describe(
            allow=[{**ALLOW, "methods": ["GET"], "paths": ["/a/*"], "addresses": ["10.0.0.0/8"]}],
            deny=[{"hosts": ["**"], "name": "all"}],
        )

        self.assertEqual(PolicyRule(RuleEffect.DENY, "all", "deny[0]", ("**",), ("80-80", "443-443")), deny)
        self.assertEqual((RuleEffect.ALLOW, "allow[0]", "allow[0]"), (allow.effect, allow.name, allow.place))
        self.assertEqual((("a.example", "10.0.0.0/8"), ("80-80", "8000-8100")), (allow.hosts, allow.ports))
        self.assertEqual((("uid:1", "uid:*"), {"GET"}, ("/a/*",)), (allow.clients, allow.methods, allow.paths))
        self.assertEqual((["10.0.0.0/8"], False), ([*map(str, allow.addresses)], allow.covers_tunnels))

    def test_tunnels(self) -> None:
        """What cannot be read is covered by deny rules where `opaque` denies, and by allow rules where it allows."""
        readable: list[dict[str, object]] = [{"hosts": ["**"], "methods": ["GET"]}]
        for opaque, covered in (("deny", [True, False]), ("allow", [False, True])):
            rules = self.describe(allow=readable, deny=readable, opaque=opaque)
            self.assertEqual(covered, [rule.covers_tunnels for rule in rules])
        (connect,) = self.describe(allow=[{"hosts": ["**"], "methods": ["CONNECT"]}])
        self.assertTrue(connect.covers_tunnels)


class RateTests(SynchronousTestCase):
    """The limits of `rate`."""

    def make(self, **settings: Any) -> Any:
        """Make a policy."""
        policy = make_rate("rate", settings, FakeHost())
        self.assertTrue(verifyObject(IPolicyDescription, policy))
        return policy

    def test_one_rule(self) -> None:
        """The policy is one rule that limits."""
        self.assertEqual((PolicyRule(RuleEffect.LIMIT, "rate"),), self.make(connections=1).rules())
        (rule,) = self.make(connections=1, clients=["uid:1"]).rules()
        self.assertEqual(("uid:1",), rule.clients)

    def test_comparison(self) -> None:
        """Limits that are higher or gone, and clients that are limited no more, are weaker."""
        base = {"connections": 5, "bytes_per_minute": 9}
        for new, said in (
            (base, ()),
            ({**base, "connections": 6}, ("connections is 6, it was 5",)),
            ({**base, "connections": 4, "requests_per_minute": 1}, ()),
            ({"connections": 5}, ("bytes_per_minute is gone",)),
            ({**base, "clients": ["uid:1"]}, ("limits other clients than before, or fewer",)),
        ):
            self.assertEqual(said, self.make(**new).weaker_than(self.make(**base)))
        self.assertEqual((), self.make(**base).weaker_than(FixedPolicy()))


class AuditOnlyTests(SynchronousTestCase):
    """A policy in audit mode."""

    def test_decides_nothing(self) -> None:
        """Its rules are listed as not enforced, and it is weaker than a policy that decided."""
        inner = make_rate("rate", {"connections": 1}, FakeHost())
        policy = AuditOnly(inner)

        self.assertTrue(verifyObject(IPolicyDescription, policy))
        self.assertEqual([False], [rule.is_enforced for rule in policy.rules()])
        self.assertEqual(('decides nothing any more: its mode is "audit"',), policy.weaker_than(inner))
        self.assertEqual((), policy.weaker_than(AuditOnly(inner)))
