"""The public fakes for policies: builders, host, resolver and harness."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.errors import ConfigError, NameNotFound, Refused, ResolverTimeout
from egress.interfaces import IHostServices, IPolicy, IPolicyMaker, IResolver
from egress.model import Client, Outcome, Request, Resolution, Verdict
from egress.testing import (
    FakeHost,
    FakeResolver,
    FixedPolicy,
    PolicyHarness,
    make_authority,
    make_client,
    make_request,
    resolve_to,
)


@implementer(IPolicy)
@define(eq=False)
class Slow:
    """Decides when it is told."""

    pending: Deferred[Verdict]
    name: str = "slow"
    pure: bool = True

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict | Deferred[Verdict]:
        return Verdict(Outcome.ABSTAIN, self.name) if resolution else self.pending


@implementer(IPolicy)
@define(eq=False)
class NoPrivate:
    """Allows every name and denies one address."""

    name: str = "no-private"
    pure: bool = True

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        if resolution and ip_address("10.0.0.1") in resolution.addresses:
            return Verdict(Outcome.DENY, self.name, "private", "It leads to a private address.")
        return Verdict(Outcome.ALLOW, self.name)


@implementer(IPolicy)
@define(eq=False)
class Fickle:
    """Promises to be pure and counts."""

    name: str = "fickle"
    pure: bool = True
    seen: int = 0

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        self.seen += 1
        return Verdict(Outcome.ALLOW if self.seen % 2 else Outcome.DENY, self.name)


@implementer(IPolicyMaker)
class OneHostMaker:
    """Makes a policy that allows one host."""

    kind = "one-host"

    def make_policy(self, name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
        if "host" not in settings:
            raise ConfigError("host", "is missing")
        wanted = str(settings["host"])
        return OneHost(name, wanted)


@implementer(IPolicy)
@define(eq=False)
class OneHost:
    """Allows one host."""

    name: str
    host: str
    pure: bool = True

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        outcome = Outcome.ALLOW if request.authority.host == self.host else Outcome.ABSTAIN
        return Verdict(outcome, self.name)


class RequestTests(SynchronousTestCase):
    """`make_request` and its kin."""

    def test_tunnel(self) -> None:
        """An https URL is the tunnel that a client opens for it."""
        request = make_request("https://Example.COM./secret?q=1")

        self.assertEqual((request.request_form, request.method, request.path), ("connect", "CONNECT", None))
        self.assertEqual(request.authority.text, "example.com:443")

    def test_readable(self) -> None:
        """An http URL is a readable request, without its query."""
        request = make_request("http://example.com/a/b?q=1")

        self.assertEqual((request.request_form, request.method, request.path), ("http", "GET", "/a/b"))
        self.assertEqual(request.authority.text, "example.com:80")

    def test_inside_a_tunnel(self) -> None:
        """An https URL with a method is a readable request in an intercepted tunnel."""
        request = make_request("https://example.com/a", method="POST")

        self.assertEqual((request.request_form, request.method, request.path), ("http", "POST", "/a"))
        self.assertEqual(request.authority.port, 443)

    def test_tunnel_to_any_port(self) -> None:
        """CONNECT makes a tunnel of anything."""
        request = make_request("http://example.com:22/", method="CONNECT")

        self.assertEqual(
            (request.request_form, request.authority.text, request.path), ("connect", "example.com:22", None)
        )

    def test_parts(self) -> None:
        """The parts can be given one by one."""
        request = make_request(host="2001:DB8::1", port=8080, path="/x", labels={"uid:1"}, method="PUT")

        self.assertEqual(request.authority.text, "[2001:db8::1]:8080")
        self.assertEqual(request.authority.address, ip_address("2001:db8::1"))
        self.assertEqual((request.method, request.path, request.client.labels), ("PUT", "/x", frozenset({"uid:1"})))

    def test_ids(self) -> None:
        """Each request is another one."""
        self.assertNotEqual(make_request().id, make_request().id)

    def test_no_url(self) -> None:
        """What is no URL of ours is not taken for one."""
        for url in ("ftp://example.com", "example.com", "http://exa mple/"):
            with self.assertRaises(ValueError):
                make_request(url)

    def test_client(self) -> None:
        """Clients with the same labels are one client, unless they are told apart."""
        self.assertEqual(make_client(labels={"a:1", "b:2"}), make_client(labels={"b:2", "a:1"}))
        self.assertNotEqual(make_client("x").key, make_client("y").key)
        self.assertIsInstance(make_client(), Client)

    def test_values(self) -> None:
        """Authorities are canonical, and resolutions hold addresses without doubles."""
        self.assertEqual(make_authority("0x7f.1", 80).host, "127.0.0.1")
        self.assertEqual(
            resolve_to("192.0.2.1", "192.0.2.2", "192.0.2.1", host="a.example"),
            Resolution("a.example", (ip_address("192.0.2.1"), ip_address("192.0.2.2"))),
        )
        self.assertTrue(resolve_to(host="a.example", is_delegated=True).is_delegated)


class ResolverTests(SynchronousTestCase):
    """`FakeResolver`"""

    def test_contract(self) -> None:
        """Host and resolver provide what they claim."""
        verifyObject(IHostServices, FakeHost())
        verifyObject(IResolver, FakeResolver())

    def test_table(self) -> None:
        """Names are answered from the table, each time with the same object."""
        resolver = FakeResolver({"a.example": "192.0.2.1", "b.example": ["192.0.2.2", "2001:db8::1"]})

        answer = resolver.resolve("b.example")

        self.assertEqual(answer, resolve_to("192.0.2.2", "2001:db8::1", host="b.example"))
        self.assertIs(resolver.resolve("b.example"), answer)
        resolver.answer("b.example", "192.0.2.3")
        self.assertEqual(resolver.resolve("b.example"), resolve_to("192.0.2.3", host="b.example"))
        self.assertEqual(resolver.asked, ["b.example"] * 3)

    def test_errors(self) -> None:
        """A name fails as the table says; one that is not in it does not exist."""
        resolver = FakeResolver({"slow.example": ResolverTimeout("slow")})

        with self.assertRaises(ResolverTimeout):
            resolver.resolve("slow.example")
        with self.assertRaises(NameNotFound):
            resolver.resolve("absent.example")

    def test_literal(self) -> None:
        """An address is its own answer."""
        resolver = FakeResolver()

        self.assertEqual(resolver.resolve("192.0.2.1"), resolve_to("192.0.2.1"))
        self.assertIs(resolver.resolve("192.0.2.1"), resolver.resolve("192.0.2.1"))

    def test_held(self) -> None:
        """Held look-ups wait for their answer, good or bad."""
        resolver = FakeResolver()
        for host in ("a.example", "b.example"):
            resolver.hold(host)
        good, bad, left = (resolver.resolve(host) for host in ("a.example", "b.example", "a.example"))
        assert isinstance(good, Deferred)
        assert isinstance(bad, Deferred)
        assert isinstance(left, Deferred)
        self.assertNoResult(good)

        left.cancel()
        self.failureResultOf(left, CancelledError)
        self.assertEqual(resolver.waiting("a.example"), 1)
        resolver.answer("a.example", "192.0.2.1")
        resolver.answer("b.example", NameNotFound("b.example"))

        self.assertEqual(self.successResultOf(good), resolve_to("192.0.2.1", host="a.example"))
        self.failureResultOf(bad, NameNotFound)
        self.assertEqual(resolver.waiting("a.example"), 0)

    def test_counters(self) -> None:
        """Counters belong to a name and outlive the policy."""
        host = FakeHost()
        host.counters("a")["x"] = 1.0

        self.assertEqual((host.counters("a"), host.counters("b")), ({"x": 1.0}, {}))


class HarnessTests(SynchronousTestCase):
    """`PolicyHarness`"""

    def refusal(self, harness: PolicyHarness, request: Request | str) -> Refused:
        refused = harness.judge(request)
        assert isinstance(refused, Refused)
        return refused

    def test_maker(self) -> None:
        """A plugin is built as at the supervisor's start, from its own table."""
        harness = PolicyHarness(OneHostMaker(), {"host": "example.com"})

        self.assertTrue(harness.allows("https://example.com"))
        self.assertEqual(self.refusal(harness, "https://example.org").code, "no_rule")
        self.assertEqual(harness.policy.name, "one-host")

    def test_maker_refuses(self) -> None:
        """So are its complaints."""
        with self.assertRaises(ConfigError) as caught:
            PolicyHarness(OneHostMaker(), {})

        self.assertEqual(caught.exception.where, "policy[0].host")

    def test_name_and_mode(self) -> None:
        """The table may hold name and mode."""
        harness = PolicyHarness(OneHostMaker(), {"host": "a.example", "name": "mine", "mode": "audit"})

        refused = self.refusal(harness, "https://a.example")

        self.assertEqual((refused.policy, refused.reason), ("mine", "Would have allowed."))

    def test_neither(self) -> None:
        """What is neither plugin nor policy is a mistake in the test."""
        with self.assertRaises(AssertionError):
            PolicyHarness(object())  # type: ignore[arg-type]

    def test_second_round(self) -> None:
        """The addresses are judged too, and a literal is its own address."""
        harness = PolicyHarness(NoPrivate())

        self.assertTrue(harness.allows("https://a.example"))
        self.assertFalse(harness.allows("https://a.example", addresses=["192.0.2.1", "10.0.0.1"]))
        self.assertFalse(harness.allows("https://10.0.0.1"))

    def test_second_round_cannot_allow(self) -> None:
        """What nothing allows by name is never asked about by address."""
        quiet = FixedPolicy(outcome=Outcome.ABSTAIN)

        self.assertFalse(PolicyHarness(quiet).allows("https://a.example"))

        self.assertEqual([resolution for _, resolution in quiet.asked], [None])

    def test_others(self) -> None:
        """A policy that only denies is judged beside one that allows; the first DENY ends it."""
        allow = FixedPolicy("rest")
        harness = PolicyHarness(FixedPolicy("never", Outcome.DENY, reason="Never."), others=[allow])

        refused = self.refusal(harness, "https://a.example")

        self.assertEqual((refused.code, refused.policy, refused.reason), ("denied", "never", "Never."))
        self.assertEqual(allow.asked, [])

    def test_ask(self) -> None:
        """Nobody answers an ASK here."""
        harness = PolicyHarness(FixedPolicy(outcome=Outcome.ASK), others=[FixedPolicy("rest")])

        self.assertEqual(self.refusal(harness, "https://a.example").code, "approval_unavailable")

    def test_slow(self) -> None:
        """A policy that takes its time is judged when it has decided."""
        pending: Deferred[Verdict] = Deferred()
        judging = PolicyHarness(Slow(pending)).begin("https://a.example")
        self.assertNoResult(judging)

        pending.callback(Verdict(Outcome.ALLOW, "slow"))

        self.assertEqual(self.successResultOf(judging), Verdict(Outcome.ALLOW, "slow"))

    def test_too_slow(self) -> None:
        """At its deadline it is refused."""
        harness = PolicyHarness(Slow(Deferred()), policy_seconds=3)
        judging = harness.begin("https://a.example")

        harness.host.clock.advance(3)

        refused = self.successResultOf(judging)
        assert isinstance(refused, Refused)
        self.assertEqual((refused.code, refused.reason), ("policy_failed", "The policy was late."))

    def test_undecided(self) -> None:
        """`judge` does not wait."""
        with self.assertRaises(AssertionError):
            PolicyHarness(Slow(Deferred())).judge("https://a.example")

    def test_pure(self) -> None:
        """A kept promise passes; a broken one, and none, do not."""
        PolicyHarness(NoPrivate()).assert_pure("https://a.example", make_request("http://b.example/x"))
        for policy in (Fickle(), FixedPolicy(pure=False), Slow(Deferred())):
            with self.assertRaises(AssertionError):
                PolicyHarness(policy).assert_pure("https://a.example")
