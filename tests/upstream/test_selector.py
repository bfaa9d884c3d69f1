"""The choice of routes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.config import structure
from egress.errors import ConfigError, Refused
from egress.interfaces import IUpstreamSelector
from egress.match import ClientPatterns, PortSet, parse_host, parse_port
from egress.model import Request, Resolution, RoutePlan
from egress.testing.requests import make_request
from egress.upstream.environment import read_environment
from egress.upstream.routing_settings import RouteSettings, RoutingSettings, UpstreamSettings
from egress.upstream.selector import DIRECT, DirectSelector, UpstreamSelector
from tests.documents import DOCS, blocks_of

ENVIRON = {
    "HTTPS_PROXY": "http://u:hunter2@proxy.corp.example:8080",
    "NO_PROXY": "*.svc.cluster.local,10.96.0.0/12",
}

TWO = """
[[upstream]]
name = "corp"
url = "http://corp.example:3128"
no_proxy = ".intern.example, 10.0.0.0/8, 192.0.2.0/24:8443"
dns = "remote"

[[upstream]]
name = "lab"
url = "https://lab.example"
through = "corp"
delegate = ["**.example.org"]
"""

CASCADE = (
    TWO
    + """
[[route]]
name = "lab-hosts"
hosts = ["**.lab.example", "2001:db8::/32"]
via = "lab"

[[route]]
name = "lab-again"
hosts = ["a.lab.example"]
via = "corp"

[[route]]
name = "by-client"
clients = ["token:research-*"]
ports = [443, "8000-8100"]
via = "direct"

[[route]]
name = "never"
hosts = ["**.evil.example", "198.51.100.0/24"]
via = "refuse"

