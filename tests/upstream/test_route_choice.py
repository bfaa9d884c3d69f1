"""A plan, and the direct plans that replace it."""

from __future__ import annotations

from ipaddress import ip_address

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import Refused
from egress.match import HostIndex, parse_host
from egress.model import Authority, Hop, Resolution, Route, RoutePlan
from egress.upstream.no_proxy import NoProxy
from egress.upstream.route_choice import DIRECT_REFUSED, RefusedRoute, RouteChoice, settle
from tests.upstream.ends import place

HOPS = (Hop("corp", "http", place("proxy.corp.example", 3128)),)
PLAN = RoutePlan("corp", "system", hops=HOPS, source="routing.default")
BY_NAME = RoutePlan("direct", "system", bypassed="corp", source="by name")
BY_ADDRESS = RoutePlan("direct", "system", bypassed="corp", source="by address")
NO_PROXY = NoProxy.parse(".inner.example, named.example:8443, 10.0.0.0/8", "no_proxy")
PUBLIC, PRIVATE, OTHER = map(ip_address, ("192.0.2.1", "10.0.0.1", "10.0.0.2"))


def resolved(*addresses: object, is_delegated: bool = False) -> Resolution:
    """Give the addresses of a name."""
    return Resolution("a.example", tuple(addresses), is_delegated)  # type: ignore[arg-type]


class RouteChoiceTests(SynchronousTestCase):
    """`RouteChoice`."""

    def setUp(self) -> None:
        self.choice = RouteChoice(PLAN, NO_PROXY, BY_NAME, BY_ADDRESS)

    def test_delegates(self) -> None:
        """Only names of the list are delegated, and none without a list."""
        delegate = HostIndex([(parse_host("**.far.example"), None)])

        self.assertTrue(RouteChoice(PLAN, delegate=delegate).delegates("a.far.example"))
        self.assertFalse(RouteChoice(PLAN, delegate=delegate).delegates("far.example"))
        self.assertFalse(self.choice.delegates("a.far.example"))

    def test_by_name(self) -> None:
        """A name that NO_PROXY lists for the port has the direct plan by name; every other has the plan."""
        for host, port, plan in (
            ("a.inner.example", 443, BY_NAME),
            ("named.example", 8443, BY_NAME),
            ("named.example", 443, PLAN),
            ("a.example", 443, PLAN),
        ):
            self.assertIs(plan, self.choice.plan_by_name(Authority(host, port)), host)
        self.assertIs(PLAN, RouteChoice(PLAN).plan_by_name(Authority("a.inner.example", 443)))

    def test_settle(self) -> None:
        """Addresses that NO_PROXY does not list are reached through the plan, all of them."""
        for resolution in (resolved(PUBLIC), resolved()):
            self.assertEqual(
                (PLAN, Route("corp", HOPS, resolution.addresses)), self.choice.settle(resolution, 443, by_name=False)
            )

    def test_settle_by_address(self) -> None:
        """The addresses that NO_PROXY lists are dialled directly, and the other addresses are not dialled."""
        plan, route = self.choice.settle(resolved(PRIVATE, PUBLIC, OTHER), 443, by_name=True)

        self.assertIs(BY_ADDRESS, plan)
        self.assertEqual(Route("direct", (), (PRIVATE, OTHER)), route)

    def test_settle_without_no_proxy(self) -> None:
        """Without a list, every address is reached through the plan."""
        choice = RouteChoice(PLAN, None, BY_NAME, BY_ADDRESS)

        self.assertEqual((PLAN, Route("corp", HOPS, (PRIVATE,), True)), choice.settle(resolved(PRIVATE), 443, True))

    def test_direct_is_refused(self) -> None:
        """Where direct routes are forbidden, what NO_PROXY lists is refused, with the level and setting of the plan."""
        by_name = RouteChoice(PLAN, NO_PROXY, None, BY_ADDRESS)
        by_address = RouteChoice(PLAN, NO_PROXY, BY_NAME, None)
        for call in (
            lambda: by_name.plan_by_name(Authority("a.inner.example", 443)),
            lambda: by_address.settle(resolved(PUBLIC, PRIVATE), 443, by_name=False),
        ):
            refused = self.assertRaises(Refused, call)
            self.assertEqual("direct_refused", refused.code)
            self.assertEqual(("system", "routing.default"), (refused.upstream_level, refused.upstream_source))
        self.assertIs(PLAN, by_name.plan_by_name(Authority("a.example", 443)))
        self.assertIs(PLAN, by_address.settle(resolved(PUBLIC), 443, by_name=False)[0])


class SettleTests(SynchronousTestCase):
    """`settle`."""

    def test_by_name(self) -> None:
        """The last proxy gets the name where the plan asks for that, or where there are no addresses."""
        for by_name, resolution, is_named in (
            (False, resolved(PUBLIC), False),
            (True, resolved(PUBLIC), True),
            (False, resolved(is_delegated=True), True),
        ):
            expected = Route("corp", HOPS, resolution.addresses, is_named)
            self.assertEqual((PLAN, expected), settle(PLAN, resolution, by_name))

    def test_direct(self) -> None:
        """A direct route has no proxy that could resolve a name."""
        _, route = settle(BY_NAME, resolved(PUBLIC), True)

        self.assertEqual(Route("direct", (), (PUBLIC,), by_name=False), route)


class RefusedRouteTests(SynchronousTestCase):
    """`RefusedRoute`."""

    def test_refusal(self) -> None:
        """A refusal has every fact of the route, and each request has a refusal of its own."""
        refused = RefusedRoute("route_refused", "No.", "a", "refused", 'route "a"')

        one, other = refused.refusal(), refused.refusal()

        self.assertIsNot(one, other)
        self.assertEqual(
            ("route_refused", "No.", "a", "refused", 'route "a"'),
            (one.code, one.reason, one.rule, one.upstream_level, one.upstream_source),
        )

    def test_direct(self) -> None:
        """The refusal of a direct connection has no level before a plan is known."""
        refusal = evolve(DIRECT_REFUSED, level="system").refusal()

        self.assertEqual(("direct_refused", "system", ""), (refusal.code, refusal.upstream_level, refusal.rule))
        self.assertEqual(("", ""), (DIRECT_REFUSED.level, DIRECT_REFUSED.source))
