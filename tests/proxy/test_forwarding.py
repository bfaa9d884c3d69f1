"""The form in which plain requests go through proxies."""

from __future__ import annotations

from typing import Any

from attrs import astuple, evolve
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.model import NO_FIELDS, Request, Route
from egress.proxy.forwarding import DIRECT_FORWARDING, Forwarding, Forwardings
from egress.testing import make_request, resolve_to
from egress.testing.peers import NetworkPeer
from egress.upstream import TunnelingAgent
from egress.wire.request_head import RequestReader
from egress.wire.response_head import ResponseReader
from egress.wire.via import Via
from tests.proxy.support import ADDRESS, OTHER
from tests.proxy.test_routes import ANSWER, GET, PROXY, SECOND, ChangingCredentials, RouteCase

_head = RequestReader(1024, 1024, 16).feed(GET)
assert _head is not None
HEAD = _head


class PlainTests(RouteCase):
    """Plain HTTP through a proxy."""

    def test_credentials_are_not_spelled(self) -> None:
        """What a proxy is sent does not show in a traceback."""
        self.assertNotIn("hunter2", repr(Forwarding(None, True, b"Basic hunter2", "", NO_FIELDS)))

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
            places |= {
                Forwarding.make(proxy, request, route, upgrade, NO_FIELDS).place for upgrade in (None, b"websocket")
            }

        self.assertEqual(8, len(places), places)


