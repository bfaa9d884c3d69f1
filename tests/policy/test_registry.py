"""The registry: missing, duplicate or broken policies prevent the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import define, frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import classImplements, implementer

from egress import plugins
from egress.errors import ConfigError
from egress.interfaces import IHostServices, IPolicy, IPolicyMaker, IPolicyObserver
from egress.model import AuditEvent, Outcome, Request, Resolution, Verdict
from egress.policy.audit_only import AuditOnly
from egress.policy.registry import build_policies, find_makers
from egress.testing import FakeHost, FixedPolicy, PolicyHarness, make_client, make_request

SECRET = "a-word-that-must-not-be-seen"


@implementer(IPolicyMaker)
@frozen
class Maker:
    """Makes what a function makes."""

    kind: str = "fixed"
    make: Callable[[str, Mapping[str, object], IHostServices], Any] = lambda name, settings, host: FixedPolicy(name)

    def make_policy(self, name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
        return cast("IPolicy", self.make(name, settings, host))


@define(eq=False)
class Deaf:
    """Claims to be a policy and cannot decide."""

    name: str
    pure: bool = True


@define(eq=False)
class Careless:
    """Takes no resolution."""

    name: str
    pure: bool = True

    def decide(self, request: Request) -> Verdict:
        return Verdict(Outcome.ALLOW, self.name)


@define(eq=False)
class HalfDeaf:
    """Claims to observe and cannot."""

    name: str
    pure: bool = True

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        return Verdict(Outcome.ALLOW, self.name)

    def ended(self, record: AuditEvent) -> None:
        """Hear."""


# Claimed behind mypy's back, which would see that it is not so.
_claim: Any = classImplements
_claim(Deaf, IPolicy)
_claim(Careless, IPolicy)
_claim(HalfDeaf, IPolicy, IPolicyObserver)


class BuildTests(SynchronousTestCase):
    """`build_policies`"""

    def build(self, *tables: Mapping[str, object], maker: IPolicyMaker | None = None) -> tuple[IPolicy, ...]:
        makers = {"fixed": maker or Maker(), "other": Maker("other")}
        return build_policies(tables, makers, FakeHost())

    def error(self, *tables: Mapping[str, object], maker: IPolicyMaker | None = None) -> ConfigError:
        with self.assertRaises(ConfigError) as caught:
            self.build(*tables, maker=maker)
        error: ConfigError = caught.exception
        self.assertNotIn(SECRET, str(error))
        return error

    def test_order(self) -> None:
        """Policies are asked in the order of the configuration."""
        policies = self.build({"kind": "other"}, {"kind": "fixed", "name": "b"}, {"kind": "fixed", "name": "a"})

        self.assertEqual([policy.name for policy in policies], ["other", "b", "a"])

    def test_none(self) -> None:
        """No tables make no policies, which denies everything."""
        self.assertEqual(self.build(), ())

    def test_settings(self) -> None:
        """The maker gets its name, what is lent to it, and the table without the keys that are not its own."""
        seen: list[object] = []

        def make(name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
            seen.extend((name, dict(settings)))
            self.assertTrue(IHostServices.providedBy(host))
            return FixedPolicy(name)

        self.build({"kind": "fixed", "name": "n", "mode": "enforce", "allow": [1]}, maker=Maker(make=make))

        self.assertEqual(seen, ["n", {"allow": [1]}])

    def test_unknown_kind(self) -> None:
        """An unknown kind is named, with those that are known."""
        error = self.error({"kind": "fixed"}, {"kind": "destination"})

        self.assertEqual(error.where, "policy[1].kind")
        self.assertIn("'destination'", error.problem)
        self.assertIn("fixed, other", error.problem)

    def test_bad_keys(self) -> None:
        """Each bad `kind`, `name` and `mode` is an error at its own key."""
        for table, where in (
            ({}, "policy[0].kind"),
            ({"kind": 1}, "policy[0].kind"),
            ({"kind": "fixed", "name": 1}, "policy[0].name"),
            ({"kind": "fixed", "name": ""}, "policy[0].name"),
            ({"kind": "fixed", "name": "a\nb"}, "policy[0].name"),
            ({"kind": "fixed", "name": "\xe9"}, "policy[0].name"),
            ({"kind": "fixed", "name": "a" * 65}, "policy[0].name"),
            ({"kind": "fixed", "mode": "off"}, "policy[0].mode"),
            ({"kind": "fixed", "mode": True}, "policy[0].mode"),
        ):
            self.assertEqual(self.error(table).where, where, table)

    def test_name_is_needed(self) -> None:
        """The kind is a good name only where no other policy is of that kind."""
        self.assertEqual(self.error({"kind": "fixed", "name": "a"}, {"kind": "fixed"}).where, "policy[1].name")

    def test_name_is_taken(self) -> None:
        """Two policies cannot have one name."""
        error = self.error({"kind": "fixed"}, {"kind": "other", "name": "fixed"})

        self.assertEqual((error.where, error.problem), ("policy[1].name", "policy[0] is called 'fixed' already"))

    def test_name_of_the_guard(self) -> None:
        """No policy has the name that log lines and answers give to the SSRF guard."""
        error = self.error({"kind": "fixed", "name": "ssrf-guard"})

        self.assertEqual(error.where, "policy[0].name")
        self.assertIn("SSRF guard", error.problem)

    def test_maker_refuses(self) -> None:
        """What a maker finds wrong is told with its whole key path."""

        def make(name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
            raise ConfigError(cast("str", settings["where"]), "is wrong")

        for inner, where in (("allow[2].hosts", "policy[1].allow[2].hosts"), ("", "policy[1]")):
            error = self.error({"kind": "other"}, {"kind": "fixed", "where": inner}, maker=Maker(make=make))
            self.assertEqual((error.where, error.problem), (where, "is wrong"))

    def test_maker_fails(self) -> None:
        """A maker that raises anything else is named with the exception's type, never its text."""

        def make(name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
            raise kind(SECRET)

        for kind in (KeyError, SystemExit, KeyboardInterrupt):
            error = self.error({"kind": "fixed", "name": "x"}, maker=Maker(make=make))

            self.assertEqual(error.where, "policy[0]")
            self.assertIn("'x'", error.problem)
            self.assertIn(kind.__name__, error.problem)

    def test_broken_policies(self) -> None:
        """What is no policy, has another name or makes no promise is refused at the start."""
        broken: tuple[tuple[Any, str], ...] = (
            (None, "does not declare IPolicy"),
            (object(), "does not declare IPolicy"),
            (Deaf("fixed"), "decide is missing"),
            (Careless("fixed"), "decide does not take"),
            (HalfDeaf("fixed"), "started is missing, moved is missing"),
            (FixedPolicy("another"), "it bears another name"),
            (FixedPolicy("fixed", pure=cast("bool", "yes")), "`pure`"),
        )
        for policy, problem in broken:

            def make(name: str, settings: Mapping[str, object], host: IHostServices, it: Any = policy) -> Any:
                return it

            error = self.error({"kind": "fixed"}, maker=Maker(make=make))
            self.assertEqual(error.where, "policy[0]")
            self.assertIn(problem, error.problem)

    def test_audit(self) -> None:
        """In audit mode the policy is built and checked the same, and wrapped."""
        (policy,) = self.build({"kind": "fixed", "mode": "audit"})

        self.assertIsInstance(policy, AuditOnly)
        self.assertEqual(policy.name, "fixed")


class BuiltinTests(SynchronousTestCase):
    """The policies that come with egress."""

    def test_kinds(self) -> None:
        """They are found like any other plugin."""
        makers = find_makers(plugins)

        self.assertLessEqual({"destinations", "rate"}, set(makers))

    def test_together(self) -> None:
        """A configuration with both judges as it says."""
        tables: list[dict[str, object]] = [
            {"kind": "rate", "requests_per_minute": 1},
            {"kind": "destinations", "allow": [{"hosts": ["example.com"], "ports": [443]}]},
        ]
        rate, destinations = build_policies(tables, find_makers(plugins), FakeHost())
        harness = PolicyHarness(rate, others=[destinations])
        one, two = make_client("one"), make_client("two")

        self.assertTrue(harness.allows(make_request("https://example.com", client=one)))
        self.assertFalse(harness.allows(make_request("https://example.com", client=one)))
        self.assertFalse(harness.allows(make_request("https://example.org", client=two)))

    def test_rate_in_audit_mode(self) -> None:
        """A rate limit that is tried out lets everything through and says what it would have done."""
        tables = [{"kind": "rate", "mode": "audit", "bytes_per_minute": 1}]
        (policy,) = build_policies(tables, find_makers(plugins), FakeHost())
        assert isinstance(policy, AuditOnly)
        self.assertTrue(IPolicyObserver.providedBy(policy))
        request = make_request("https://example.com")
        policy.started(request, cast("Any", None))

        verdict = policy.moved(request, 100, 100)

        assert verdict is not None
        self.assertEqual(verdict.outcome, Outcome.ABSTAIN)
        self.assertEqual(verdict.reason, "Would have said deny by rule bytes_per_minute: More than 1 byte a minute.")
