"""Requests that come back: through other proxies, and through another egress."""

from __future__ import annotations

from egress.upstream import TunnelingAgent
from egress.upstream.upstream_state import UpstreamState
from tests.proxy.support import ADDRESS
from tests.proxy.test_routes import ANSWER, CONNECT, GET, PROXY, RouteCase

CODE = "loop_detected"


class OwnViaTests(RouteCase):
    """One proxy server, and a request with its Via."""

    environ = {}  # noqa: RUF012
    pseudonym = b"egress-1a2b"

    def test_refused(self) -> None:
        """A request that has passed this proxy is answered 508, logged with its destination, and goes nowhere."""
        for line in (CONNECT, GET, GET.replace(b"GET", b"DELETE")):
            via = b"Via: 1.1 other, 1.1 egress-1a2b\r\n"
            client = self.said(line[:-2] + via + b"\r\n")

            problem = self.assert_refused(client, 508, CODE)

            self.assertIn("the route is a loop", problem["reason"])
            self.assertIn(b"HTTP/1.1 508 Loop Detected by egress: loop_detected (", client.received)
            self.assertIn(b"Proxy-Status: egress; error=proxy_loop_detected; ", client.received)
            record = self.ends()[-1]
            assert record.request is not None
            self.assertEqual(("refused", "origin.example"), (record.event, record.request.authority.host))
            self.assertIsNone(record.admission)
            self.assertIn(b"\r\nConnection: close\r\n", client.received)
        self.assertEqual([], self.network.dialled)

    def test_body_is_not_a_request(self) -> None:
        """What follows a refused request is not read as another one."""
        post = b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 400\r\nVia: 1.1 egress-1a2b\r\n\r\n"
        client = self.said(post + GET)

        self.assertEqual(1, client.received.count(b"HTTP/1.1 "))
        self.assertEqual(1, len(self.ends()))

    def test_passed_on(self) -> None:
        """The names of other proxies are passed on, in their order, with that of this proxy behind them."""
        origin = self.origin(answer=lambda peer, _: peer.says(ANSWER))

        self.said(GET[:-2] + b"Via: 1.0 fred\r\nvia: 1.1 p.example (x)\r\n\r\n").heard(b"HTTP/1.1 200 ")

        heard = b"GET /page?q=1 HTTP/1.1\r\nHost: origin.example\r\nVia: 1.0 fred\r\nvia: 1.1 p.example (x)\r\n"
        origin.heard(heard + b"Via: 1.1 egress-1a2b\r\n\r\n")

    def test_not_forwarded(self) -> None:
        """A TRACE that goes no further is answered here, whatever it has passed: that is what Max-Forwards is for."""
        trace = b"TRACE http://origin.example/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nVia: 1.1 egress-1a2b\r\n\r\n"

        self.said(trace).heard(b"HTTP/1.1 200 ")


class ChainTests(RouteCase):
    """Two proxy servers, each of which is the other's upstream."""

    environ = {}  # noqa: RUF012

    def make_two(self, *, is_loop: bool = True) -> None:
        """Make both; clients connect to the second one.

        Args:
            is_loop: the first sends everything to the second, and not to its destination.
        """
        first, second = self._port + 1, self._port + 2
        self.pseudonym = b"egress-first"
        self.environ = {"HTTPS_PROXY": f"http://127.0.0.1:{second}", "NO_PROXY": ""} if is_loop else {}
        self.arrange_anew(self.rules)
        self.first = self.server
        self.pseudonym = b"egress-second"
        self.environ = {"HTTPS_PROXY": f"http://127.0.0.1:{first}"}
        self.arrange_anew(self.rules)

    rules: dict[str, object] | None = None

    def states(self) -> list[UpstreamState]:
        """Give the states of both upstreams."""
        agents = [server.gate.snapshot.agent for server in (self.first, self.server)]
        found = []
        for agent in agents:
            assert isinstance(agent, TunnelingAgent)
            found.append(agent.states.of(agent.upstreams["HTTPS_PROXY"]))
        return found

    def assert_loop(self, request: bytes) -> None:
        """The request is refused when it comes back, and each server says so."""
        client = self.said(request)

        client.heard(b"HTTP/1.1 508 ")
        self.assertEqual(CODE, self.problem(client)["code"])
        self.network.settle()
        codes = [record.refused.code if record.refused else "" for record in self.ends()]
        self.assertEqual(3, len(codes), codes)
        self.assertEqual(CODE, codes[0])
        # The second server, the first server, and the second server again.
        self.assertLessEqual(len(self.network.dialled), 2)

    def test_connect(self) -> None:
        """A tunnel is refused when it comes back to the server that it began at."""
        self.make_two()

        self.assert_loop(CONNECT)

        codes = [record.refused.code if record.refused else "" for record in self.ends()]
        self.assertEqual([CODE] * 3, codes)
        self.assertEqual(["refused", "end", "end"], [record.event for record in self.ends()])
        self.assertEqual(["", ""], [state.code for state in self.states()])

    def test_absolute_form(self) -> None:
        """So is a plain request."""
        self.make_two()

        self.assert_loop(GET)

    def test_pinned(self) -> None:
        """So is a plain request that is sent by CONNECT."""
        self.rules = {"allow": [{"hosts": ["**"], "ports": [80, 443]}]}
        self.make_two()

        self.assert_loop(GET)

    def test_row(self) -> None:
        """Two servers one behind the other, which lead to the origin, are no loop."""
        self.make_two(is_loop=False)
        origin = self.origin(answer=lambda peer, _: peer.says(ANSWER))
        tunnelled = self.origin(ADDRESS, 443)

        self.said(GET).heard(b"HTTP/1.1 200 ")
        client = self.said(CONNECT)
        client.heard(b"HTTP/1.1 200 ")
        client.says(b"up")
        self.network.settle()

        self.assertIn(b"\r\nVia: 1.1 egress-second\r\nVia: 1.1 egress-first\r\n\r\n", origin.peers[0].received)
        tunnelled.heard(b"up")

    def test_other_proxy_between(self) -> None:
        """A proxy that names nobody and passes Via on does not hide the loop."""
        self.environ = {"HTTPS_PROXY": f"http://{PROXY}:3128"}
        self.arrange_anew()
        proxy = self.forwarding()
        proxy.refusals["origin.example:443"] = b"HTTP/1.1 508 Loop Detected\r\n\r\n"

        problem = self.assert_refused(self.said(CONNECT), 508, CODE)

        self.assertEqual(
            "An upstream proxy has found that the request came back to it, or to a proxy behind it.", problem["reason"]
        )
