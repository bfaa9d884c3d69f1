"""Origin connections that are authenticated, and whom they serve: dialogues."""

from __future__ import annotations

from attrs import evolve

from egress.testing.peers import NetworkPeer
from tests.proxy.ntlm_origin import NtlmOrigin
from tests.proxy.support import OTHER, ServerCase
from tests.proxy.test_routes import PROXY, RouteCase

SUPPORT = b"Proxy-Support: Session-Based-Authentication\r\n"


def get(path: str, token: str = "", scheme: str = "NTLM", host: str = "origin.example", method: str = "GET") -> bytes:
    """Make a request, with a token of the handshake."""
    credentials = f"Authorization: {scheme} {token}\r\n" if token else ""
    return f"{method} http://{host}/{path} HTTP/1.1\r\nHost: {host}\r\n{credentials}\r\n".encode()


class BindingCase(ServerCase):
    """Clients that ask an origin which authenticates connections."""

    def setUp(self) -> None:
        super().setUp()
        self.ntlm = NtlmOrigin()

    def ask(self, client: NetworkPeer, *requests: bytes) -> bytes:
        """Let a client send requests one after the other, and give the last answer."""
        answer = b""
        for request in requests:
            client.take()
            client.says(request)
            self.network.settle()
            answer = client.take()
        return answer

    def login(self, client: NetworkPeer, name: str, scheme: str = "NTLM") -> None:
        """Let a client authenticate its connection."""
        answer = self.ask(
            client, get("page"), get("page", f"hello_{name}", scheme), get("page", f"proof_{name}", scheme)
        )
        self.assertTrue(answer.endswith(b"\r\n\r\n" + name.encode()), answer)