[routing]
default = "environment"
"""
)


def make_selector(
    document: str = "", environ: Mapping[str, str] | None = None, listeners: Mapping[str, str] | None = None
) -> UpstreamSelector:
    """Build a selector as the supervisor does."""
    table = tomllib.loads(document)
    upstreams = table.get("upstream", [])
    return UpstreamSelector(
        tuple(structure(UpstreamSettings, each, f"upstream[{index}]") for index, each in enumerate(upstreams)),
        tuple(structure(RouteSettings, each, f"route[{index}]") for index, each in enumerate(table.get("route", []))),
        structure(RoutingSettings, table.get("routing", {}), "routing"),
        read_environment(environ or {}),
        {"agents": "", **(listeners or {})},
    )


def resolved(host: str, *addresses: str) -> Resolution:
    """Make a resolution."""
    return Resolution(host, tuple(map(ip_address, addresses)))


def spell(plan: RoutePlan) -> tuple[str, str, str, str]:
    """Give what the record would hold."""
    return plan.label, plan.level, plan.source, plan.bypassed


def taken(selector: UpstreamSelector, plan: RoutePlan, resolution: Resolution, port: int = 443) -> str:
    """Give the upstream of the settled route."""
    return selector.settle(plan, resolution, port)[1].upstream


class CascadeTests(SynchronousTestCase):
    """The levels, one above the other."""

    def test_interface(self) -> None:
        """Both selectors provide what the gate asks for."""
        verifyObject(IUpstreamSelector, DirectSelector())
        verifyObject(IUpstreamSelector, make_selector())

    def test_nothing_said(self) -> None:
        """Without configuration and environment every route is direct, by the last level."""
        selector = make_selector()
        plan = selector.select(make_request("https://example.com/"))

        self.assertEqual(spell(plan), ("direct", "none", "", ""))
        self.assertEqual(plan.label, DirectSelector().select(make_request("https://example.com/")).label)
        self.assertEqual(plan.level, DIRECT.level)
        self.assertEqual(selector.settle(plan, resolved("example.com", "192.0.2.1"), 443)[1].hops, ())

    def test_environment(self) -> None:
        """Each front has its proxy; what has none goes direct by the last level."""
        rows = [
            (
                {"HTTPS_PROXY": "http://s:1", "HTTP_PROXY": "http://p:1"},
                ("HTTPS_PROXY", "environment"),
                ("HTTP_PROXY", "environment"),
            ),
            ({"HTTPS_PROXY": "http://s:1"}, ("HTTPS_PROXY", "environment"), ("HTTPS_PROXY", "environment")),
            ({"HTTP_PROXY": "http://p:1"}, ("direct", "none"), ("HTTP_PROXY", "environment")),
            (
                {"PROXY_URL": "http://p:1", "HTTP_PROXY": "http://q:1"},
                ("PROXY_URL", "environment"),
                ("PROXY_URL", "environment"),
            ),
        ]
        for environ, tunnel, plain in rows:
            selector = make_selector(environ=environ)
            for url, expected in (("https://example.com/", tunnel), ("http://example.com/", plain)):
                plan = selector.select(make_request(url))
                self.assertEqual((plan.label, plan.level), expected, (environ, url))

    def test_delegate_of_the_environment(self) -> None:
        """`[routing] delegate` leaves names to the environment's proxies, however they were chosen, and to no other."""
        document = TWO + '[[route]]\nname = "a"\nhosts = ["a.example.org"]\nvia = "environment"\n'
        selector = make_selector(f'{document}[routing]\ndelegate = ["*.example.org"]\n', ENVIRON, {"site": "corp"})
        for listener, host, is_delegated in (
            ("agents", "a.example.org", True),
            ("agents", "b.example.org", True),
            ("agents", "example.org", False),
            ("site", "a.example.org", True),
            ("site", "b.example.org", False),
        ):
            plan = selector.select(make_request(f"https://{host}/", listener=listener))
            self.assertEqual(selector.delegates(plan, host), is_delegated, (listener, host))

    def test_cascade(self) -> None:
        """A refusing route is above all, then come routes in order, the listener, the default and the environment."""
        selector = make_selector(CASCADE, ENVIRON, {"builder": "corp", "quiet": "direct"})
        rows = [
            (make_request("https://a.lab.example/"), ("lab", "route", 'route "lab-hosts"', "")),
            (make_request("https://[2001:db8::5]/"), ("lab", "route", 'route "lab-hosts"', "")),
            (make_request("https://lab.example/"), ("HTTPS_PROXY", "system", "routing.default", "")),
            (make_request("https://x.org/", labels=["token:research-1"]), ("direct", "route", 'route "by-client"', "")),
            (
                make_request("http://x.org/", labels=["token:research-1"]),
                ("HTTPS_PROXY", "system", "routing.default", ""),
            ),
            (make_request("https://x.org/", listener="builder"), ("corp", "listener", 'listener "builder"', "")),
            (make_request("https://a.lab.example/", listener="builder"), ("lab", "route", 'route "lab-hosts"', "")),
            (make_request("https://x.org/", listener="quiet"), ("direct", "listener", 'listener "quiet"', "")),
        ]
        for request, expected in rows:
            self.assertEqual(spell(selector.select(request)), expected, request.authority.text)

    def test_listener_that_is_gone(self) -> None:
        """What came by a listener that is not configured takes no route: the one that it had is not known."""
        selector = make_selector(CASCADE, ENVIRON, {"builder": "corp"})

        for url in ("https://a.lab.example/", "https://x.org/", "http://x.org/"):
            with self.assertRaises(Refused) as caught:
                selector.select(make_request(url, listener="unheard-of"))
            self.assertEqual("listener_gone", caught.exception.code)

    def test_refusing_route(self) -> None:
        """A route that refuses counts before those above it, and no spelling of an address gets past it."""
        selector = make_selector(CASCADE, ENVIRON, {"builder": "corp"})
        for url in (
            "https://a.evil.example/",
            "http://198.51.100.7/",
            "https://[::ffff:198.51.100.7]/",
            "https://[64:ff9b::198.51.100.7]/",
        ):
            for labels in ((), ("token:research-1",)):
                with self.assertRaises(Refused, msg=url) as caught:
                    selector.select(make_request(url, labels=labels, listener="builder"))
                self.assertEqual((caught.exception.code, caught.exception.rule), ("route_refused", "never"))
                self.assertEqual(
                    (caught.exception.upstream_level, caught.exception.upstream_source), ("refused", 'route "never"')
                )
        self.assertEqual(selector.select(make_request("https://evil.example/")).label, "HTTPS_PROXY")

    def test_refusals_are_not_shared(self) -> None:
        """Each refused request has an exception of its own."""
        selector = make_selector(listeners={"shut": "refuse"})
        seen = []
        for _ in range(2):
            with self.assertRaises(Refused) as caught:
                selector.select(make_request("https://example.com/", listener="shut"))
            seen.append(caught.exception)
        self.assertEqual(seen[0].code, "route_refused")
        self.assertEqual((seen[0].upstream_level, seen[0].upstream_source), ("listener", 'listener "shut"'))
        self.assertIsNot(seen[0], seen[1])

    def test_default(self) -> None:
        """`[routing] default` stands above the environment."""
        for default, label in (("corp", "corp"), ("direct", "direct"), ("environment", "HTTPS_PROXY")):
            selector = make_selector(TWO + f'[routing]\ndefault = "{default}"', ENVIRON)
            plan = selector.select(make_request("https://example.com/"))
            self.assertEqual((plan.label, plan.level), (label, "system"))

    def test_environment_that_is_not_there(self) -> None:
        """Who names the environment's route and has none is told at the start, where it was written."""
        rows: list[tuple[str, dict[str, str], str]] = [
            ('[routing]\ndefault = "environment"', {}, "routing.default"),
            ('[[route]]\nname = "r"\nvia = "environment"', {}, "route[0].via"),
            ("", {"l": "environment"}, "listener[1].via"),
        ]
        for document, listeners, where in rows:
            with self.assertRaises(ConfigError) as caught:
                make_selector(document, {"NO_PROXY": "a"}, listeners)
            self.assertEqual(caught.exception.where, where)

    def test_names_are_checked(self) -> None:
        """A selector is not built of names that lead nowhere."""
        with self.assertRaises(ConfigError) as caught:
            make_selector(listeners={"l": "corp"})
        self.assertEqual(caught.exception.where, "listener[1].via")

    def test_plans_are_shared(self) -> None:
        """What is decided alike gets the same plan, so that nothing is made for a request."""
        selector = make_selector(CASCADE, ENVIRON, {"builder": "corp"})
        for listener in ("agents", "builder"):
            one, other = (
                selector.select(make_request(f"https://{host}.example/", listener=listener)) for host in ("p", "q")
            )
            self.assertIs(one, other)
        bypass = [selector.select(make_request(f"https://{host}.svc.cluster.local/")) for host in ("p", "q")]
        self.assertIs(*bypass)


