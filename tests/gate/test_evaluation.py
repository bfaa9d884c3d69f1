"""The list of checks: one for admit, admit_again, explain and requests inside a tunnel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.errors import Refused
from egress.gate.decision_cache import DecisionCache
from egress.gate.evaluation import CHECKS
from egress.gate.explanation import Explanation
from egress.gate.gate import Gate
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.interfaces import IPolicy
from egress.model import Admission, Hop, Outcome, Request, Resolution, RoutePlan, Verdict
from egress.policy.destinations import make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.testing import FakeHost, FakeResolver, FixedPolicy, make_authority, make_request
from tests.gate.support import PlanSelector, refusal_of

ADDRESS = "93.184.216.34"
PROXY = make_authority("198.51.100.7", 8080)
THROUGH_PROXY = RoutePlan("corp", "system", hops=(Hop("corp", "http", PROXY),))
DIRECT = RoutePlan("direct", "none")
EVERYTHING = {"allow": [{"name": "any", "hosts": ["**"], "ports": ["1-65535"], "addresses": ["127.0.0.0/8"]}]}


@implementer(IPolicy)
class ByAddress:
    """Denies one address."""

    name = "by-address"
    pure = True

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Deny 192.0.2.66."""
        is_denied = resolution is not None and ip_address("192.0.2.66") in resolution.addresses
        return Verdict(Outcome.DENY if is_denied else Outcome.ABSTAIN, self.name)


def make_gate(
    *policies: IPolicy, plan: RoutePlan = DIRECT, sockets: Sequence[tuple[str, int]] = (), resolver: Any = None
) -> Gate:
    """Make a gate around one plan."""
    own = OwnAddresses(tuple(sockets), tuple(hop.authority for hop in plan.hops), local=lambda _: True)
    known = resolver or FakeResolver({"a.example": ADDRESS, "local.example": "127.0.0.1", "bad.example": "192.0.2.66"})
    guard, selector = Guard(GuardSettings()), PlanSelector(plan)
    snapshot = Snapshot(1, policies, guard, known, known, selector, None, own, None)  # type: ignore[arg-type]
    return Gate(snapshot, Clock(), 5.0)


def admitted(gate: Gate, url: str, **more: Any) -> Admission:
    """Assert that a request is admitted at once."""
    admission = gate.admit(make_request(url, **more))
    assert isinstance(admission, Admission)
    return admission


class EveryCaller(SynchronousTestCase):
    """Each check refuses in each of the four uses of the list."""

    def callers(self, url: str, gate: Gate) -> dict[str, Callable[[], Any]]:
        """Give the four uses for one request, as if a configuration without the fault had admitted it before."""
        request = make_request(url)
        authority = request.authority
        addresses = (authority.address,) if authority.address is not None else None
        resolution = gate.snapshot.resolver.resolve(authority.host)
        assert isinstance(resolution, Resolution) and addresses in (None, resolution.addresses)
        selector = gate.snapshot.selector
        plan, route = selector.settle(selector.plan, resolution, authority.port)  # type: ignore[attr-defined]
        before = Admission(Verdict(Outcome.ALLOW, "old"), (), plan, route, resolution, 0, authority)
        return {
            "admit": lambda: gate.admit(make_request(url)),
            "admit within": lambda: gate.admit(make_request(url), within=before),
            "admit_again": lambda: gate.admit_again(make_request(url), before, ""),
            "explain": lambda: gate.explain(make_request(url, is_dry_run=True)),
        }

    def assert_refused(self, code: str, url: str, gate: Gate) -> None:
        """Assert that all four refuse with this code."""
        for name, call in self.callers(url, gate).items():
            with self.subTest(name):
                gate.snapshot.decisions = DecisionCache()
                self.assertEqual(code, refusal_of(call).code)

    def rules(self, **more: Any) -> IPolicy:
        """Make rules that allow everything."""
        return make_destinations("rules", {**EVERYTHING, **more}, FakeHost())

    def test_own_listener(self) -> None:
        """A listener of the proxy is refused as a destination."""
        self.assert_refused("own_address", "http://127.0.0.1:3128/", make_gate(self.rules(), sockets=[("::", 3128)]))

    def test_own_listener_by_name(self) -> None:
        """A name that leads to a listener of the proxy is refused."""
        gate = make_gate(self.rules(), sockets=[("127.0.0.1", 3128)])

        self.assert_refused("own_address", "http://local.example:3128/", gate)

    def test_upstream_proxy(self) -> None:
        """An upstream proxy is refused as a destination."""
        gate = make_gate(self.rules(), plan=THROUGH_PROXY)

        self.assert_refused("own_address", "http://198.51.100.7:8080/", gate)

    def test_this_machine_of_the_upstream_proxy(self) -> None:
        """Loopback on the port of an upstream proxy is that proxy itself, so it is refused on a route through it."""
        gate = make_gate(self.rules(), plan=THROUGH_PROXY)

        self.assert_refused("own_address", "http://127.0.0.1:8080/", gate)
        self.assert_refused("own_address", "http://local.example:8080/", gate)

    def test_this_machine_on_another_port(self) -> None:
        """Loopback on any other port is no proxy: the check is for the proxy's own port."""
        gate = make_gate(self.rules(), plan=THROUGH_PROXY)

        for name, call in self.callers("http://local.example:8081/", gate).items():
            with self.subTest(name):
                result = call()
                admission = result.admission if isinstance(result, Explanation) else result
                assert isinstance(admission, Admission)
                self.assertEqual("corp", admission.route.upstream)

    def test_policy_by_name(self) -> None:
        """No rule allows it."""
        self.assert_refused("no_rule", "http://a.example/", make_gate(FixedPolicy(outcome=Outcome.ABSTAIN)))

    def test_policy_by_address(self) -> None:
        """A policy denies the address."""
        everything = make_destinations(
            "rules", {"allow": [{"hosts": ["**"], "addresses": ["192.0.2.0/24"]}]}, FakeHost()
        )

        self.assert_refused("denied", "http://bad.example/", make_gate(everything, ByAddress()))

    def test_selector(self) -> None:
        """A route forbids the request."""
        gate = make_gate(self.rules())
        for name, call in self.callers("http://a.example/", gate).items():
            with self.subTest(name):
                gate.snapshot.decisions = DecisionCache()
                gate.snapshot.selector.refused = Refused("route_refused", "no")  # type: ignore[attr-defined]
                self.assertEqual("route_refused", refusal_of(call).code)

    def test_guard_by_name(self) -> None:
        """The SSRF guard refuses the name."""
        gate = make_gate(self.rules(), resolver=FakeResolver({"localhost": "127.0.0.1"}))

        self.assert_refused("name_refused", "http://localhost/", gate)

    def test_guard_by_address(self) -> None:
        """The SSRF guard refuses the address."""
        self.assert_refused("address_refused", "http://bad.example/", make_gate(self.rules()))

    def test_ask(self) -> None:
        """A policy asks for an approval."""
        self.assert_refused("approval_unavailable", "http://a.example/", make_gate(FixedPolicy(outcome=Outcome.ASK)))

    def test_order(self) -> None:
        """The order of the checks is that of the design."""
        names = [check.__name__ for check in CHECKS]

        self.assertEqual(
            [
                "_refuse_own_destination",
                "_ask_policies_by_name",
                "_select_plan",
                "_guard_name",
                "_resolve_name",
                "_refuse_own_addresses",
                "_guard_addresses",
                "_ask_policies_by_address",
                "_settle_route",
            ],
            names,
        )


