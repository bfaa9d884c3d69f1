"""The form in which plain requests go through proxies."""

from __future__ import annotations

from attrs import evolve

from egress.model import Route
from egress.proxy.forwarding import Forwarding
from egress.testing import make_request
from egress.testing.peers import NetworkPeer
from tests.proxy.support import ADDRESS
from tests.proxy.test_routes import ANSWER, GET, PROXY, SECOND, ChangingCredentials, RouteCase


class PlainTests(RouteCase):
    """Plain HTTP through a proxy."""

    def test_credentials_are_not_spelled(self) -> None:
        """What a proxy is sent does not show in a traceback."""
        self.assertNotIn("hunter2", repr(Forwarding(None, True, b"Basic hunter2", "")))

    def test_absolute_form_on_a_kept_connection(self) -> None:
        """Requests go in absolute form, one after the other on one connection, whichever origin they are for."""
        proxy = self.proxy(lambda peer, _: peer.says(ANSWER))
        client = self.said(GET)
        client.heard(b"HTTP/1.1 200 ")

        client.says(b"GET http://a.wide.example:80/ HTTP/1.1\r\nHost: a.wide.example\r\n\r\n")
        self.network.settle()

        client.heard(b"HTTP/1.1 200 ")
        self.assertEqual(1, len(proxy.peers))
        heard = proxy.peers[0].received
        self.assertIn(b"GET http://origin.example/page?q=1 HTTP/1.1\r\nHost: origin.example\r\n", heard)
        self.assertIn(b"GET http://a.wide.example/ HTTP/1.1\r\nHost: a.wide.example\r\n", heard)
        self.assertEqual(2, heard.count(b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"))

    def test_wide_pattern_by_connect(self) -> None:
        """A proxy that must be told the address is asked by CONNECT, or it would put the address into Host."""
        self.arrange(rules={"allow": [{"hosts": ["**"], "ports": [80]}]})
        proxy = self.forwarding()
        origin = self.origin(answer=lambda peer, _: peer.says(ANSWER))

        client = self.said(GET)
        client.heard(b"HTTP/1.1 200 ")
        client.says(GET)
        self.network.settle()

        client.heard(b"HTTP/1.1 200 ")
        self.assertEqual([f"{ADDRESS}:80"], proxy.targets)
        self.assertEqual(1, len(origin.peers))
        self.assertIn(b"GET /page?q=1 HTTP/1.1\r\nHost: origin.example\r\n", origin.peers[0].received)
        self.assertNotIn(b"Proxy-", origin.peers[0].received)

    def test_literal_in_absolute_form(self) -> None:
        """An address is an address whoever is asked for it."""
        proxy = self.proxy(lambda peer, _: peer.says(ANSWER))

        self.said(b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n" % ((ADDRESS.encode(),) * 2)).heard(b"HTTP/1.1 200 ")

        proxy.heard(b"GET http://" + ADDRESS.encode())

    def test_websocket_by_connect(self) -> None:
        """A protocol that changes goes by CONNECT: what follows is no longer HTTP."""
        proxy = self.forwarding()
        switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        self.origin(answer=lambda peer, _: peer.says(switched))

        client = self.said(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

        client.heard(b"HTTP/1.1 101 ")
        self.assertEqual(["origin.example:80"], proxy.targets)

    def test_407_is_not_the_clients(self) -> None:
        """A proxy that does not like our credentials is the operator's affair: 502, and no challenge to the client."""
        challenge = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate, Basic realm=x\r\nContent-Length: 0\r\n\r\n"
        self.proxy(lambda peer, _: peer.says(challenge))

        client = self.said(GET)

        problem = self.assert_refused(client, 502, "proxy_auth_required")
        self.assertIn("it offers Negotiate, Basic, and we speak Basic", problem["reason"])
        self.assertNotIn(b"Proxy-Authenticate", client.received)

    def test_closed_without_an_answer(self) -> None:
        """It is the proxy that closed, as far as anybody can tell."""
        self.proxy(lambda peer, _: peer.closes())

        self.assert_refused(self.said(GET), 502, "proxy_malformed")

    def test_garbage(self) -> None:
        """What is not HTTP is a proxy's fault too."""
        self.proxy(lambda peer, _: peer.says(b"SSH-2.0-x\r\n\r\n"))

        self.assert_refused(self.said(GET), 502, "proxy_malformed")

    def test_silence(self) -> None:
        """A proxy that never answers is answered for."""
        self.proxy()
        client = self.said(GET)

        self.network.advance(self.limits.response_seconds + 1)

        self.assert_refused(client, 504, "proxy_timeout")

    def test_stale_connection_is_dialled_again(self) -> None:
        """A kept connection that the proxy closes as we use it costs nobody anything."""
        heard: list[bytes] = []

        def hear(peer: NetworkPeer, data: bytes) -> None:
            heard.append(data)
            if len(heard) == 2:
                peer.aborts()
            else:
                peer.says(ANSWER)

        self.proxy(hear)
        client = self.said(GET)
        client.take()

        client.says(GET)
        self.network.settle()

        client.heard(b"HTTP/1.1 200 ")
        self.assertEqual(3, len(heard))

    def test_other_credentials_take_another_connection(self) -> None:
        """A connection on which other credentials were sent is not used again."""
        credentials = ChangingCredentials(b"Basic first")
        self.proxies["HTTPS_PROXY"] = evolve(self.proxies["HTTPS_PROXY"], credentials=credentials)
        proxy = self.proxy(lambda peer, _: peer.says(ANSWER))
        self.said(GET).heard(b"HTTP/1.1 200 ")

        credentials.value = b"Basic second"
        self.said(GET)

        self.assertEqual(2, len(proxy.peers))


class Places(RouteCase):
    """What keeps connections of the pool apart."""

    environ: dict[str, str] = {}  # noqa: RUF012  # replaced, not changed
    routing = {"default": "corp"}  # noqa: RUF012
    upstreams = [{"name": "corp", "url": f"http://{PROXY}:3128"}]  # noqa: RUF012

    def test_places(self) -> None:
        """Connections through other proxies are told apart, whatever these are called."""
        request = make_request("http://origin.example/")
        places = set()
        for url in (f"http://{PROXY}:3128", f"https://{PROXY}:3128", f"http://{SECOND}:3128", f"http://{PROXY}:80"):
            self.upstreams = [{"name": "corp", "url": url}]
            route = Route("corp", self.selector().hops, (), True)
            proxy = self.agent(self.own()).proxies.last_proxy(route)
            places |= {Forwarding.make(proxy, request, route, upgrade).place for upgrade in (None, b"websocket")}

        self.assertEqual(8, len(places), places)