class HopsTests(SynchronousTestCase):
    """The proxies on the way."""

    def test_nested(self) -> None:
        """An upstream that is reached through another has that one before it."""
        selector = make_selector(CASCADE, ENVIRON)
        plan = selector.select(make_request("https://a.lab.example/"))

        self.assertEqual(
            [(hop.upstream, hop.scheme, hop.authority.text) for hop in plan.hops],
            [("corp", "http", "corp.example:3128"), ("lab", "https", "lab.example:443")],
        )
        _, route = selector.settle(plan, resolved("a.lab.example", "192.0.2.1"), 443)
        self.assertEqual((route.upstream, route.hops), ("lab", plan.hops))

    def test_all_hops(self) -> None:
        """Every proxy that there is can be asked for, to refuse it as a destination."""
        selector = make_selector(TWO, {**ENVIRON, "HTTP_PROXY": "http://plain:1"})

        self.assertEqual([hop.upstream for hop in selector.hops], ["corp", "lab", "HTTPS_PROXY", "HTTP_PROXY"])

    def test_names(self) -> None:
        """How names are treated comes with the plan, and which are left to the proxy."""
        selector = make_selector(CASCADE, ENVIRON, {"builder": "corp"})
        remote = selector.select(make_request("https://x.org/", listener="builder"))
        lab = selector.select(make_request("https://a.lab.example/"))

        self.assertEqual((remote.dns, lab.dns), ("remote", "auto"))
        self.assertEqual([selector.delegates(lab, host) for host in ("a.example.org", "example.org")], [True, False])
        self.assertFalse(selector.delegates(remote, "a.example.org"))

    def test_no_secret(self) -> None:
        """No spelling of a selector or a plan shows a password."""
        selector = make_selector(TWO, ENVIRON)
        plan = selector.select(make_request("https://example.com/"))

        for shown in (repr(selector), str(selector), repr(plan), repr(plan.hops)):
            self.assertNotIn("hunter2", shown)


