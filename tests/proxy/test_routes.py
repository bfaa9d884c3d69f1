"""Whole dialogues on routes with proxies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from zope.interface import implementer

from egress.config import structure
from egress.errors import NameNotFound, ResolverBusy, ResolverTimeout, TooManyLookups
from egress.gate.own_addresses import OwnAddresses
from egress.interfaces import ICredentialSource
from egress.testing.peers import NetworkPeer, Origin
from egress.upstream import (
    RouteSettings,
    RoutingSettings,
    TunnelingAgent,
    UpstreamSelector,
    UpstreamSettings,
    make_plain_upstream,
    make_upstream,
    read_environment,
)
from tests.proxy.support import ADDRESS, OTHER, RULES, ServerCase
from tests.upstream.forward_proxy import ForwardProxy

PROXY = "198.18.0.9"
SECOND = "198.18.0.10"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
GET = b"GET http://origin.example/page?q=1 HTTP/1.1\r\nHost: origin.example\r\n\r\n"


@implementer(ICredentialSource)
@define(eq=False)
class ChangingCredentials:
    """Credentials that a test changes."""

    value: bytes

    def authorization(self) -> bytes:
        """Give the present value."""
        return self.value


class RouteCase(ServerCase):
    """Arranges a proxy at `PROXY`, which everything goes through unless a test says otherwise."""

    environ: dict[str, str] = {"HTTPS_PROXY": f"http://user:pass@{PROXY}:3128"}  # noqa: RUF012  # replaced, not changed
    upstreams: list[dict[str, Any]] = []  # noqa: RUF012
    routes: list[dict[str, Any]] = []  # noqa: RUF012
    routing: dict[str, Any] = {}  # noqa: RUF012
    via = ""

    def selector(self) -> UpstreamSelector:
        self.upstream_selector = UpstreamSelector(
            tuple(structure(UpstreamSettings, table) for table in self.upstreams),
            tuple(structure(RouteSettings, table) for table in self.routes),
            structure(RoutingSettings, self.routing),
            read_environment(self.environ),
            {"agents": self.via},
        )
        return self.upstream_selector

    def agent(self, own: OwnAddresses) -> TunnelingAgent:
        environment = self.upstream_selector.environment
        upstreams = self.proxies = {
            each.name: make_upstream(each, self.network.clock, None) for each in self.upstream_selector.upstreams
        }
        for proxy in environment.proxies:
            upstreams[proxy.variable] = make_plain_upstream(proxy.variable, proxy.address, proxy.variable)
        limits = self.limits
        return TunnelingAgent(
            self.network.reactor,
            limits.dial_seconds_per_address,
            limits.dial_seconds,
            limits.handshake_seconds,
            limits.head_bytes,
            upstreams,
            self.resolver,
            own.dialling,
        )

    def own(self) -> OwnAddresses:
        hops = tuple(hop.authority for hop in self.upstream_selector.hops)
        sockets = (("127.0.0.1", self.port()),)
        return OwnAddresses(sockets, hops, local=lambda address: address.is_loopback)

    def arrange(self, policies: Any = None, rules: dict[str, Any] | None = None) -> None:
        if policies is not None or rules is not None:
            self._port += 1
        self.selector()
        super().arrange(policies, rules)

    def arrange_anew(self, rules: dict[str, Any] | None = None) -> None:
        """Let the proxy server be made with what the test has set."""
        self.arrange(rules=rules or RULES)

    def proxy(self, answer: Callable[[NetworkPeer, bytes], object] | None = None) -> Origin:
        """Let there be a proxy that answers as the test says."""
        return self.network.origin(PROXY, 3128, answer)

    def forwarding(self, address: str = PROXY) -> ForwardProxy:
        """Let there be a proxy that does what CONNECT asks."""
        proxy = ForwardProxy(self.network, {"origin.example": ADDRESS, "a.wide.example": OTHER})
        self.network.listen(address, 3128, proxy)
        return proxy


class TunnelTests(RouteCase):
    """CONNECT through a proxy."""

    def test_by_name(self) -> None:
        """A host that a rule names is asked for by its name, with our credentials, and early bytes reach it."""
        proxy = self.forwarding()
        origin = self.origin(port=443)

        client = self.said(CONNECT + b"early")
        client.heard(b"HTTP/1.1 200 ")
        origin.heard(b"early")

        self.assertEqual(["origin.example:443"], proxy.targets)
        self.assertIn(b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n", proxy.asked[0])
        client.closes()
        self.network.settle()
        record = self.ends()[-1]
        assert record.admission is not None
        plan = record.admission.plan
        self.assertEqual(("HTTPS_PROXY", "environment", "HTTPS_PROXY"), (plan.label, plan.level, plan.source))
        self.assertEqual(PROXY, record.dialled)

    def test_wide_pattern_by_address(self) -> None:
        """Where a pattern leaves room for names, the proxy is asked for the address that was judged."""
        self.arrange(rules={"allow": [{"hosts": ["**"], "ports": [443]}]})
        proxy = self.forwarding()
        origin = self.origin(port=443)

        client = self.said(CONNECT)
        client.heard(b"HTTP/1.1 200 ")

        self.assertEqual([f"{ADDRESS}:443"], proxy.targets)
        self.assertEqual(1, len(origin.peers))

    def test_rule_with_addresses_by_address(self) -> None:
        """A rule that opens addresses is asked for by the judged address, however exact its host."""
        self.resolver.answer("inner.example", "10.1.2.3")
        self.arrange(rules={"allow": [{"hosts": ["inner.example"], "ports": [443], "addresses": ["10.0.0.0/8"]}]})
        proxy = self.forwarding()
        self.origin("10.1.2.3", 443)

        self.said(b"CONNECT inner.example:443 HTTP/1.1\r\nHost: inner.example:443\r\n\r\n").heard(b"HTTP/1.1 200 ")

        self.assertEqual(["10.1.2.3:443"], proxy.targets)

    def test_denied_host_never_reaches_the_proxy(self) -> None:
        """What no rule allows is not even dialled for."""
        proxy = self.forwarding()

        client = self.said(b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n")

        self.assert_refused(client, 403, "denied")
        self.assertEqual([], proxy.asked)

    def test_client_credentials_stay_here(self) -> None:
        """The client's Proxy-Authorization is not what the proxy gets."""
        proxy = self.forwarding()
        self.origin(port=443)

        self.said(CONNECT[:-2] + b"Proxy-Authorization: Basic Y2xpZW50OnNlY3JldA==\r\n\r\n")

        self.assertNotIn(b"Y2xpZW50", proxy.asked[0])


