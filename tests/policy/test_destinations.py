"""The policy `destinations`."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from random import Random

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import ConfigError
from egress.hostname import canonical_host
from egress.interfaces import IPolicy
from egress.model import Authority, Client, Obligation, Outcome, Request, Resolution, Verdict
from egress.policy.destinations import Destinations, make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.testing import FakeHost

Rule = dict[str, object]

MISTAKES: list[tuple[dict[str, object], str]] = [
    ({"alow": []}, "alow"),
    ({"opaque": "maybe"}, "opaque"),
    ({"override_fields": "drop"}, "override_fields"),
    ({"allow": [{}]}, "allow[0].hosts"),
    ({"allow": [{"hosts": []}]}, "allow[0].hosts"),
    ({"allow": [{"hosts": "a.example"}]}, "allow[0].hosts"),
    ({"allow": [{"hosts": ["a.example"]}, {"hosts": ["a.example", "a..b"]}]}, "allow[1].hosts[1]"),
    ({"deny": [{"hosts": ["10.0.0.1/8"]}]}, "deny[0].hosts[0]"),
    ({"allow": [{"hosts": ["a.example"], "port": [443]}]}, "allow[0].port"),
    ({"allow": [{"hosts": ["a.example"], "ports": []}]}, "allow[0].ports"),
    ({"allow": [{"hosts": ["a.example"], "ports": [443, 0]}]}, "allow[0].ports[1]"),
    ({"allow": [{"hosts": ["a.example"], "ports": ["9-8"]}]}, "allow[0].ports[0]"),
    ({"allow": [{"hosts": ["a.example"], "ports": [True]}]}, "allow[0].ports[0]"),
    ({"allow": [{"hosts": ["a.example"], "methods": []}]}, "allow[0].methods"),
    ({"allow": [{"hosts": ["a.example"], "methods": ["GET", "get"]}]}, "allow[0].methods[1]"),
    ({"allow": [{"hosts": ["a.example"], "methods": ["CONNECT"], "paths": ["/x"]}]}, "allow[0].methods"),
    ({"allow": [{"hosts": ["a.example"], "paths": []}]}, "allow[0].paths"),
    ({"allow": [{"hosts": ["a.example"], "paths": ["/a", "b"]}]}, "allow[0].paths[1]"),
    ({"allow": [{"hosts": ["a.example"], "clients": []}]}, "allow[0].clients"),
    ({"allow": [{"hosts": ["a.example"], "clients": ["research"]}]}, "allow[0].clients[0]"),
    ({"allow": [{"hosts": ["a.example"], "addresses": []}]}, "allow[0].addresses"),
    ({"allow": [{"hosts": ["a.example"], "addresses": ["10.0.0.1/8"]}]}, "allow[0].addresses[0]"),
    ({"allow": [{"hosts": ["a.example"], "addresses": ["b.example"]}]}, "allow[0].addresses[0]"),
    ({"allow": [{"hosts": ["10.0.0.1"], "addresses": ["10.0.0.0/8"]}]}, "allow[0].addresses"),
    ({"deny": [{"hosts": ["a.example"], "addresses": ["10.0.0.0/8"]}]}, "deny[0].addresses"),
    ({"allow": [{"hosts": ["a.example"], "name": ""}]}, "allow[0].name"),
    ({"allow": [{"hosts": ["a.example"], "name": "a\nb"}]}, "allow[0].name"),
    ({"allow": [{"hosts": ["a.example"], "message": ""}]}, "allow[0].message"),
    ({"allow": [{"hosts": ["a.example"], "message": " a"}]}, "allow[0].message"),
    ({"allow": [{"hosts": ["a.example"], "message": "a\nb"}]}, "allow[0].message"),
    ({"deny": [{"hosts": ["a.example"], "message": "a\x1b[2J"}]}, "deny[0].message"),
    ({"deny": [{"hosts": ["a.example"], "message": "a" * 201}]}, "deny[0].message"),
    ({"deny": [{"hosts": ["a.example"], "message": ["a"]}]}, "deny[0].message"),
    ({"allow": [{"hosts": ["a.b"], "name": "x"}, {"hosts": ["a.c"], "name": "x"}]}, "allow[1].name"),
    ({"allow": [{"hosts": ["a.b"], "name": "x"}], "deny": [{"hosts": ["a.c"], "name": "x"}]}, "allow[0].name"),
    ({"allow": [{"hosts": ["a.b"]}], "deny": [{"hosts": ["a.c"], "name": "allow[0]"}]}, "allow[0].name"),
]


def _policy(allow: list[Rule] | None = None, deny: list[Rule] | None = None, **others: object) -> Destinations:
    return make_destinations("d", {"allow": allow or [], "deny": deny or [], **others}, FakeHost())


def _request(
    host: str,
    port: int = 443,
    method: str = "GET",
    path: str | None = "/",
    label: str = "",
    is_ambiguous: bool = False,
    overrides: Iterable[str] = (),
) -> Request:
    canonical, address = canonical_host(host)
    authority = Authority(canonical, port, address)
    client = Client("c", frozenset({label} - {""}))
    return Request("1", "http", method, authority, path, client, "agents", 0.0, is_ambiguous, frozenset(overrides))


def _tunnel(host: str) -> Request:
    return _request(host, method="CONNECT", path=None)


def _resolution(*addresses: str) -> Resolution:
    return Resolution("x", tuple(map(ip_address, addresses)))


class DestinationsTests(SynchronousTestCase):
    """Rules."""

    def decide(self, policy: Destinations, request: Request, *addresses: str) -> Verdict:
        """Ask, and check what holds of every verdict."""
        verdict = policy.decide(request, _resolution(*addresses) if addresses else None)
        self.assertEqual(verdict.policy, "d")
        self.assertTrue(verdict.reason.isascii())
        return verdict

    def assert_outcome(self, expected: str, policy: Destinations, request: Request, *addresses: str) -> None:
        self.assertEqual(self.decide(policy, request, *addresses).outcome, Outcome(expected))

    def test_provides(self) -> None:
        """It is a pure policy."""
        policy = _policy()
        verifyObject(IPolicy, policy)
        self.assertTrue(policy.pure)
        self.assert_outcome("abstain", policy, _request("a.example"))

    def test_allow(self) -> None:
        """An allow names the rule, the pattern that matched and what it opens."""
        policy = _policy(
            [
                {"hosts": ["b.example"]},
                {"name": "github", "hosts": ["x.example", "*.GitHub.com"], "addresses": ["10.2.0.0/16"]},
            ]
        )
        verdict = self.decide(policy, _request("api.github.com"))
        self.assertEqual(
            verdict,
            Verdict(
                Outcome.ALLOW,
                "d",
                "github",
                "Allowed by rule github.",
                "*.github.com",
                (ip_network("10.2.0.0/16"),),
            ),
        )
        self.assertIs(self.decide(policy, _request("api.github.com")), verdict)
        self.assertEqual(self.decide(policy, _request("b.example")).rule, "allow[0]")

    def test_literals_open_themselves(self) -> None:
        """A literal or network in `hosts` admits itself, together with `addresses`."""
        policy = _policy([{"hosts": ["a.example", "10.1.2.3", "fd00::/8"], "addresses": ["10.9.0.0/16"]}])
        opened = ip_network("10.9.0.0/16")
        for host, network in [("10.1.2.3", "10.1.2.3/32"), ("0x0a.66051", "10.1.2.3/32"), ("fd00::1", "fd00::/8")]:
            self.assertEqual(self.decide(policy, _request(host)).admits, (opened, ip_network(network)))
        self.assertEqual(self.decide(policy, _request("a.example")).admits, (opened,))
        self.assert_outcome("abstain", policy, _request("::ffff:10.1.2.3"))

    def test_most_specific_pattern(self) -> None:
        """Where several patterns of a rule match, the most specific counts, in every order of the list."""
        patterns = ["**", "**.example", "**.b.example", "*.b.example", "a.b.example", "localhost"]
        networks = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "::/0", "fd00::/8", "fd00::1"]
        for host, expected in (
            ("a.b.example", "a.b.example"),
            ("c.b.example", "*.b.example"),
            ("d.c.b.example", "**.b.example"),
            ("b.example", "**.example"),
            ("localhost", "localhost"),
            ("other.test", "**"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.2", "10.0.0.0/24"),
            ("10.1.0.1", "10.0.0.0/8"),
            ("192.0.2.1", "0.0.0.0/0"),
            ("fd00::1", "fd00::1"),
            ("fd00::2", "fd00::/8"),
            ("2001:db8::1", "::/0"),
        ):
            for seed in range(20):
                hosts = patterns + networks
                Random(seed).shuffle(hosts)
                allowed = self.decide(_policy(allow=[{"hosts": hosts}]), _tunnel(host))
                denied = self.decide(_policy(deny=[{"hosts": hosts}]), _tunnel(host))
                self.assertEqual((allowed.pattern, denied.pattern), (expected, expected))
                opened = (ip_network(expected),) if expected in networks else ()
                self.assertEqual(allowed.admits, opened)

    def test_guard_reads_most_specific_pattern(self) -> None:
        """A rule that lists `localhost` or a literal address opens it, before or after a pattern that covers it too."""
        guard = Guard(GuardSettings())
        for hosts in (["**", "localhost", "10.0.0.1"], ["10.0.0.1", "localhost", "**"]):
            policy = _policy([{"hosts": hosts, "addresses": ["127.0.0.1"]}])
            for host in ("localhost", "10.0.0.1"):
                request = _tunnel(host)
                verdict = self.decide(policy, request)
                guard.check_name(request.authority, verdict)
                guard.check_addresses(
                    request.authority, (request.authority.address or ip_address("127.0.0.1"),), verdict
                )

    def test_earlier_rule_decides(self) -> None:
        """Specificity counts within a rule only: of two rules the first one decides."""
        policy = _policy(allow=[{"name": "wide", "hosts": ["**"]}, {"name": "exact", "hosts": ["a.example"]}])

        self.assertEqual(self.decide(policy, _tunnel("a.example")).rule, "wide")

    def test_networks_do_not_allow_names(self) -> None:
        """A network in an allow rule says nothing of names that lead there."""
        policy = _policy([{"hosts": ["192.0.2.0/24"]}])
        self.assert_outcome("abstain", policy, _request("a.example"), "192.0.2.1")

    def test_deny_wins(self) -> None:
        """A deny rule wins over every allow rule."""
        policy = _policy([{"hosts": ["**"]}], [{"name": "no", "hosts": ["**.bad.example"], "ports": ["1-65535"]}])
        verdict = self.decide(policy, _request("x.bad.example", 80))
        self.assertEqual(
            (verdict.outcome, verdict.rule, verdict.pattern, verdict.admits), (Outcome.DENY, "no", "**.bad.example", ())
        )
        self.assert_outcome("allow", policy, _request("bad.example", 80))

    def test_denied_network(self) -> None:
        """A denied network holds for literals, for names that lead there, and for what is inside IPv6 addresses."""
        policy = _policy([{"hosts": ["**"]}], [{"hosts": ["203.0.113.0/24", "2001:db8::7"]}])
        for host in ("203.0.113.5", "::ffff:203.0.113.5", "64:ff9b::cb00:7105", "2002:cb00:7105::1", "2001:db8::7"):
            self.assert_outcome("deny", policy, _request(host))
            self.assert_outcome("allow", policy, _request("a.example"))
            self.assert_outcome("deny", policy, _request("a.example"), "1.1.1.1", host)
        self.assert_outcome("allow", policy, _request("a.example"), "1.1.1.1", "2001:db8::8")
        self.assert_outcome("abstain", policy, _request("a.example", 22), "203.0.113.5")

    def test_ports(self) -> None:
        """Ports are 80 and 443 unless given."""
        policy = _policy([{"hosts": ["a.example"]}, {"hosts": ["b.example"], "ports": [22, "8000-8100"]}])
        for host, port, expected in [
            ("a.example", 80, "allow"),
            ("a.example", 443, "allow"),
            ("a.example", 8080, "abstain"),
            ("b.example", 443, "abstain"),
            ("b.example", 22, "allow"),
            ("b.example", 8100, "allow"),
            ("b.example", 8101, "abstain"),
        ]:
            self.assert_outcome(expected, policy, _request(host, port))

    def test_clients(self) -> None:
        """A rule with clients holds for those."""
        policy = _policy([{"hosts": ["a.example"], "clients": ["token:research-*"]}])
        self.assert_outcome("allow", policy, _request("a.example", label="token:research-1"))
        self.assert_outcome("abstain", policy, _request("a.example", label="token:other"))

    def test_methods_and_paths(self) -> None:
        """Both must match."""
        policy = _policy([{"hosts": ["a.example"], "methods": ["GET", "HEAD"], "paths": ["/repos/*", "/search/**"]}])
        for method, path, expected in [
            ("GET", "/repos/x", "allow"),
            ("HEAD", "/search", "allow"),
            ("POST", "/repos/x", "abstain"),
            ("GET", "/repos/x/y", "abstain"),
            ("get", "/repos/x", "abstain"),
        ]:
            self.assert_outcome(expected, policy, _request("a.example", method=method, path=path))

    def test_opaque_deny(self) -> None:
        """By default a tunnel is no match for an allow rule, and one for a deny rule, that judges its inside."""
        for key, value in (("methods", ["GET"]), ("paths", ["/a"])):
            rule: Rule = {"hosts": ["a.example"], key: value}
            self.assert_outcome("abstain", _policy([rule]), _tunnel("a.example"))
            self.assert_outcome("deny", _policy([{"hosts": ["**"]}], [rule]), _tunnel("a.example"))
            self.assert_outcome("allow", _policy([{"hosts": ["**"]}], [rule]), _tunnel("b.example"))
            self.assert_outcome("allow", _policy([{"hosts": ["**"]}], [rule]), _request("a.example", method="PUT"))

    def test_opaque_allow(self) -> None:
        """With `opaque = "allow"` it is the other way round."""
        for key, value in (("methods", ["GET"]), ("paths", ["/a"])):
            rule: Rule = {"hosts": ["a.example"], key: value}
            self.assert_outcome("allow", _policy([rule], opaque="allow"), _tunnel("a.example"))
            self.assert_outcome("allow", _policy([{"hosts": ["**"]}], [rule], opaque="allow"), _tunnel("a.example"))
            self.assert_outcome("abstain", _policy([rule], opaque="allow"), _request("a.example", method="PUT"))

    def test_connect_listed(self) -> None:
        """A rule that lists CONNECT speaks of tunnels, in both kinds of rule."""
        rule: Rule = {"hosts": ["a.example"], "methods": ["CONNECT"]}
        for opaque in ("deny", "allow"):
            self.assert_outcome("allow", _policy([rule], opaque=opaque), _tunnel("a.example"))
            self.assert_outcome("deny", _policy([{"hosts": ["**"]}], [rule], opaque=opaque), _tunnel("a.example"))
        self.assert_outcome("abstain", _policy([rule]), _request("a.example"))

    def test_ambiguous_path(self) -> None:
        """A path that servers read differently is never allowed by path, and always denied by path."""
        rule: Rule = {"hosts": ["a.example"], "paths": ["/a/**"], "methods": ["GET"]}
        request = _request("a.example", path="/a/b%2Fc", is_ambiguous=True)
        other = _request("a.example", path="/x%2Fc", is_ambiguous=True)
        self.assert_outcome("abstain", _policy([rule]), request)
        self.assert_outcome("deny", _policy([{"hosts": ["**"]}], [rule]), other)
        self.assert_outcome("allow", _policy([{"hosts": ["a.example"]}]), request)

    def test_repeated_slashes(self) -> None:
        """Repeated slashes do not get round a deny rule, and do not widen an allow rule."""
        rule: Rule = {"hosts": ["a.example"], "paths": ["/admin/*"]}
        self.assert_outcome("deny", _policy([{"hosts": ["**"]}], [rule]), _request("a.example", path="//admin//x"))
        self.assert_outcome("abstain", _policy([rule]), _request("a.example", path="//admin//x"))

    def test_override_fields(self) -> None:
        """Where a field may change what a rule looks at, the verdict is the one that opens less, or the field goes.

        A request whose verdict is the same for every method and path passes with its fields.
        """
        method, path = "x-http-method-override", "x-original-url"
        get: Rule = {"hosts": ["a.example"], "methods": ["GET"], "name": "get"}
        under: Rule = {"hosts": ["a.example"], "paths": ["/a/**"], "name": "under"}
        all_: Rule = {"hosts": ["**"], "name": "all"}
        delete: Rule = {"hosts": ["a.example"], "methods": ["DELETE"], "name": "delete"}
        admin: Rule = {"hosts": ["a.example"], "paths": ["/admin/**"], "name": "admin"}
        network: Rule = {"hosts": ["192.0.2.0/24"], "methods": ["DELETE"], "name": "network"}
        rows: list[tuple[list[Rule], list[Rule], str, str, str]] = [
            # allow, deny, override field, and the outcome for "refuse" and for "strip"
            ([get], [], method, "abstain", "strip get"),
            ([get], [], path, "allow get", "allow get"),
            ([under], [], path, "abstain", "strip under"),
            ([under], [], method, "allow under", "allow under"),
            ([all_], [], method, "allow all", "allow all"),
            ([all_], [], path, "allow all", "allow all"),
            ([get, all_], [], method, "allow all", "strip get"),
            ([all_], [delete], method, "deny delete", "strip all"),
            ([all_], [delete], path, "allow all", "allow all"),
            ([all_], [admin], path, "deny admin", "strip all"),
            ([all_], [network], method, "deny network", "strip all"),
            ([all_], [{**delete, "ports": [81]}], method, "allow all", "allow all"),
            ([all_], [{**delete, "clients": ["uid:1"]}], method, "allow all", "allow all"),
            ([], [delete], method, "deny delete", "strip"),
            ([], [{**delete, "methods": ["GET"]}], method, "deny delete", "deny delete"),
            ([get], [{**delete, "methods": ["GET"]}], method, "deny delete", "deny delete"),
        ]
        for allow, deny, field, refusing, stripping in rows:
            request = _request("a.example", path="/a/b", overrides=[field])
            plain = self.decide(_policy(allow, deny), _request("a.example", path="/a/b"), "192.0.2.1")
            for setting, expected in (("refuse", refusing), ("strip", stripping)):
                policy = _policy(allow, deny, override_fields=setting)
                verdict = self.decide(policy, request, "192.0.2.1")
                is_stripping = verdict.obligations == {Obligation.STRIP_OVERRIDES}
                word = "strip" if is_stripping else verdict.outcome.value
                rule = "" if verdict.outcome is Outcome.ABSTAIN else f" {verdict.rule}"
                self.assertEqual(expected, word + rule, (allow, deny, field, setting))
                self.assertTrue(is_stripping or not verdict.obligations)
                if is_stripping:
                    self.assertEqual(plain.outcome, verdict.outcome)
            self.assertEqual(plain, self.decide(_policy(allow, deny, override_fields="pass"), request, "192.0.2.1"))
            self.assertEqual(plain, self.decide(_policy(allow, deny), _request("a.example", path="/a/b"), "192.0.2.1"))

    def test_override_fields_have_a_reason(self) -> None:
        """A refusal for a field names the rule and the field."""
        rule: Rule = {"hosts": ["a.example"], "methods": ["GET"], "name": "get"}
        request = _request("a.example", overrides=["x-method-override", "x-rewrite-url"])

        for policy, outcome in ((_policy([rule]), "abstain"), (_policy([{"hosts": ["**"]}], [rule]), "deny")):
            verdict = self.decide(policy, request)
            self.assertEqual((outcome, "get"), (verdict.outcome.value, verdict.rule))
        self.assertIn(
            "By X-Method-Override and X-Rewrite-Url an origin may take another method",
            self.decide(_policy([rule]), request).reason,
        )
        # A rule that does not cover the request as it is says why, as for any other request.
        miss = self.decide(_policy([rule]), _request("a.example", method="PUT", overrides=["x-http-method"]))
        self.assertEqual("The host is allowed, but only with GET.", miss.reason)

    def test_override_fields_of_a_tunnel(self) -> None:
        """A field of a CONNECT reaches no origin."""
        for opaque in ("deny", "allow"):
            policy = _policy([{"hosts": ["**"], "methods": ["GET"]}], opaque=opaque)
            tunnel = _request("a.example", method="CONNECT", path=None, overrides=["x-http-method"])
            self.assertEqual(self.decide(policy, _tunnel("a.example")), self.decide(policy, tunnel))

    def test_near_misses(self) -> None:
        """Where a rule nearly matched, the reason says what did not."""
        rules: list[Rule] = [
            {"hosts": ["p.example"], "ports": [443]},
            {"hosts": ["q.example"], "ports": [443, "8000-8100"]},
            {"hosts": ["m.example"], "methods": ["GET", "HEAD"]},
            {"hosts": ["s.example"], "paths": ["/a"]},
            {"hosts": ["c.example"], "ports": [444], "clients": ["uid:1"]},
        ]
        policy = _policy(rules)
        for request, expected in [
            (_request("p.example", 80), "only on port 443."),
            (_request("q.example", 80), "only on ports 443, 8000-8100."),
            (_request("m.example", method="POST"), "only with GET and HEAD."),
            (_tunnel("m.example"), "inside a tunnel cannot be read."),
            (_tunnel("s.example"), "inside a tunnel cannot be read."),
            (_request("s.example", path="/b"), "not this path."),
            (
                _request("s.example", path="/a%2F", is_ambiguous=True),
                "this path is ambiguous, because servers read it differently.",
            ),
            (_request("c.example", 443), "No rule names this host."),
            (_request("z.example"), "No rule names this host."),
        ]:
            verdict = self.decide(policy, request)
            self.assertEqual(verdict.outcome, Outcome.ABSTAIN)
            self.assertTrue(verdict.reason.endswith(expected), verdict.reason)

    def test_message(self) -> None:
        """A rule's message is for whom the rule denies, and for whom an allow rule nearly covers; for nobody else."""
        text = "Fragt in #platform \u2013 bitte." + "x" * 170
        allow: list[Rule] = [
            {"hosts": ["m.example"], "methods": ["GET"], "message": text},
            {"hosts": ["c.example"], "ports": [444], "clients": ["uid:1"], "message": "Not for you."},
            {"hosts": ["n.example"], "methods": ["GET"]},
        ]
        policy = _policy(allow, [{"hosts": ["d.example", "192.0.2.0/24"], "message": "Never."}])
        for request, message in (
            (_request("d.example"), "Never."),
            (_request("192.0.2.1"), "Never."),
            (_request("m.example", method="PUT"), text),
            (_request("m.example", port=81), text),
            (_request("m.example", overrides=["x-http-method"]), text),
            (_tunnel("m.example"), text),
            (_request("c.example"), ""),
            (_request("n.example", method="PUT"), ""),
            (_request("z.example"), ""),
        ):
            verdict = self.decide(policy, request)
            self.assertIsNot(verdict.outcome, Outcome.ALLOW)
            self.assertEqual(message, verdict.message)

    def test_mistakes(self) -> None:
        """What is wrong is named with its key path."""
        for settings, where in MISTAKES:
            with self.assertRaises(ConfigError, msg=str(settings)) as caught:
                make_destinations("d", settings, FakeHost())
            self.assertEqual(caught.exception.where, where, str(caught.exception))
            self.assertTrue(str(caught.exception).isascii())
