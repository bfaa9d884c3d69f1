"""Name resolution, and names that are delegated to an upstream proxy."""

from __future__ import annotations

from ipaddress import ip_network

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import NameNotFound, Refused, ResolverBusy, ResolverFailed, ResolverTimeout, TooManyLookups
from egress.gate.eager import is_pending, run_eagerly
from egress.gate.name_resolution import NameResolution, is_by_name
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.model import Authority, Hop, Outcome, Request, Resolution, RoutePlan, Verdict
from egress.policy.guard import Guard, GuardSettings
from egress.testing import FakeResolver, make_authority, make_request, resolve_to
from tests.gate.support import PlanSelector, refusal_of

HOST, ADDRESS, FAR = "a.example", "93.184.216.34", "93.184.216.35"
DIRECT = RoutePlan("direct", "none")
THROUGH = RoutePlan("corp", "system", hops=(Hop("corp", "http", make_authority("proxy.example", 8080)),))
EXACT = Verdict(Outcome.ALLOW, "rules", "exact", pattern=HOST)
WIDE = Verdict(Outcome.ALLOW, "rules", "wide", pattern="*.example")
OPENS = Verdict(Outcome.ALLOW, "rules", "opens", pattern=HOST, admits=(ip_network("10.0.0.0/8"),))


class ListedSelector(PlanSelector):
    """Delegates one name."""

    def delegates(self, plan: RoutePlan, host: str) -> bool:
        """Delegate it."""
        return host == "listed.example"


class ResolutionCase(SynchronousTestCase):
    """Arranges a snapshot whose routes lead through one proxy."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.names = NameResolution(self.clock, 60.0)
        self.resolver = FakeResolver({HOST: ADDRESS})
        own = OwnAddresses((("127.0.0.1", 3128),), (make_authority("proxy.example", 8080),), local=lambda _: False)
        guard, selector = Guard(GuardSettings()), ListedSelector(THROUGH)
        self.hop_resolver = FakeResolver()
        self.snapshot = Snapshot(1, (), guard, self.resolver, self.hop_resolver, selector, None, own, None)  # type: ignore[arg-type]

    def resolve(
        self,
        plan: RoutePlan = THROUGH,
        allowed: Verdict = EXACT,
        request: Request | None = None,
        started: Resolution | Deferred[Resolution] | None = None,
    ) -> Resolution | Deferred[Resolution]:
        """Resolve the name of a request."""
        request = request or make_request(f"http://{HOST}/")
        return run_eagerly(self.names.resolve(self.snapshot, request, plan, allowed, started))


class Resolving(ResolutionCase):
    """`resolve`."""

    def test_known(self) -> None:
        """A name is looked up once, whatever the route."""
        for plan in (DIRECT, THROUGH, evolve(THROUGH, dns="pinned")):
            with self.subTest(plan.label):
                self.assertEqual(resolve_to(ADDRESS, host=HOST), self.resolve(plan))
        self.assertEqual([HOST] * 3, self.resolver.asked)

    def test_share(self) -> None:
        """The look-up counts for the client that asks, and the look-up of a delegated name too."""
        request = make_request(f"http://{HOST}/", listener="agents")
        self.resolve(request=request)
        self.resolver.answer(HOST, NameNotFound("gone"))
        self.names = NameResolution(self.clock, 60.0)
        self.resolve(request=request)
        self.clock.advance(60)
        self.resolve(request=request)

        self.assertEqual([request.client.key] * 3, self.resolver.clients)

    def test_reasons(self) -> None:
        """Each failure of the resolver has a reason of its own in the refusal, with the code's title at least."""
        for error, code, reason in (
            (NameNotFound("the host name has no address"), "name_not_found", "The host name has no address."),
            (ResolverFailed("the name servers refused"), "resolver_failed", "The name servers refused."),
            (ResolverTimeout(), "resolver_timeout", "Name resolution timed out."),
            (ResolverBusy("too many wait"), "resolver_busy", "Too many wait."),
            (TooManyLookups("too many of yours wait"), "too_many_lookups", "Too many of yours wait."),
        ):
            self.resolver.answer(HOST, error)
            refused = refusal_of(lambda: self.resolve(DIRECT))

            self.assertEqual((code, reason), (refused.code, refused.reason))

    def test_remote(self) -> None:
        """With `dns = "remote"` a name is never looked up here, and a literal address is its own answer."""
        plan = evolve(THROUGH, dns="remote")

        self.assertEqual(Resolution(HOST, (), is_delegated=True), self.resolve(plan))
        self.assertEqual([], self.resolver.asked)
        literal = self.resolve(plan, request=make_request(f"http://{ADDRESS}/"))
        self.assertEqual(resolve_to(ADDRESS), literal)

    def test_remote_with_addresses(self) -> None:
        """A rule that opens addresses cannot be used where nobody here can judge them."""
        refused = refusal_of(lambda: self.resolve(evolve(THROUGH, dns="remote"), OPENS))

        self.assertEqual(("route_refused", "rules", "opens"), (refused.code, refused.policy, refused.rule))

    def test_who_may_be_delegated(self) -> None:
        """A name that fails is left to the proxy where a rule names it or the upstream lists it, else refused."""
        listed = make_request("http://listed.example/")
        unlisted = make_request("http://b.example/")
        for plan, allowed, request, is_delegated in (
            (THROUGH, EXACT, None, True),
            (THROUGH, WIDE, listed, True),
            (THROUGH, WIDE, unlisted, False),
            (THROUGH, OPENS, None, False),
            (evolve(THROUGH, dns="pinned"), EXACT, None, False),
            (DIRECT, EXACT, None, False),
        ):
            with self.subTest(f"{plan.label} {plan.dns} {allowed.rule} {request}"):
                self.setUp()
                self.resolver.answer(HOST, NameNotFound("gone"))
                if is_delegated:
                    found = self.resolve(plan, allowed, request)
                    assert isinstance(found, Resolution)
                    self.assertTrue(found.is_delegated)
                    continue
                with self.assertRaises(Refused) as caught:
                    self.resolve(plan, allowed, request)
                refused = caught.exception
                self.assertEqual(
                    ("name_not_found", "rules", allowed.rule), (refused.code, refused.policy, refused.rule)
                )
                is_told = plan.dns == "auto" and bool(plan.hops)
                self.assertEqual(is_told, "`delegate`" in refused.reason)

    def test_delegated_is_not_asked_again(self) -> None:
        """The next request for a delegated name does not wait for the resolver."""
        self.resolver.answer(HOST, NameNotFound("gone"))
        first = self.resolve()

        self.assertIs(first, self.resolve())

        self.assertEqual([HOST], self.resolver.asked)

    def test_resolved_a_moment_ago(self) -> None:
        """A name that resolved a short while ago is not delegated because it fails now."""
        self.resolve()
        self.resolver.answer(HOST, ResolverTimeout("late"))

        self.assertEqual("resolver_timeout", refusal_of(self.resolve).code)

    def test_wait_is_measured(self) -> None:
        """The wait for the resolver is a phase of the request, also where it fails."""
        for answer in (ADDRESS, ResolverTimeout("late")):
            with self.subTest(answer):
                self.setUp()
                self.resolver.hold(HOST)
                request = make_request(f"http://{HOST}/")
                found = self.resolve(DIRECT, request=request)
                assert is_pending(found)

                self.clock.advance(0.25)
                self.resolver.answer(HOST, answer)

                self.assertEqual(250.0, request.phases.resolve)
                if isinstance(answer, str):
                    self.successResultOf(found)
                else:
                    self.failureResultOf(found, Refused)

    def test_asked_already(self) -> None:
        """An answer that was asked for before is used, and the resolver is not asked."""
        given = resolve_to(FAR, host=HOST)

        self.assertIs(given, self.resolve(started=given))
        self.assertEqual([], self.resolver.asked)


