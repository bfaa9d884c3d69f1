"""Whole dialogues of clients that must authenticate."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from egress.errors import Refused
from egress.identity import ListenerIdentifier
from egress.model import Client
from egress.proxy.limits import HttpSettings, Limits
from egress.testing.peers import NetworkPeer
from tests.proxy.accounts import ALICE, BOB, Roster
from tests.proxy.support import ADDRESS, ServerCase

CHALLENGES = (
    b'\r\nProxy-Authenticate: Basic realm="egress", charset="UTF-8"\r\nProxy-Authenticate: Bearer realm="egress"\r\n'
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
WRONG = b"Basic d3Jvbmc6d3Jvbmc="


def get(credentials: bytes | None = None, more: bytes = b"", method: bytes = b"GET") -> bytes:
    """Ask for a page."""
    shown = b"" if credentials is None else b"Proxy-Authorization: " + credentials + b"\r\n"
    return method + b" http://origin.example/page HTTP/1.1\r\nHost: a\r\n" + shown + more + b"\r\n"


def connect(credentials: bytes | None = None, more: bytes = b"") -> bytes:
    """Ask for a tunnel."""
    shown = b"" if credentials is None else b"Proxy-Authorization: " + credentials + b"\r\n"
    return b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n" + shown + more + b"\r\n"


class CallersCase(ServerCase):
    """A proxy server with a roster."""

    is_required = True

    def setUp(self) -> None:
        super().setUp()
        self.roster = Roster(self.is_required)
        self.server.identifier = self.roster

    def says(self, client: NetworkPeer, data: bytes) -> bytes:
        """Let a client say something, and give what it heard then."""
        client.take()
        client.says(data)
        self.network.settle()
        return client.take()

    def clients(self) -> list[str]:
        """Give whose the records are, in order."""
        return [record.client.key for record in self.ends()]


class Asked(CallersCase):
    """A listener that requires credentials."""

    def test_plain_request_is_challenged_and_repeated(self) -> None:
        """A request without credentials gets both challenges, and its repetition on the same connection is served."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.client()

        refused = self.says(client, get())
        served = self.says(client, get(ALICE))

        expected = b"HTTP/1.1 407 Proxy Authentication Required by egress: credentials_required ("
        self.assertTrue(refused.startswith(expected), refused)
        self.assertIn(CHALLENGES, refused)
        self.assertIn(b"\r\nConnection: keep-alive\r\n", refused)
        self.assertTrue(served.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertEqual(["agents/127.0.0.1", "alice"], self.clients())
        self.assertEqual(1, len(origin.peers))

    def test_tunnel_is_challenged_and_repeated(self) -> None:
        """So is a CONNECT: clients that wait to be asked do so on one connection."""
        origin = self.origin(port=443)
        client = self.client()

        refused = self.says(client, connect())
        served = self.says(client, connect(BOB))
        client.says(b"hello")
        self.network.settle()

        self.assertTrue(refused.startswith(b"HTTP/1.1 407 "))
        self.assertIn(CHALLENGES, refused)
        self.assertTrue(served.startswith(b"HTTP/1.1 200 "))
        origin.heard(b"hello")
        client.ends()
        origin.peer.ends()
        self.network.settle()
        self.assertEqual(["agents/127.0.0.1", "bob"], self.clients())

    def test_old_clients_without_host(self) -> None:
        """Credentials count in HTTP/1.0 too, where a head may have no other field that means something to a proxy."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        old = b"GET http://origin.example/page HTTP/1.0\r\nProxy-Authorization: %b\r\n\r\n"

        served, refused = self.said(old % ALICE), self.said(old % WRONG)

        served.heard(b"HTTP/1.1 200 OK\r\n")
        self.assert_refused(refused, 407, "credentials_refused")
        self.assertNotIn(b"Authorization", origin.peer.received)

    def test_refusal_is_recorded(self) -> None:
        """The record has what was asked for, and the client by the connection's facts."""
        client = self.said(get(WRONG))

        problem = self.assert_refused(client, 407, "credentials_refused")
        record = self.ends()[-1]
        assert record.request is not None
        self.assertEqual("origin.example:80", record.request.authority.text)
        self.assertEqual(("refused", "http"), (record.event, record.request_form))
        self.assertEqual(record.request.id, problem["request_id"])
        self.assertEqual("agents/127.0.0.1", record.client.key)
        self.assertEqual("agents/127.0.0.1", record.request.client.key)

    def test_a_refusal_after_somebody_was_served(self) -> None:
        """Wrong credentials are not charged to whoever used the connection before."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(get(ALICE))

        self.says(client, get(WRONG))
        self.says(client, b"nonsense\r\n\r\n")

        self.assertEqual(["alice", "agents/127.0.0.1", "agents/127.0.0.1"], self.clients())

    def test_nothing_is_judged_or_dialled_before(self) -> None:
        """Who asks without credentials learns nothing of the rules, and no name is looked up for it."""
        for request in (get().replace(b"origin", b"denied"), connect().replace(b"origin", b"denied")):
            client = self.said(request)

            client.heard(b"HTTP/1.1 407 ")

        self.assertEqual([], self.network.dialled)
        self.assertEqual([], self.resolver.asked)

    def test_credentials_stay_here(self) -> None:
        """No origin gets Proxy-Authorization, neither from the head nor from a trailer."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        body = b"1\r\na\r\n0\r\nProxy-Authorization: " + ALICE + b"\r\n\r\n"

        self.said(get(ALICE, b"Connection: proxy-authorization\r\n"))
        self.said(get(ALICE, b"Transfer-Encoding: chunked\r\nTrailer: Proxy-Authorization\r\n", b"POST") + body)

        for peer in origin.peers:
            self.assertNotIn(b"authorization", peer.received.lower().replace(b"trailer: proxy-authorization", b""))
            self.assertNotIn(ALICE, peer.received)

    def test_credentials_stay_out_of_trace(self) -> None:
        """An answer to TRACE reflects everything but them."""
        request = (
            b"TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nProxy-Authorization: " + ALICE + b"\r\n\r\n"
        )

        client = self.said(request)

        client.heard(b"HTTP/1.1 200 ", contains=b"Max-Forwards: 0")
        self.assertNotIn(ALICE, client.received)
        self.assertEqual(["alice"], self.clients())

    def test_own_answers_are_for_callers_too(self) -> None:
        """What the proxy answers by itself needs credentials as well."""
        for request in (
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n%b\r\n",
            b"TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n%b\r\n",
        ):
            client = self.client()

            refused = self.says(client, request % b"")
            served = self.says(client, request % (b"Proxy-Authorization: " + BOB + b"\r\n"))

            self.assertTrue(refused.startswith(b"HTTP/1.1 407 "))
            self.assertTrue(served.startswith(b"HTTP/1.1 20"))

    def test_two_fields(self) -> None:
        """Two Proxy-Authorization fields are no request: nobody knows which one would count."""
        client = self.said(get(ALICE, b"proxy-authorization: " + BOB + b"\r\n"))

        self.assert_refused(client, 400, "bad_head")
        self.assertEqual([], self.roster.seen)

    def test_pipelined_callers(self) -> None:
        """Each request is of whoever its own credentials name, and their connections to an origin are apart."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(get(ALICE) + get(BOB) + get() + get(ALICE))

        self.assertEqual(3, client.received.count(b"HTTP/1.1 200 OK\r\n"))
        self.assertEqual(1, client.received.count(b"HTTP/1.1 407 "))
        self.assertEqual(["alice", "bob", "agents/127.0.0.1", "alice"], self.clients())
        self.assertEqual([2, 1], [peer.received.count(b"GET /page ") for peer in origin.peers])

    def test_head_is_challenged_without_a_body(self) -> None:
        """In answer to HEAD there is no body."""
        client = self.client()

        refused = self.says(client, get(method=b"HEAD"))

        self.assertTrue(refused.startswith(b"HTTP/1.1 407 "))
        self.assertTrue(refused.endswith(b"\r\n\r\n"))

    def test_a_broken_identifier(self) -> None:
        """Whoever cannot be identified because something is broken is not served."""

        class Broken(Roster):
            def identify(self, _connection: object, _credentials: bytes | None) -> Client | Deferred[Client]:
                raise RuntimeError("broken")

        self.server.identifier = Broken()

        client = self.said(get(ALICE))

        self.assert_refused(client, 500, "internal_error")
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_nothing_is_left_behind(self) -> None:
        """A connection that was only ever refused is gone when its client is."""
        client = self.said(get() + get(WRONG))

        client.closes()
        self.network.settle()

        self.assertEqual((set(), {}), (self.server.connections.live, self.server.connections.per_client))
        self.assertEqual(0, self.network.open_links())


class BodiesOfRefused(CallersCase):
    """A refused request with a body: the connection is kept where its end can be found cheaply."""

    def test_short_body_is_read_past(self) -> None:
        """The next request behind it is served, however both arrive."""
        body = b"01234"
        for cut in range(len(body) + 1):
            with self.subTest(cut=cut):
                self.setUp()
                origin = self.origin(answer=lambda peer, _: peer.says(OK))
                client = self.said(get(None, b"Content-Length: 5\r\n", b"POST") + body[:cut])

                client.says(body[cut:] + get(ALICE))
                self.network.settle()

                self.assertEqual(1, client.received.count(b"HTTP/1.1 407 "))
                self.assertTrue(client.received.endswith(b"\r\n\r\nhello"))
                self.assertNotIn(b"01234", origin.peer.received)
                self._port += 1

    def test_empty_body(self) -> None:
        """A length of zero is no body."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(get(None, b"Content-Length: 0\r\n", b"POST"))

        self.assertTrue(self.says(client, get(ALICE)).startswith(b"HTTP/1.1 200 "))

    def test_long_body_closes(self) -> None:
        """To read past a long body would cost more than a new connection."""
        client = self.said(get(None, b"Content-Length: 65537\r\n", b"POST"))

        client.heard(b"HTTP/1.1 407 ", contains=b"Connection: close\r\n")
        self.assertTrue(client.saw_eof)

    def test_chunks_close(self) -> None:
        """Chunks are not read: they may cost much more than their content."""
        body = b"5\r\n01234\r\n0\r\n\r\n"
        client = self.said(get(None, b"Transfer-Encoding: chunked\r\n", b"POST") + body + get(ALICE))

        client.heard(b"HTTP/1.1 407 ", contains=b"Connection: close\r\n")
        self.assertEqual(1, client.received.count(b"HTTP/1.1 "))
        self.assertTrue(client.saw_eof)

    def test_body_that_may_not_come(self) -> None:
        """Who expects a 100 may send the body or not, so what follows cannot be told."""
        client = self.said(get(None, b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"POST"))

        client.heard(b"HTTP/1.1 407 ", contains=b"Connection: close\r\n")
        self.assertTrue(client.saw_eof)

    def test_slow_body_closes(self) -> None:
        """It has to come in the time of a head."""
        client = self.said(get(None, b"Content-Length: 5\r\n", b"POST") + b"01")

        self.network.advance(self.server.limits.head_seconds + 1)

        self.assertTrue(client.saw_eof)
        self.network.advance(self.server.limits.linger_seconds + 1)
        self.assertEqual(set(), self.server.connections.live)

    def test_client_that_ends_in_it(self) -> None:
        """A FIN within the body ends the connection."""
        client = self.said(get(None, b"Content-Length: 5\r\n", b"POST") + b"01")

        client.ends()
        self.network.settle()

        self.assertEqual(set(), self.server.connections.live)

    def test_stopping_in_it(self) -> None:
        """A proxy that stops does not wait for it."""
        client = self.said(get(None, b"Content-Length: 5\r\n", b"POST") + b"01")

        self.server.stop()
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.server.start()


class TunnelsOfRefused(CallersCase):
    """A refused CONNECT: what follows it may be meant for the tunnel."""

    def test_early_bytes_close(self) -> None:
        """What was sent with a CONNECT is never read as a request, even if it looks like one that would be served."""
        client = self.said(connect() + get(ALICE))

        client.heard(b"HTTP/1.1 407 ", contains=b"Connection: close\r\n")
        self.assertEqual(1, client.received.count(b"HTTP/1.1 "))
        self.assertTrue(client.saw_eof)
        self.assertEqual([None], self.roster.seen)

    def test_wrong_credentials_close(self) -> None:
        """Only who has sent none is asked on the same connection."""
        client = self.said(connect(WRONG))

        client.heard(b"HTTP/1.1 407 ", contains=b"Connection: close\r\n")
        self.assertTrue(client.saw_eof)

    def test_late_bytes_need_credentials(self) -> None:
        """Bytes for a tunnel that come after the refusal are refused themselves, for they have no credentials."""
        client = self.said(connect())

        late = self.says(client, get())

        self.assertTrue(late.startswith(b"HTTP/1.1 407 "))

    def test_close_is_honoured(self) -> None:
        """A client that wants its connection closed gets that."""
        client = self.said(connect(None, b"Connection: close\r\n"))

        client.heard(b"HTTP/1.1 407 ", contains=b"Connection: close\r\n")
        self.assertTrue(client.saw_eof)

    def test_old_client(self) -> None:
        """So does one of HTTP/1.0."""
        client = self.said(connect().replace(b"HTTP/1.1", b"HTTP/1.0"))

        self.assertTrue(client.saw_eof)


class Slow(CallersCase):
    """An identifier that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.roster.is_slow = True

    def test_request_waits(self) -> None:
        """What the client sends meanwhile is held, and all is served in order."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(get(ALICE) + get(BOB))
        self.assertEqual(b"", client.received)

        self.roster.pending[0].callback(Client("alice"))
        self.network.settle()
        self.assertEqual(1, client.received.count(b"HTTP/1.1 200 "))
        self.roster.pending[1].callback(Client("bob"))
        self.network.settle()

        self.assertEqual(2, client.received.count(b"HTTP/1.1 200 "))
        self.assertEqual(["alice", "bob"], self.clients())

    def test_tunnel_waits(self) -> None:
        """Bytes for a tunnel wait for its client's name, too, and so does a FIN where clients may half-close."""
        self.server.http = HttpSettings(client_half_close="answer")
        origin = self.origin(port=443)
        client = self.said(connect(ALICE) + b"early")
        client.ends()
        self.network.settle()
        self.assertEqual([], self.network.dialled)

        self.roster.pending[0].callback(Client("alice"))
        self.network.settle()

        client.heard(b"HTTP/1.1 200 ")
        origin.heard(b"early")
        self.assertTrue(origin.peer.saw_eof)

    def test_body_waits(self) -> None:
        """And so does a body."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(get(ALICE, b"Content-Length: 5\r\n", b"POST") + b"012")
        client.says(b"34")
        self.network.settle()

        self.roster.pending[0].callback(Client("alice"))
        self.network.settle()

        self.assertTrue(origin.peer.received.endswith(b"\r\n\r\n01234"))
        client.heard(b"HTTP/1.1 200 ")

    def test_refused_at_last(self) -> None:
        """A refusal that comes late is answered as one that comes at once."""
        client = self.said(get(WRONG))

        self.roster.pending[0].errback(Refused("credentials_refused", "No."))
        self.network.settle()

        self.assert_refused(client, 407, "credentials_refused")
        self.assertFalse(client.saw_eof)

    def test_client_that_leaves(self) -> None:
        """Nobody waits for the name of a client that is gone; the record says that it went."""
        client = self.said(get(ALICE))

        client.aborts()
        self.network.settle()

        self.assertEqual(1, self.roster.cancelled)
        self.assertEqual([("end", "client_reset")], [(each.event, each.cause) for each in self.ends()])
        self.assertEqual("agents/127.0.0.1", self.ends()[0].client.key)

    def test_deadline(self) -> None:
        """An identifier that does not answer is not waited for without end."""
        client = self.said(get(ALICE))

        self.network.advance(self.server.limits.policy_seconds + 1)

        self.assert_refused(client, 500, "internal_error")
        self.assertEqual(1, self.roster.cancelled)

    def test_failure(self) -> None:
        """One that fails serves nobody, and the log has why."""
        client = self.said(get(ALICE))

        self.roster.pending[0].errback(RuntimeError("broken"))
        self.network.settle()

        self.assert_refused(client, 500, "internal_error")
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_nonsense(self) -> None:
        """Neither does one that gives something else than a client."""
        client = self.said(get(ALICE))

        self.roster.pending[0].callback(None)  # type: ignore[arg-type]
        self.network.settle()

        client.heard(b"HTTP/1.1 500 ")
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))

    def test_stopping(self) -> None:
        """A proxy that stops does not wait."""
        client = self.said(get(ALICE))

        self.server.stop()
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(1, self.roster.cancelled)
        self.assertEqual(["stopping"], [each.cause for each in self.ends()])
        self.server.start()


class Optional(CallersCase):
    """A listener that takes credentials where they are given."""

    is_required = False

    def test_with_and_without(self) -> None:
        """A request without them is of the connection's client, whoever came before."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        self.said(get() + get(ALICE) + get())

        self.assertEqual(["agents/127.0.0.1", "alice", "agents/127.0.0.1"], self.clients())


class Reloaded(CallersCase):
    """A connection that lives on while what its listener asks for changes."""

    def test_nothing_was_asked_before(self) -> None:
        """What is asked for from now on is asked for on connections that stand, too."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        self.server.identifier = ListenerIdentifier()
        client = self.said(get())
        client.heard(OK[:12])

        self.server.identifier = self.roster

        self.assertIn(b" 407 ", self.says(client, get()))
        self.assertIn(b" 200 ", self.says(client, get(ALICE)))
        self.assertEqual([None, ALICE], self.roster.seen)


class Counts(CallersCase):
    """A connection counts for whoever it was last known to be of."""

    limits = Limits(connections_per_client=2)

    def test_counts_move(self) -> None:
        """The count follows the requests."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.client()
        self.network.settle()
        self.assertEqual({"agents/127.0.0.1": 1}, self.server.connections.per_client)

        self.says(client, get(ALICE))
        self.assertEqual({"alice": 1}, self.server.connections.per_client)
        self.says(client, get(BOB) + get(WRONG))
        self.assertEqual({"bob": 1}, self.server.connections.per_client)
        client.closes()
        self.network.settle()
        self.assertEqual({}, self.server.connections.per_client)

    def test_one_too_many(self) -> None:
        """One client's third connection is refused; another's is not, although both come from one address."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        self.said(get(ALICE))
        self.said(get(ALICE))

        third = self.said(get(ALICE))

        self.assert_refused(third, 429, "too_many_connections")
        self.assertEqual("alice", self.ends()[-1].client.key)
        self.assertTrue(self.says(third, get(BOB)).startswith(b"HTTP/1.1 200 "))
        self.assertEqual({"alice": 2, "bob": 1}, self.server.connections.per_client)


class Usual(ServerCase):
    """The identifier that is always there."""

    def test_credentials_are_dropped(self) -> None:
        """Where none are asked for, those that come are neither looked at nor passed on."""
        self.assertIsInstance(self.server.identifier, ListenerIdentifier)
        origin = self.origin(ADDRESS, answer=lambda peer, _: peer.says(OK))

        client = self.said(get(WRONG))

        client.heard(b"HTTP/1.1 200 ")
        self.assertNotIn(b"uthorization", origin.peer.received)