class BindingTests(BindingCase):
    """On a direct route."""

    def test_nobody_else(self) -> None:
        """A connection that one process authenticated is not given to another process of that client."""
        origin = self.origin(answer=self.ntlm.answer)
        alice, other = self.client(), self.client()
        self.login(alice, "alice")

        self.assertIn(b" 401 ", self.ask(other, get("other")))

        self.assertEqual(2, len(origin.peers))
        self.assertEqual(["/page"], [path for _, path, _ in self.ntlm.served])

    def test_kept_for_its_client(self) -> None:
        """The following requests of its client connection need no further handshake, whatever their method."""
        origin = self.origin(answer=self.ntlm.answer)
        alice = self.client()
        self.login(alice, "alice")

        answers = [self.ask(alice, get("more", method=method)) for method in ("GET", "POST", "PATCH", "GET")]

        self.assertEqual([b"alice"] * 4, [answer[-5:] for answer in answers])
        self.assertEqual(1, len(origin.peers))
        self.assertEqual(0, len(self.server.pool))

    def test_interleaved_handshakes(self) -> None:
        """Handshakes of several connections at a time are not mixed."""
        origin = self.origin(answer=self.ntlm.answer)
        clients = {name: self.client() for name in ("alice", "bob", "carol")}
        for step in ("", "hello", "proof", ""):
            for name, client in clients.items():
                client.says(get("page", f"{step}_{name}" if step else ""))
            self.network.settle()

        for name, client in clients.items():
            self.assertTrue(client.received.endswith(name.encode()), client.received)
        self.assertEqual(3, len(origin.peers))

    def test_credentials_without_challenge(self) -> None:
        """A client that sends credentials at once authenticates the connection too."""
        self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        for scheme in ("NTLM", "Negotiate", "Kerberos"):
            self.ask(self.client(), get("page", "token", scheme))
            self.assertEqual(0, len(self.server.pool), scheme)
        self.ask(self.client(), get("page", "token", "Bearer"))
        self.assertEqual(1, len(self.server.pool))

    def test_ends_with_its_client(self) -> None:
        """The connection is closed when its client connection is."""
        origin = self.origin(answer=self.ntlm.answer)
        for leave in (lambda peer: peer.closes(), lambda peer: peer.aborts()):
            alice = self.client()
            self.login(alice, "alice")

            leave(alice)
            self.network.settle()

            self.assertTrue(origin.peer.saw_eof)
            self.assertEqual(set(), self.server.connections.live)

    def test_ends_with_its_origin(self) -> None:
        """When the origin closes it, the next request begins a new one, and is challenged anew."""
        origin = self.origin(answer=self.ntlm.answer)
        for is_late in (False, True):
            alice = self.client()
            self.login(alice, "alice")
            origin.peer.closes()
            if is_late:
                self.network.settle()

            self.assertIn(b" 401 ", self.ask(alice, get("page")))

    def test_surplus(self) -> None:
        """It is looked at as pooled ones are."""
        origin = self.origin(answer=self.ntlm.answer)
        alice = self.client()
        self.login(alice, "alice")

        alice.says(get("page"))
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        self.network.settle()

        alice.heard(b"HTTP/1.1 401 ")

    def test_other_origins(self) -> None:
        """Other origins that its client asks meanwhile have connections of their own, one of which is kept."""
        origin = self.origin(answer=self.ntlm.answer)
        second = NtlmOrigin()
        other = self.origin(OTHER, answer=second.answer)
        alice = self.client()
        self.login(alice, "alice")
        self.assertIn(b" 401 ", self.ask(alice, get("page", host="a.wide.example")))
        self.network.settle()

        # The connection to the second origin was challenged, and takes the place of the first.
        self.assertTrue(origin.peer.saw_eof)
        self.assertFalse(other.peer.saw_eof)
        self.assertIn(b" 401 ", self.ask(alice, get("page")))

    def test_plain_origins_in_between(self) -> None:
        """An origin without such authentication takes no authenticated connection's place."""
        self.origin(answer=self.ntlm.answer)
        self.origin(OTHER, answer=lambda peer, _: peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        alice = self.client()
        self.login(alice, "alice")

        self.assertTrue(self.ask(alice, get("page", host="a.wide.example")).endswith(b"ok"))

        self.assertTrue(self.ask(alice, get("page")).endswith(b"alice"))
        self.assertEqual(1, len(self.server.pool))

    def test_reload(self) -> None:
        """What an earlier configuration snapshot dialled is not used under the next one."""
        origin = self.origin(answer=self.ntlm.answer)
        alice = self.client()
        self.login(alice, "alice")
        snapshot = evolve(self.gate.snapshot, generation=2)
        self.server.renew(snapshot, self.server.identifier, self.limits, self.tls, self.http)

        self.assertIn(b" 401 ", self.ask(alice, get("page")))

        self.assertTrue(origin.peers[0].saw_eof)

    def test_idle(self) -> None:
        """An idle one is closed as pooled ones are."""
        origin = self.origin(answer=self.ntlm.answer)
        alice = self.client()
        self.login(alice, "alice")

        self.network.advance(31)

        self.assertTrue(origin.peer.saw_eof)
        self.assertEqual(1, self.server.pool.reached["pool_seconds"])

    def test_clients_are_told(self) -> None:
        """Clients are told that the connection is kept: some authenticate none otherwise."""
        self.origin(answer=self.ntlm.answer)

        head = self.ask(self.client(), get("page"))

        self.assertIn(SUPPORT + b"Connection: Proxy-Support\r\n", head)
        old = self.ask(self.client(), get("page").replace(b"1.1\r\nHost", b"1.0\r\nConnection: keep-alive\r\nHost"))
        self.assertIn(SUPPORT + b"Connection: keep-alive, Proxy-Support\r\n", old)
        last = self.ask(self.client(), get("page").replace(b"\r\nHost", b"\r\nConnection: close\r\nHost"))
        self.assertNotIn(b"Proxy-Support", last)
        self.assertIn(b"Connection: close\r\n", last)

    def test_clients_are_not_told_for_nothing(self) -> None:
        """Nothing is said where only requests are authenticated."""
        self.ntlm.offers = 'Basic realm="x"'
        self.origin(answer=self.ntlm.answer)

        self.assertNotIn(b"Proxy-Support", self.ask(self.client(), get("page")))
        self.assertEqual(1, len(self.server.pool))


class RouteBindingTests(RouteCase, BindingCase):
    """Through a proxy that is asked in absolute form, whose connection serves several origins."""

    environ = {"HTTP_PROXY": f"http://{PROXY}:3128"}  # noqa: RUF012

    def test_nobody_else(self) -> None:
        """The connection to the proxy belongs to the client connection, and to the origin."""
        proxy = self.proxy(self.ntlm.answer)
        alice, other = self.client(), self.client()
        self.login(alice, "alice", "Negotiate")

        self.assertIn(b" 401 ", self.ask(other, get("other")))
        self.assertIn(b" 401 ", self.ask(alice, get("page", host="a.wide.example")))

        self.assertEqual(3, len(proxy.peers))
        self.assertEqual({"alice"}, {identity for _, _, identity in self.ntlm.served})

    def test_kept_for_its_client(self) -> None:
        """Its client goes on with it."""
        proxy = self.proxy(self.ntlm.answer)
        alice = self.client()
        self.login(alice, "alice")

        self.assertTrue(self.ask(alice, get("page", method="POST")).endswith(b"alice"))

        self.assertEqual(1, len(proxy.peers))

    def test_clients_are_told(self) -> None:
        """Clients are told only what the proxy before the origin says too."""
        for said in (b"", SUPPORT):
            self.network = self.make_network()
            self.setUp()
            head = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\n" + said + b"Content-Length: 0\r\n\r\n"
            self.proxy(lambda peer, _, head=head: peer.says(head))  # type: ignore[misc]

            self.assertEqual(bool(said), SUPPORT in self.ask(self.client(), get("page")))

    def test_proxy_that_wants_it(self) -> None:
        """A proxy that wants a connection authenticated gets no second request on it."""
        head = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"
        proxy = self.proxy(lambda peer, _: peer.says(head))

        self.assertIn(b" 502 ", self.ask(self.client(), get("page")))

        self.assertTrue(proxy.peer.was_reset)
        self.assertEqual(0, len(self.server.pool))
