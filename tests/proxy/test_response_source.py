"""The audit log has the source of each response."""

from __future__ import annotations

from egress.errors import NameNotFound
from tests.proxy.support import ServerCase
from tests.proxy.test_routes import ANSWER, CONNECT, GET, RouteCase


class DirectTests(ServerCase):
    """Without upstream proxies."""

    def test_origin(self) -> None:
        """An answer on a direct route is the origin's, even if it looks like a proxy's."""
        self.origin(
            answer=lambda peer, _: peer.says(b"HTTP/1.1 503 No\r\nX-Squid-Error: x\r\nContent-Length: 0\r\n\r\n")
        )

        self.said(GET)

        self.assertEqual([(503, "origin")], [(each.status, each.response_source) for each in self.ends()])

    def test_egress(self) -> None:
        """Refusals, failures and the 200 of a tunnel are ours."""
        self.origin(port=443)
        self.resolver.answer("a.wide.example", NameNotFound("gone"))

        self.said(b"nonsense\r\n\r\n")
        self.said(b"GET http://denied.example/ HTTP/1.1\r\nHost: denied.example\r\n\r\n")
        self.said(b"CONNECT a.wide.example:443 HTTP/1.1\r\nHost: a.wide.example:443\r\n\r\n")
        self.said(CONNECT).aborts()
        self.network.settle()

        self.assertEqual([400, 403, 502, 200], [each.status for each in self.ends()])
        self.assertEqual({"egress"}, {each.response_source for each in self.ends()})

    def test_unresolved_name_keeps_its_rule(self) -> None:
        """A request whose name does not resolve is logged with the policy and rule that had allowed it."""
        self.resolver.answer("origin.example", NameNotFound("gone"))

        client = self.said(CONNECT)

        problem = self.assert_refused(client, 502, "name_not_found")
        (event,) = self.ends()
        assert event.refused is not None
        (allowed,) = event.refused.verdicts
        self.assertEqual((allowed.policy, allowed.rule), (event.refused.policy, event.refused.rule))
        self.assertEqual((allowed.policy, allowed.rule), (problem["policy"], problem["rule"]))
        self.assertTrue(allowed.policy and allowed.rule)


class ProxyTests(RouteCase):
    """Through an upstream proxy."""

    def sources(self, answer: bytes, request: bytes = GET) -> list[tuple[int, str]]:
        """Give the status and the source of what the client receives for this answer of the proxy."""
        self.proxy(lambda peer, _: peer.says(answer))
        self.said(request)
        return [(each.status, each.response_source) for each in self.ends()]

    def test_unknown(self) -> None:
        """An answer to a request in absolute form may be the origin's or the proxy's."""
        self.assertEqual([(200, "unknown")], self.sources(ANSWER))

    def test_squid(self) -> None:
        """An error page of Squid is the proxy's."""
        page = b"HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nContent-Length: 2\r\n\r\nno"

        self.assertEqual([(503, "upstream")], self.sources(page))

    def test_proxy_status(self) -> None:
        """So is an answer whose Proxy-Status says so."""
        page = b"HTTP/1.1 504 No\r\nProxy-Status: corp; error=connection_timeout\r\nContent-Length: 0\r\n\r\n"

        self.assertEqual([(504, "upstream")], self.sources(page))

    def test_head(self) -> None:
        """So is one to HEAD, which has no body."""
        page = b"HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nContent-Length: 2\r\n\r\n"

        self.assertEqual([(503, "upstream")], self.sources(page, GET.replace(b"GET", b"HEAD")))

    def test_credentials_of_egress(self) -> None:
        """A 407 is answered for by egress."""
        challenge = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"

        self.assertEqual([(502, "egress")], self.sources(challenge))

    def test_origin_by_connect(self) -> None:
        """An answer that came by CONNECT is the origin's."""
        self.arrange(rules={"allow": [{"hosts": ["**"], "ports": [80]}]})
        self.forwarding()
        self.origin(answer=lambda peer, _: peer.says(ANSWER))

        self.said(GET)

        self.assertEqual([(200, "origin")], [(each.status, each.response_source) for each in self.ends()])