class NameTests(RouteCase):
    """Names that cannot be resolved here."""

    def test_named_host_is_left_to_the_proxy(self) -> None:
        """A host that a rule names is reached without DNS, and the record says that no address was checked."""
        self.resolver.answer("origin.example", NameNotFound("gone"))
        proxy = self.forwarding()
        self.origin(port=443)

        client = self.said(CONNECT)
        client.heard(b"HTTP/1.1 200 ")
        client.closes()
        self.network.settle()

        self.assertEqual(["origin.example:443"], proxy.targets)
        record = self.ends()[-1]
        assert record.admission is not None
        self.assertTrue(record.admission.resolution.is_delegated)

    def test_later_tunnels_do_not_wait(self) -> None:
        """Only the first tunnel waits for a resolver that does not answer, and later it is asked beside the tunnels."""
        self.resolver.hold("origin.example")
        proxy = self.forwarding()
        self.origin(port=443)
        first = self.said(CONNECT)
        self.assertEqual(b"", first.received)
        self.resolver.answer("origin.example", ResolverTimeout("late"))
        self.network.settle()
        first.heard(b"HTTP/1.1 200 ")

        self.resolver.hold("origin.example")
        for _ in range(3):
            self.network.advance(200)
            self.said(CONNECT).heard(b"HTTP/1.1 200 ")

        self.assertEqual(4, len(proxy.asked))

    def test_pattern_is_not_left_to_the_proxy(self) -> None:
        """A name that only a pattern matches is refused, and the reason says what would help."""
        self.resolver.answer("a.wide.example", NameNotFound("gone"))
        proxy = self.forwarding()

        client = self.said(b"CONNECT a.wide.example:443 HTTP/1.1\r\nHost: a.wide.example:443\r\n\r\n")

        problem = self.assert_refused(client, 502, "name_not_found")
        self.assertIn("`delegate`", problem["reason"])
        self.assertEqual([], proxy.asked)

    def test_overload_is_no_reason(self) -> None:
        """Whoever floods our resolver does not get a name to the proxy unjudged, nor one that resolved a moment ago."""
        self.forwarding()
        self.resolver.answer("origin.example", ResolverBusy("full"))
        self.assert_refused(self.said(CONNECT), 503, "resolver_busy")
        self.resolver.answer("origin.example", TooManyLookups("full"))
        self.assert_refused(self.said(CONNECT), 429, "too_many_lookups")
        self.resolver.answer("origin.example", "10.0.0.1")
        self.assert_refused(self.said(CONNECT), 403, "address_refused")
        self.resolver.answer("origin.example", ResolverTimeout("late"))

        self.assert_refused(self.said(CONNECT), 504, "resolver_timeout")

    def test_name_that_resolves_again_is_judged(self) -> None:
        """Once the resolver knows the name, its addresses count again."""
        self.resolver.answer("origin.example", NameNotFound("gone"))
        self.forwarding()
        self.origin(port=443)
        self.said(CONNECT).heard(b"HTTP/1.1 200 ")

        self.resolver.answer("origin.example", "10.0.0.1")
        self.network.advance(61)
        self.said(CONNECT).heard(b"HTTP/1.1 200 ")

        self.assert_refused(self.said(CONNECT), 403, "address_refused")