class Within(SynchronousTestCase):
    """Requests inside an intercepted tunnel."""

    def test_route_and_addresses_are_those_of_the_tunnel(self) -> None:
        """The name is not looked up again, and the route stays, though the resolver now gives another address."""
        resolver = FakeResolver({"a.example": ADDRESS})
        gate = make_gate(FixedPolicy(), resolver=resolver)
        tunnel = admitted(gate, "https://a.example/", method="CONNECT", path=None)
        resolver.answer("a.example", "127.0.0.1")
        asked = len(resolver.asked)

        inner = gate.admit(make_request("https://a.example/path", method="GET"), within=tunnel)

        assert isinstance(inner, Admission)
        self.assertEqual((tunnel.route, tunnel.resolution), (inner.route, inner.resolution))
        self.assertIs(tunnel.plan, inner.plan)
        self.assertEqual(asked, len(resolver.asked))

    def test_another_authority_is_refused(self) -> None:
        """A request for another host, or another port, is refused before any policy is asked."""
        policy = FixedPolicy()
        gate = make_gate(policy)
        tunnel = admitted(gate, "https://a.example/")
        asked = len(policy.asked)

        for url in ("https://b.example/", "https://a.example:8443/"):
            with self.assertRaises(Refused) as raised:
                gate.admit(make_request(url), within=tunnel)
            self.assertEqual("authority_mismatch", raised.exception.code)
        self.assertEqual(asked, len(policy.asked))

    def test_policies_judge_method_and_path(self) -> None:
        """What a rule says of method and path holds inside the tunnel."""
        rules = {
            "opaque": "allow",
            "allow": [{"hosts": ["a.example"], "ports": [443], "methods": ["GET"], "paths": ["/open/*"]}],
        }
        gate = make_gate(make_destinations("rules", rules, FakeHost()))
        tunnel = admitted(gate, "https://a.example/", method="CONNECT", path=None)

        def code(url: str, method: str) -> str:
            try:
                gate.admit(make_request(url, method=method), within=tunnel)
            except Refused as refused:
                return refused.code
            return ""

        self.assertEqual("", code("https://a.example/open/x", "GET"))
        self.assertEqual("no_rule", code("https://a.example/open/x", "POST"))
        self.assertEqual("no_rule", code("https://a.example/closed", "GET"))

    def test_nothing_of_the_tunnel_is_remembered_for_others(self) -> None:
        """An admission within a tunnel is not given to a request outside of it."""
        resolver = FakeResolver({"a.example": ADDRESS})
        gate = make_gate(FixedPolicy(), resolver=resolver)
        tunnel = admitted(gate, "https://a.example/")
        resolver.answer("a.example", "8.8.8.8")
        inner = gate.admit(make_request("https://a.example/path"), within=tunnel)

        outer = gate.admit(make_request("https://a.example/path"))

        assert isinstance(inner, Admission) and isinstance(outer, Admission)
        self.assertEqual((ADDRESS,), inner.route.texts)
        self.assertEqual(("8.8.8.8",), outer.route.texts)