class OwnDestinations(ResolutionCase):
    """`refuse_own`."""

    def refuse(self, authority: Authority, resolution: Resolution, allowed: Verdict = EXACT) -> None:
        """Judge a destination."""
        run_eagerly(self.names.refuse_own(self.snapshot, authority, resolution, allowed))

    def test_table(self) -> None:
        """What leads to a listener or to the proxy is refused; on the proxy's port its name is looked up for that."""
        self.hop_resolver.answer("proxy.example", FAR)
        delegated = Resolution(HOST, (), is_delegated=True)
        for port, resolution, allowed, code in (
            (3128, resolve_to("127.0.0.1"), EXACT, "own_address"),
            (8080, resolve_to(FAR), EXACT, "own_address"),
            (80, resolve_to(FAR), EXACT, ""),
            (8080, resolve_to(ADDRESS), EXACT, ""),
            (8080, delegated, WIDE, "own_address"),
            (8080, delegated, EXACT, ""),
            (80, delegated, WIDE, ""),
        ):
            with self.subTest(f"{port} {resolution} {allowed.rule}"):
                authority = make_authority(HOST, port)
                if code:
                    refused = refusal_of(lambda: self.refuse(authority, resolution, allowed))  # noqa: B023  # called now
                    self.assertEqual(code, refused.code)
                else:
                    self.refuse(authority, resolution, allowed)

    def test_proxy_that_does_not_resolve(self) -> None:
        """Each destination on the port of a proxy that never resolved is refused, for it could be the proxy."""
        authority = make_authority(HOST, 8080)

        self.assertEqual("resolver_failed", refusal_of(lambda: self.refuse(authority, resolve_to(ADDRESS))).code)
        self.refuse(make_authority(HOST, 80), resolve_to(ADDRESS))

    def test_proxy_that_resolves_no_more(self) -> None:
        """Earlier addresses of the proxy stay known."""
        authority = make_authority(HOST, 8080)
        self.hop_resolver.answer("proxy.example", FAR)
        self.refuse(authority, resolve_to(ADDRESS))
        self.hop_resolver.answer("proxy.example", NameNotFound("gone"))

        self.refuse(authority, resolve_to(ADDRESS))
        self.assertEqual("own_address", refusal_of(lambda: self.refuse(authority, resolve_to(FAR))).code)


class ByName(SynchronousTestCase):
    """`is_by_name`."""

    def test_table(self) -> None:
        """The proxy gets the name where its rule leaves no room for another one and opens no addresses."""
        for plan, allowed, expected in (
            (THROUGH, EXACT, True),
            (THROUGH, WIDE, False),
            (THROUGH, OPENS, False),
            (evolve(THROUGH, dns="pinned"), EXACT, False),
        ):
            with self.subTest(f"{plan.dns} {allowed.rule}"):
                self.assertEqual(expected, is_by_name(plan, allowed))