class ChoiceTests(RouteCase):
    """`Forwardings` and `Forwarding`, with the proxies of a configuration."""

    def setUp(self) -> None:
        super().setUp()
        self.credentials = ChangingCredentials(b"Basic first")
        self.proxies["HTTPS_PROXY"] = evolve(self.proxies["HTTPS_PROXY"], credentials=self.credentials)
        self.known = self.agent_of({"HTTPS_PROXY": self.proxies["HTTPS_PROXY"]})
        self.hops = self.upstream_selector.hops
        self.request = make_request("http://origin.example/")
        self.by_name = Route("HTTPS_PROXY", self.hops, (), True)
        self.by_address = Route("HTTPS_PROXY", self.hops, resolve_to(ADDRESS, OTHER).addresses)
        self.forwardings = Forwardings(Via(self.pseudonym))

    def agent_of(self, proxies: Any) -> Any:
        """Give the proxies of an agent that knows these."""
        return TunnelingAgent(self.network.reactor, 1, 1, 1, 1024, proxies, self.resolver).proxies

    def choose(self, route: Route, request: Request | None = None, upgrade: bytes | None = None) -> Forwarding:
        """Choose a form."""
        return self.forwardings.choose(self.known, request or self.request, route, upgrade, HEAD)

    def test_absolute_form(self) -> None:
        """Absolute form is for requests by name or for a literal address that change no protocol; others by CONNECT."""
        literal = make_request(f"http://{ADDRESS}/")
        rows: list[tuple[Route, Request, bytes | None, bool]] = [
            (self.by_name, self.request, None, True),
            (self.by_address, self.request, None, False),
            (self.by_address, literal, None, True),
            (self.by_name, self.request, b"websocket", False),
            (self.by_address, literal, b"websocket", False),
        ]
        for route, request, upgrade, is_absolute in rows:
            with self.subTest(by_name=route.by_name, host=request.authority.host, upgrade=upgrade):
                form = self.choose(route, request, upgrade)

                self.assertIs(is_absolute, form.is_absolute)
                # Credentials for the proxy are in requests that the proxy reads, and the origin gets none of them.
                self.assertEqual(b"Basic first" if is_absolute else None, form.authorization)
                self.assertIs(form.proxy if is_absolute else None, form.recipient)

    def test_direct(self) -> None:
        """A request on a direct route has no recipient but its origin, and no place of its own."""
        self.assertEqual((None, False, None, "", NO_FIELDS), astuple(DIRECT_FORWARDING, recurse=False))
        self.assertIs(None, DIRECT_FORWARDING.recipient)

    def test_places(self) -> None:
        """Requests in absolute form share a place whatever their origin; by CONNECT each origin has its own."""
        other = make_request("http://a.wide.example/")
        one = Route("HTTPS_PROXY", self.hops, resolve_to(ADDRESS).addresses)
        turned = Route("HTTPS_PROXY", self.hops, resolve_to(OTHER, ADDRESS).addresses)

        self.assertEqual(self.choose(self.by_name).place, self.choose(self.by_name, other).place)
        self.assertEqual(self.choose(self.by_address).place, self.choose(turned).place)
        places = {
            self.choose(self.by_name).place,
            self.choose(self.by_name, upgrade=b"websocket").place,
            self.choose(self.by_address).place,
            self.choose(self.by_address, other).place,
            self.choose(one).place,
        }
        self.assertEqual(5, len(places), places)
        self.assertNotIn("first", " ".join(places))

    def test_kept(self) -> None:
        """The form for a destination on a route is made once."""
        form = self.choose(self.by_name)

        self.assertIs(form, self.choose(self.by_name, make_request("http://origin.example/other")))

    def test_made_anew(self) -> None:
        """Another destination, an equal route, other proxies and other credentials each have a form of their own."""
        form = self.choose(self.by_name)

        self.assertIsNot(form, self.choose(self.by_name, make_request("http://a.wide.example/")))
        form = self.choose(self.by_name)
        self.assertIsNot(form, self.choose(Route("HTTPS_PROXY", self.hops, (), True)))
        form = self.choose(self.by_name)
        self.known = self.agent_of(self.proxies)
        self.assertIsNot(form, self.choose(self.by_name))
        form = self.choose(self.by_name)
        self.credentials.value = b"Basic second"
        anew = self.choose(self.by_name)
        self.assertEqual((b"Basic first", b"Basic second"), (form.authorization, anew.authorization))
        self.assertNotEqual(form.place, anew.place)

    def test_upgrades_are_not_kept(self) -> None:
        """The form of a request that changes the protocol is given to no other, nor the other way round."""
        changing = self.choose(self.by_name, upgrade=b"websocket")
        plain = self.choose(self.by_name)

        self.assertEqual((False, True), (changing.is_absolute, plain.is_absolute))
        self.assertFalse(self.choose(self.by_name, upgrade=b"websocket").is_absolute)

    def test_blame(self) -> None:
        """In absolute form what the exchange says of its origin is said of the proxy, by its name in the log alone."""
        form = self.choose(self.by_name)
        for code, blamed in (
            ("origin_closed", "proxy_malformed"),
            ("origin_malformed", "proxy_malformed"),
            ("origin_timeout", "proxy_timeout"),
        ):
            with self.subTest(code):
                refused = form.blame(Refused(code, "So it was."), Failure(ConnectionDone()))

                self.assertEqual((blamed, "upstream 'HTTPS_PROXY': So it was."), (refused.code, refused.detail))
                self.assertNotIn("HTTPS_PROXY", refused.reason)

    def test_nobody_to_blame(self) -> None:
        """Other refusals stay as they are, and so do those of exchanges with an origin."""
        denied, closed = Refused("denied", "No."), Refused("origin_closed", "So it was.")

        self.assertIs(denied, self.choose(self.by_name).blame(denied, None))
        self.assertIs(closed, self.choose(self.by_address).blame(closed, None))
        self.assertIs(closed, DIRECT_FORWARDING.blame(closed, Failure(ConnectionDone())))

    def test_challenged(self) -> None:
        """A 407 is told apart by whether the proxy was sent credentials."""
        head = ResponseReader(1024).feed(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\n\r\n")
        assert head is not None
        sent = self.choose(self.by_name).challenged(head)
        self.known = self.agent_of({"HTTPS_PROXY": evolve(self.proxies["HTTPS_PROXY"], credentials=None)})
        unsent = self.choose(self.by_name).challenged(head)

        self.assertEqual(["proxy_auth_required"] * 2, [sent.code, unsent.code])
        self.assertNotEqual(sent.reason, unsent.reason)
        self.assertIn("Negotiate", sent.reason)

    def test_no_proxies(self) -> None:
        """A hop that is no proxy of the configuration is a fault, and no request goes without it."""
        self.known = self.agent_of({})

        self.assertRaises(ValueError, self.choose, self.by_name)