class Keys(SynchronousTestCase):
    """What tells remembered decisions apart."""

    def test_request_form(self) -> None:
        """A request of another form is judged anew: the selector may send it by another route."""
        policy = FixedPolicy()
        gate = make_gate(policy)
        for form in ("http", "inner", "http", "inner"):
            request = make_request("http://a.example/")
            request.request_form = form
            gate.admit(request)

        self.assertEqual(4, len(policy.asked))


class Again(SynchronousTestCase):
    """The evaluation anew after a reload."""

    def test_only_the_dialled_address_is_judged(self) -> None:
        """On a direct route the address in use counts, and the whole resolution stays with the request."""
        resolver = FakeResolver({"two.example": [ADDRESS, "192.0.2.66"]})
        allow = {"allow": [{"hosts": ["two.example"], "addresses": ["192.0.2.0/24"]}]}
        gate = make_gate(make_destinations("rules", allow, FakeHost()), resolver=resolver)
        before = admitted(gate, "http://two.example/")
        gate.snapshot = evolve_policies(gate.snapshot, (FixedPolicy(), ByAddress()))

        again = gate.admit_again(make_request("http://two.example/"), before, ADDRESS)

        assert isinstance(again, Admission)
        self.assertIs(before.resolution, again.resolution)
        with self.assertRaises(Refused):
            gate.admit_again(make_request("http://two.example/"), before, "192.0.2.66")


def evolve_policies(snapshot: Snapshot, policies: tuple[IPolicy, ...]) -> Snapshot:
    """Make the next generation with other policies."""
    return Snapshot(
        snapshot.generation + 1,
        policies,
        snapshot.guard,
        snapshot.resolver,
        snapshot.hop_resolver,
        snapshot.selector,
        snapshot.agent,
        snapshot.own,
        snapshot.proxies,
    )


class NamesThatFail(SynchronousTestCase):
    """A name that does not resolve."""

    def test_policy_and_rule_are_kept(self) -> None:
        """The refusal tells which rule had allowed the name, and what every policy said."""
        rules = {"allow": [{"name": "github", "hosts": ["gone.example"]}]}
        gate = make_gate(make_destinations("rules", rules, FakeHost()))

        refused = refusal_of(lambda: gate.admit(make_request("http://gone.example/")))

        self.assertEqual(("name_not_found", "rules", "github"), (refused.code, refused.policy, refused.rule))
        self.assertEqual(1, len(refused.verdicts))


HOSTS = st.sampled_from(["a.example", "b.example", "127.0.0.1", "gone.example"])
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), HOSTS, st.sampled_from([80, 81]), st.sampled_from(["/", "/x"])),
        st.tuples(
            st.just("answer"), st.sampled_from(["a.example", "b.example"]), st.sampled_from([ADDRESS, "10.0.0.1"])
        ),
    ),
    max_size=20,
)


class FastPath(SynchronousTestCase):
    """The decisions that are remembered are those that would be made."""

    @settings(max_examples=60, deadline=None)
    @given(ACTIONS, st.booleans())
    def test_remembering_changes_no_decision(self, actions: list[Any], has_impure: bool) -> None:
        """A gate that remembers admits and refuses as one that starts anew with each request."""
        table = {"a.example": ADDRESS, "b.example": ADDRESS}
        rules = {"allow": [{"hosts": ["**"], "ports": [80], "paths": ["/"]}, {"hosts": ["a.example"]}]}
        policies: tuple[IPolicy, ...] = (make_destinations("rules", rules, FakeHost()),)
        if has_impure:
            policies += (FixedPolicy("impure", Outcome.ABSTAIN, pure=False),)
        resolvers = FakeResolver(dict(table)), FakeResolver(dict(table))
        fast, slow = (make_gate(*policies, resolver=resolver) for resolver in resolvers)
        for action, host, *more in actions:
            if action == "answer":
                for resolver in resolvers:
                    resolver.answer(host, more[0])
                continue
            slow.snapshot.decisions = DecisionCache()
            url = f"http://{host}:{more[0]}{more[1]}"
            results = [self.result(gate, url) for gate in (fast, slow)]
            self.assertEqual(results[1], results[0], url)

    def result(self, gate: Gate, url: str) -> tuple[Any, ...]:
        """Give what a gate decides, comparable."""
        try:
            admission = gate.admit(make_request(url))
        except Refused as refused:
            return refused.code, refused.reason, refused.policy, refused.rule
        assert isinstance(admission, Admission)
        return admission.verdict, admission.verdicts, admission.route, admission.authority