class NoProxyTests(SynchronousTestCase):
    """What goes past the proxy."""

    def test_by_name(self) -> None:
        """A name in NO_PROXY goes direct at once; the level that decided stays."""
        selector = make_selector(CASCADE, ENVIRON, {"builder": "corp"})
        rows = [
            ("https://api.team.svc.cluster.local/", "agents", ("direct", "system", "routing.default", "HTTPS_PROXY")),
            ("https://10.100.0.1/", "agents", ("direct", "system", "routing.default", "HTTPS_PROXY")),
            ("https://localhost/", "agents", ("direct", "system", "routing.default", "HTTPS_PROXY")),
            ("https://localhost/", "builder", ("corp", "listener", 'listener "builder"', "")),
            ("https://a.intern.example/", "builder", ("direct", "listener", 'listener "builder"', "corp")),
            ("https://a.intern.example/", "agents", ("HTTPS_PROXY", "system", "routing.default", "")),
        ]
        for url, listener, expected in rows:
            plan = selector.select(make_request(url, listener=listener))
            self.assertEqual(spell(plan), expected, url)
        # A direct route resolves here, whatever the proxy's own setting is.
        self.assertEqual(selector.select(make_request("https://a.intern.example/", listener="builder")).dns, "auto")

    def test_by_address(self) -> None:
        """Of a name's addresses those in NO_PROXY are dialled direct, and no others."""
        selector = make_selector(environ=ENVIRON)
        plan = selector.select(make_request("https://api.example.com/"))
        mixed = resolved("api.example.com", "192.0.2.1", "10.96.0.7", "10.97.0.7")

        plan, route = selector.settle(plan, mixed, 443)

        self.assertEqual((route.upstream, route.hops, route.texts), ("direct", (), ("10.96.0.7", "10.97.0.7")))
        self.assertEqual(spell(plan), ("direct", "environment", "HTTPS_PROXY", "HTTPS_PROXY"))

    def test_not_by_address(self) -> None:
        """Without such an address all go through the proxy, and so does a name that was not resolved."""
        selector = make_selector(environ=ENVIRON)
        plan = selector.select(make_request("https://api.example.com/"))

        for resolution in (resolved("api.example.com", "192.0.2.1"), Resolution("api.example.com", (), True)):
            settled, route = selector.settle(plan, resolution, 443)
            self.assertEqual((route.upstream, route.hops), ("HTTPS_PROXY", plan.hops))
            self.assertEqual((route.addresses, route.by_name), (resolution.addresses, resolution.is_delegated))
            self.assertIs(settled, plan)

    def test_asked_for_by_name(self) -> None:
        """Only a proxy can be asked for a name; a direct route dials what was judged."""
        direct, proxied = make_selector(), make_selector(environ=ENVIRON)
        public, bypassing = resolved("api.example.com", "192.0.2.1"), resolved("api.example.com", "10.96.0.1")
        rows = [
            (proxied, public, True, True),
            (proxied, public, False, False),
            (proxied, bypassing, True, False),
            (direct, public, True, False),
        ]
        for selector, resolution, by_name, expected in rows:
            plan = selector.select(make_request("https://api.example.com/"))

            _, route = selector.settle(plan, resolution, 443, by_name)

            self.assertEqual(route.by_name, expected)

    def test_another_selectors_plan(self) -> None:
        """A plan of another selector is an error: its NO_PROXY and its permission to go direct are not known."""
        plan = make_selector(environ=ENVIRON).select(make_request("https://api.example.com/"))
        selector = make_selector(environ=ENVIRON)

        with self.assertRaises(ValueError):
            selector.settle(plan, resolved("api.example.com", "192.0.2.1"), 443)
        with self.assertRaises(ValueError):
            selector.delegates(plan, "api.example.com")

    def test_by_name_keeps_all_addresses(self) -> None:
        """A name that goes direct goes to any of its addresses."""
        selector = make_selector(environ=ENVIRON)
        plan = selector.select(make_request("https://api.svc.cluster.local/"))

        _, route = selector.settle(plan, resolved("api.svc.cluster.local", "192.0.2.1", "10.96.0.7"), 443)

        self.assertEqual(route.texts, ("192.0.2.1", "10.96.0.7"))

    def test_port(self) -> None:
        """An entry with a port counts for that port alone."""
        selector = make_selector(TWO + '[routing]\ndefault = "corp"')
        plan = selector.select(make_request("https://x.org:8443/"))
        resolution = resolved("x.org", "192.0.2.1")

        self.assertEqual(taken(selector, plan, resolution, 8443), "direct")
        self.assertEqual(taken(selector, plan, resolution, 443), "corp")

    def test_inherited(self) -> None:
        """An upstream can take NO_PROXY from the environment, where no proxy need be named."""
        document = '[[upstream]]\nname = "a"\nurl = "http://a:1"\nno_proxy = "environment"\n[routing]\ndefault = "a"'
        selector = make_selector(document, {"NO_PROXY": "b.example"})

        self.assertEqual(selector.select(make_request("https://b.example/")).label, "direct")
        self.assertEqual(selector.select(make_request("https://c.example/")).label, "a")