class UpstreamTests(RouteCase):
    """Upstreams of the configuration."""

    environ = {}  # noqa: RUF012
    upstreams = [  # noqa: RUF012
        {"name": "first", "url": f"http://{PROXY}:3128", "dns": "pinned"},
        {"name": "second", "url": f"http://{SECOND}:3128", "through": "first", "dns": "remote"},
        {"name": "wide", "url": f"http://{PROXY}:3128", "delegate": ["*.wide.example"], "no_proxy": f"{OTHER}/32"},
    ]

    def test_pinned(self) -> None:
        """The proxy is asked for the judged address, whatever the rule."""
        self.via = "first"
        self.arrange_anew()
        proxy = self.forwarding()
        self.origin(port=443)

        self.said(CONNECT).heard(b"HTTP/1.1 200 ")

        self.assertEqual([f"{ADDRESS}:443"], proxy.targets)

    def test_two_in_a_row_remote(self) -> None:
        """The first is asked for the second, the second for the name, and nobody here looks it up."""
        self.via = "second"
        self.arrange_anew()
        self.resolver.answer("origin.example", NameNotFound("gone"))
        first, second = self.forwarding(), self.forwarding(SECOND)
        self.origin(port=443)

        self.said(CONNECT).heard(b"HTTP/1.1 200 ")

        self.assertEqual(([f"{SECOND}:3128"], ["origin.example:443"]), (first.targets, second.targets))
        self.assertEqual([], self.resolver.asked)

    def test_addresses_over_remote(self) -> None:
        """A rule that opens addresses cannot be kept where none is judged."""
        self.via = "second"
        self.arrange_anew({"allow": [{"hosts": ["origin.example"], "addresses": ["10.0.0.0/8"]}]})

        self.assert_refused(self.said(CONNECT), 403, "route_refused")

    def test_internal_names_are_judged_in_remote_mode(self) -> None:
        """What is reserved by name stays refused where no name is looked up, and a private literal as well."""
        self.via = "second"
        self.arrange_anew({"allow": [{"hosts": ["**"], "ports": [80, 443]}]})

        self.assert_refused(
            self.said(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n"), 403, "name_refused"
        )
        self.assert_refused(
            self.said(b"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n"), 403, "address_refused"
        )

    def test_delegate(self) -> None:
        """A name that `delegate` lists is left to the proxy where it cannot be resolved."""
        self.via = "wide"
        self.arrange_anew()
        self.resolver.answer("a.wide.example", NameNotFound("gone"))
        proxy = self.forwarding()
        self.origin(OTHER, 443)

        self.said(b"CONNECT a.wide.example:443 HTTP/1.1\r\nHost: a.wide.example:443\r\n\r\n").heard(b"HTTP/1.1 200 ")

        self.assertEqual(["a.wide.example:443"], proxy.targets)

    def test_delegated_to_the_environment(self) -> None:
        """`[routing] delegate` leaves a name that only a pattern allows to the proxy of the environment."""
        self.via, self.environ = "environment", {"HTTPS_PROXY": f"{PROXY}:3128"}
        self.routing = {"delegate": ["*.wide.example"]}
        self.arrange_anew()
        self.resolver.answer("a.wide.example", NameNotFound("gone"))
        proxy = self.forwarding()
        self.origin(OTHER, 443)

        self.said(b"CONNECT a.wide.example:443 HTTP/1.1\r\nHost: a.wide.example:443\r\n\r\n").heard(b"HTTP/1.1 200 ")

        self.assertEqual(["a.wide.example:443"], proxy.targets)

    def test_no_proxy_by_resolved_address(self) -> None:
        """A name that leads into `no_proxy` goes direct, to that address, and the record says direct."""
        self.via = "wide"
        self.arrange_anew()
        proxy = self.forwarding()
        origin = self.origin(OTHER, 443)

        client = self.said(b"CONNECT a.wide.example:443 HTTP/1.1\r\nHost: a.wide.example:443\r\n\r\n")
        client.heard(b"HTTP/1.1 200 ")
        client.aborts()
        self.network.settle()

        self.assertEqual(([], 1), (proxy.asked, len(origin.peers)))
        record = self.ends()[-1]
        assert record.admission is not None
        self.assertEqual(("direct", "wide"), (record.admission.plan.label, record.admission.plan.bypassed))


class HopTests(RouteCase):
    """Proxies as destinations, and routes that lead back."""

    environ = {"HTTPS_PROXY": "http://proxy.corp.example:3128"}  # noqa: RUF012

    def setUp(self) -> None:
        """Arrange everything."""
        super().setUp()
        self.resolver.answer("proxy.corp.example", PROXY)
        self.resolver.answer("alias.example", PROXY)
        self.arrange_everything()

    def arrange_everything(self) -> None:
        """Let every host be allowed."""
        self.arrange(rules={"allow": [{"hosts": ["**"], "ports": ["1-65535"], "addresses": ["198.18.0.0/15"]}]})

    def test_hop_is_no_destination(self) -> None:
        """A proxy of ours cannot be asked for by name, by address or by another name for it."""
        for host in ("proxy.corp.example", PROXY, "alias.example", f"[::ffff:{PROXY}]"):
            with self.subTest(host=host):
                place = f"{host}:3128".encode()
                client = self.said(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (place, place))
                self.assert_refused(client, 403, "own_address")

    def test_accepted_and_reset(self) -> None:
        """A proxy that accepts a connection and resets it at once is told so."""
        proxy = self.proxy()
        self.network.delay(PROXY, 1)
        client = self.said(CONNECT)
        self.network.clock.callLater(1, proxy.stops)
        self.network.advance(1)

        problem = self.assert_refused(client, 502, "proxy_unreachable")

        self.assertEqual("An upstream proxy closes connections at once.", problem["reason"])

    def test_loop(self) -> None:
        """A route that leads to a listener of ours is cut off before anything is sent."""
        self.resolver.answer("proxy.corp.example", "127.0.0.1")
        self.environ = {"HTTPS_PROXY": f"http://proxy.corp.example:{self._port + 1}"}
        self.arrange_everything()

        problem = self.assert_refused(self.said(CONNECT), 502, "proxy_loop")

        self.assertNotIn("127.0.0.1", problem["reason"])

    def connect(self, place: str) -> NetworkPeer:
        """Ask for a tunnel."""
        return self.said(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (place.encode(), place.encode()))

    def test_translated_hop_is_no_destination(self) -> None:
        """Nor is an address that a translator on the way makes the proxy's of (NAT64, 6to4)."""
        self.resolver.answer("proxy.corp.example", "93.184.216.99")
        self.arrange(rules={"allow": [{"hosts": ["**", "::/0"], "ports": ["1-65535"]}]})
        for host in ("64:ff9b::5db8:d863", "2002:5db8:d863::1"):
            with self.subTest(host=host):
                self.assert_refused(self.connect(f"[{host}]:3128"), 403, "own_address")

    def test_unknown_hop(self) -> None:
        """While nobody knows where the proxy is, nothing on its port passes, and nothing of that is remembered."""
        self.environ = {**self.environ, "NO_PROXY": f"{OTHER}/32,{PROXY}/32"}
        self.arrange_everything()
        self.resolver.answer("proxy.corp.example", ResolverBusy("full"))
        for host in (OTHER, PROXY):
            self.assert_refused(self.connect(f"{host}:3128"), 502, "resolver_failed")

        self.resolver.answer("proxy.corp.example", PROXY)

        self.assert_refused(self.connect(f"{PROXY}:3128"), 403, "own_address")

    def test_hop_that_moves(self) -> None:
        """Where a proxy has been dialled is no destination, even if it was remembered as one."""
        self.environ = {**self.environ, "NO_PROXY": f"{OTHER}/32"}
        self.arrange_everything()
        self.origin(OTHER, 3128)
        self.connect(f"{OTHER}:3128").heard(b"HTTP/1.1 200 ")
        self.resolver.answer("proxy.corp.example", OTHER)
        self.said(CONNECT)

        self.assert_refused(self.connect(f"{OTHER}:3128"), 403, "own_address")

    def test_loopback_of_the_proxy(self) -> None:
        """On its port, loopback is the proxy itself for an upstream that is asked for it."""
        self.upstreams = [{"name": "up", "url": f"http://{PROXY}:3129"}]
        self.via = "up"
        hosts = ["127.0.0.0/8", "0.0.0.0/8", "::1"]
        self.arrange(rules={"allow": [{"hosts": hosts, "ports": [3129, 443]}]})
        for host in ("127.0.0.2", "0.0.0.0", "[::1]"):
            with self.subTest(host=host):
                self.assert_refused(self.connect(f"{host}:3129"), 403, "own_address")

    def test_alias_that_is_not_looked_up(self) -> None:
        """Where names are left to the proxy, one that only a wide rule allows could be the proxy on its port."""
        self.upstreams = [{"name": "up", "url": f"http://{PROXY}:3129", "dns": "remote"}]
        self.via = "up"
        self.arrange(rules={"allow": [{"hosts": ["**"], "ports": [3129, 443]}]})

        self.assert_refused(self.connect("proxy:3129"), 403, "own_address")


class StateTests(RouteCase):
    """Whether the proxy works, as requests show it."""

    def code(self) -> str:
        """Give why the proxy does not work."""
        agent = self.server.gate.snapshot.agent
        assert isinstance(agent, TunnelingAgent)
        return agent.states.of(self.proxies["HTTPS_PROXY"]).code

    def test_absolute_form(self) -> None:
        """Answers to plain requests tell it, those of origins included."""
        answers = [
            (b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "proxy_auth_required"),
            (b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", ""),
            (b"SSH-2.0-x\r\n\r\n", "proxy_malformed"),
            (ANSWER, ""),
        ]
        given = iter(answers)
        self.proxy(lambda peer, _: peer.says(next(given)[0]))
        for _, code in answers:
            self.said(GET)
            self.assertEqual(code, self.code())

    def test_tunnel(self) -> None:
        """So do answers to CONNECT, and connections that cannot be made."""
        self.said(CONNECT)
        self.assertEqual("proxy_unreachable", self.code())
        proxy = self.forwarding()
        self.origin(port=443)

        self.said(CONNECT).heard(b"HTTP/1.1 200 ")

        self.assertEqual("", self.code())
        proxy.refusals["origin.example:443"] = b"HTTP/1.1 407 No\r\n\r\n"
        self.said(CONNECT)
        self.assertEqual("proxy_auth_required", self.code())


class ConnectFieldTests(RouteCase):
    """The fields of CONNECT to upstream proxies."""

    environ = {}  # noqa: RUF012
    upstreams = [  # noqa: RUF012
        {"name": "first", "url": f"http://{PROXY}:3128", "connect_headers": {"X-Zone": "agents"}},
        {"name": "second", "url": f"http://{SECOND}:3128", "through": "first", "dns": "remote"},
        {"name": "masked", "url": f"http://{PROXY}:3128", "connect_headers": {"User-Agent": "Mozilla/5.0"}},
    ]

    def test_tunnel(self) -> None:
        """Each proxy of the route gets the client's User-Agent and its own fields, and no other field of the client."""
        self.via = "second"
        self.arrange_anew()
        first, second = self.forwarding(), self.forwarding(SECOND)
        self.origin(port=443)

        self.said(CONNECT[:-2] + b"User-Agent: curl/8.5.0\r\nX-Other: a\r\nCookie: b\r\n\r\n").heard(b"HTTP/1.1 200 ")

        place = b"%b:3128" % SECOND.encode()
        head = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: curl/8.5.0\r\nVia: 1.1 egress\r\n%b\r\n"
        self.assertEqual([head % (place, place, b"X-Zone: agents\r\n")], first.asked)
        self.assertEqual([head % (b"origin.example:443", b"origin.example:443", b"")], second.asked)

    def test_without_one(self) -> None:
        """A client that sends none is not a reason to send none."""
        self.via = "first"
        self.arrange_anew()
        proxy = self.forwarding()
        self.origin(port=443)

        self.said(CONNECT).heard(b"HTTP/1.1 200 ")

        self.assertIn(b"\r\nUser-Agent: egress/", proxy.asked[0])

    def test_configured(self) -> None:
        """The operator's User-Agent counts before the client's."""
        self.via = "masked"
        self.arrange_anew()
        proxy = self.forwarding()
        self.origin(port=443)

        self.said(CONNECT[:-2] + b"User-Agent: curl/8.5.0\r\n\r\n").heard(b"HTTP/1.1 200 ")

        self.assertIn(b"\r\nUser-Agent: Mozilla/5.0\r\n", proxy.asked[0])
        self.assertNotIn(b"curl", proxy.asked[0])

    def test_shared_connection(self) -> None:
        """A tunnel that further requests may use, perhaps of another program, is asked for by egress."""
        self.via = "first"
        self.arrange_anew({"allow": [{"hosts": ["**"], "ports": [80]}]})
        proxy = self.forwarding()
        origin = self.origin(answer=lambda peer, _: peer.says(ANSWER))

        self.said(GET[:-2] + b"User-Agent: curl/8.5.0\r\n\r\n").heard(b"HTTP/1.1 200 ")

        self.assertIn(b"\r\nUser-Agent: egress/", proxy.asked[0])
        self.assertIn(b"\r\nVia: 1.1 egress\r\n", proxy.asked[0])
        origin.heard(b"GET /page?q=1 HTTP/1.1\r\nHost: origin.example\r\nUser-Agent: curl/8.5.0\r\n")

    def test_websocket(self) -> None:
        """A WebSocket has its tunnel alone."""
        self.via = "first"
        self.arrange_anew()
        proxy = self.forwarding()
        self.origin()

        self.said(GET[:-2] + b"User-Agent: curl/8.5.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

        self.assertIn(b"\r\nUser-Agent: curl/8.5.0\r\nVia: 1.1 egress\r\nX-Zone: agents\r\n", proxy.asked[0])


class RouteTests(RouteCase):
    """Routes that let nothing out."""

    routes = [{"name": "no", "hosts": ["origin.example"], "via": "refuse"}]  # noqa: RUF012
    environ = {"HTTPS_PROXY": f"http://{PROXY}:3128", "NO_PROXY": "a.wide.example"}  # noqa: RUF012

    def test_refuse(self) -> None:
        """A route that refuses is said to be what refused, and nothing is looked up."""
        problem = self.assert_refused(self.said(CONNECT), 403, "route_refused")

        self.assertEqual("no", problem["rule"])
        self.assertEqual([], self.resolver.asked)

    def test_direct_is_forbidden(self) -> None:
        """What NO_PROXY would send direct is refused where the operator forbids that."""
        self.routing = {"direct": "refuse"}
        self.arrange_anew()

        client = self.said(b"CONNECT a.wide.example:443 HTTP/1.1\r\nHost: a.wide.example:443\r\n\r\n")

        self.assert_refused(client, 403, "direct_refused")
