"""What the proxy server does to a request because a policy demands it."""

from __future__ import annotations

from typing import Any

from egress.model import Obligation
from egress.policy.destinations import make_destinations
from egress.testing import FixedPolicy
from tests.proxy.reload.test_reevaluation import ReevaluationCase
from tests.proxy.support import ADDRESS

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HEAD = b"POST http://origin.example/a HTTP/1.1\r\nHost: origin.example\r\nA: b\r\n"
OVERRIDES = b"X-HTTP-Method-Override: DELETE\r\nx_method_override: PUT\r\nX-Original-URL: /admin\r\n"
PLAIN = HEAD + b"C: d\r\nContent-Length: 2\r\n\r\nhi"
REQUEST = HEAD + OVERRIDES + b"C: d\r\nContent-Length: 2\r\n\r\nhi"
FORWARDED = (
    b"POST /a HTTP/1.1\r\nHost: origin.example\r\nA: b\r\n%bC: d\r\nContent-Length: 2\r\nVia: 1.1 egress\r\n\r\nhi"
)


def rules(setting: str, **rule: Any) -> dict[str, Any]:
    """Make a policy with one allow rule."""
    return {"override_fields": setting, "allow": [{"name": "posts", "hosts": ["origin.example"], **rule}]}


class OverrideTests(ReevaluationCase):
    """Requests with fields by which an origin may take another method or path."""

    def forwarded(self, request: bytes = REQUEST) -> bytes:
        """Give what the origin gets."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        self.said(request).heard(b"HTTP/1.1 200 ")
        return b"".join(peer.received for peer in origin.peers)

    def test_refused_by_default(self) -> None:
        """The request is refused where a rule with methods or paths decides, and nothing is looked up or dialled."""
        for rule in ({"methods": ["POST"]}, {"paths": ["/a"]}):
            self.setUp()
            self.renew({"allow": rules("refuse", **rule)["allow"]})

            problem = self.assert_refused(self.said(REQUEST), 403, "no_rule")

            self.assertEqual(("posts", [], []), (problem["rule"], self.network.dialled, self.resolver.asked))
            self.assertIn("By X-Http-Method-Override and X-Method-Override and X-Original-Url", problem["reason"])
            self.assertEqual(FORWARDED % b"", self.forwarded(PLAIN))

    def test_rules_without_methods_and_paths(self) -> None:
        """Where every method and path is allowed, the fields pass with each setting."""
        for setting in ("refuse", "strip", "pass"):
            self.setUp()
            self.renew(rules(setting))

            self.assertEqual(FORWARDED % OVERRIDES, self.forwarded())

    def test_stripped(self) -> None:
        """The fields are removed in every spelling, and all others keep their order."""
        self.renew(rules("strip", methods=["POST"]))

        self.assertEqual(FORWARDED % b"" * 3, self.forwarded(REQUEST + PLAIN + REQUEST))

    def test_passed(self) -> None:
        """The fields pass where the operator says so."""
        self.renew(rules("pass", methods=["POST"]))

        self.assertEqual(FORWARDED % OVERRIDES, self.forwarded())

    def test_policy_that_abstains(self) -> None:
        """A policy that would deny but for the obligation has it fulfilled, though another policy allows."""
        table = {"override_fields": "strip", "deny": [{"hosts": ["origin.example"], "methods": ["DELETE"]}]}
        self.renew(policies=[make_destinations("rules", table, self.host), FixedPolicy("all")])

        self.assertEqual(FORWARDED % b"", self.forwarded())

    def test_policy_of_another_kind(self) -> None:
        """Any policy may demand it."""
        self.renew(policies=[FixedPolicy("all", obligations=frozenset([Obligation.STRIP_OVERRIDES]))])

        self.assertEqual(FORWARDED % b"", self.forwarded())

    def test_reload_during_the_dial(self) -> None:
        """What is sent obeys the snapshot that judged last."""
        for before, after, expected in (("pass", "strip", b""), ("strip", "pass", OVERRIDES)):
            self.setUp()
            self.renew(rules(before, methods=["POST"]))
            origin = self.origin(answer=lambda peer, _: peer.says(OK))
            self.network.delay(ADDRESS, 1.0)
            client = self.said(REQUEST)
            self.renew(rules(after, methods=["POST"]))
            self.network.advance(1.0)

            client.heard(b"HTTP/1.1 200 ")
            self.assertEqual(FORWARDED % expected, origin.peer.received)

    def test_trailers(self) -> None:
        """A trailer cannot bring in what a field may not: trailers of this kind are dropped, whatever the rules say."""
        self.renew(rules("pass", methods=["POST"]))
        body = b"2\r\nhi\r\n0\r\nX-HTTP-Method: DELETE\r\nDigest: x\r\n\r\n"

        heard = self.forwarded(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)

        self.assertTrue(heard.endswith(b"\r\n0\r\nDigest: x\r\n\r\n"), heard)