class DirectTests(SynchronousTestCase):
    """`[routing] direct`."""

    def test_refuse(self) -> None:
        """Nothing goes out without a proxy, NO_PROXY or not."""
        selector = make_selector('[routing]\ndirect = "refuse"', ENVIRON)
        plan = selector.select(make_request("https://example.com/"))
        self.assertEqual(taken(selector, plan, resolved("example.com", "192.0.2.1")), "HTTPS_PROXY")

        for call in (
            lambda: selector.select(make_request("https://a.svc.cluster.local/")),
            lambda: selector.select(make_request("https://127.0.0.1/")),
            lambda: selector.settle(plan, resolved("example.com", "192.0.2.1", "10.96.0.1"), 443),
            lambda: selector.settle(plan, resolved("example.com", "10.96.0.1"), 443),
            lambda: make_selector('[routing]\ndirect = "refuse"').select(make_request("https://example.com/")),
            lambda: make_selector('[routing]\ndirect = "refuse"', {"HTTP_PROXY": "http://p"}).select(
                make_request("https://example.com/")
            ),
        ):
            with self.assertRaises(Refused) as caught:
                call()
            self.assertEqual(caught.exception.code, "direct_refused")

    def test_no_proxy(self) -> None:
        """Only what NO_PROXY lists goes out without a proxy."""
        document = '[routing]\ndirect = "no_proxy"'
        selector = make_selector(document, ENVIRON)
        plan = selector.select(make_request("https://example.com/"))

        self.assertEqual(selector.select(make_request("https://a.svc.cluster.local/")).label, "direct")
        self.assertEqual(taken(selector, plan, resolved("example.com", "10.96.0.1")), "direct")
        with self.assertRaises(Refused) as caught:
            make_selector(document).select(make_request("https://example.com/"))
        self.assertEqual((caught.exception.code, caught.exception.upstream_level), ("direct_refused", "none"))


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map(".".join)
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "192.0.2.1", "2001:db8::1"])
PATTERNS = st.one_of(
    NAMES,
    st.tuples(st.sampled_from(["*.", "**."]), NAMES).map("".join),
    st.sampled_from(["**", "10.0.0.0/8", "10.0.0.1", "2001:db8::/32"]),
)
ROUTES = st.lists(
    st.fixed_dictionaries(
        {"via": st.sampled_from(["one", "two", "direct", "refuse"])},
        optional={
            "hosts": st.lists(PATTERNS, min_size=1, max_size=3),
            "ports": st.lists(st.sampled_from([80, 443, "440-450"]), min_size=1, max_size=2),
            "clients": st.lists(st.sampled_from(["token:x", "token:*", "uid:y"]), min_size=1, max_size=2),
        },
    ),
    max_size=6,
)


def first_that_matches(routes: Sequence[Mapping[str, object]], request: Request) -> str:
    """Decide by trying every route: those that refuse, then the others."""
    authority = request.authority
    for is_refusing in (True, False):
        for route in routes:
            hosts, ports, clients = (route.get(key) for key in ("hosts", "ports", "clients"))
            if (route["via"] == "refuse") is not is_refusing:
                continue
            if isinstance(hosts, list) and not any(
                parse_host(host).match(authority.host, authority.address) for host in hosts
            ):
                continue
            if isinstance(ports, list) and not PortSet.of(map(parse_port, ports)).contains(authority.port):
                continue
            if isinstance(clients, list) and not ClientPatterns.compile(clients).match(request.client.labels):
                continue
            return str(route["via"])
    return "direct"


class AgreementTests(SynchronousTestCase):
    """The index against trying the routes one by one."""

    @given(
        ROUTES,
        st.one_of(NAMES, ADDRESSES),
        st.sampled_from([80, 443, 445]),
        st.sampled_from(["token:x", "uid:y", "gid:z"]),
    )
    def test_agrees(self, routes: list[dict[str, object]], host: str, port: int, label: str) -> None:
        """The first route that matches counts, those that refuse first."""
        selector = UpstreamSelector(
            (UpstreamSettings("one", "http://one:1"), UpstreamSettings("two", "http://two:1")),
            tuple(structure(RouteSettings, {"name": str(index), **route}) for index, route in enumerate(routes)),
            RoutingSettings(),
            read_environment({}),
            {"agents": ""},
        )
        request = make_request(method="CONNECT", host=host, port=port, labels=[label])

        try:
            found = selector.select(request).label
        except Refused:
            found = "refuse"

        self.assertEqual(found, first_that_matches(routes, request))


class DocumentTests(SynchronousTestCase):
    """The examples of docs/how-to/use-upstream-proxies.md do what the page says."""

    def test_the_wish(self) -> None:
        """With the page's first example cluster services go direct, and the rest through the proxy."""
        block = blocks_of(DOCS / "how-to" / "use-upstream-proxies.md", "sh")[0]
        environ = dict(re.findall(r"^export (\w+)=['\"]?(.*?)['\"]?$", block, re.MULTILINE))
        self.assertEqual(sorted(environ), ["HTTPS_PROXY", "NO_PROXY"])
        selector = make_selector(environ=environ)

        labels = {
            url: selector.select(make_request(url)).label
            for url in ("https://api.team.svc.cluster.local/", "http://10.96.0.1/", "https://api.example.com/")
        }

        self.assertEqual(list(labels.values()), ["direct", "direct", "HTTPS_PROXY"])
        plan = selector.select(make_request("https://kubernetes.example/"))
        self.assertEqual(taken(selector, plan, resolved("kubernetes.example", "10.96.0.1")), "direct")
