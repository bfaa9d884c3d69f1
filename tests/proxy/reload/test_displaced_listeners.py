"""Connections whose listener a reload removes, and pooled connections of earlier snapshots."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred

from egress.errors import Refused
from egress.model import Client, Connection
from egress.policy.destinations import make_destinations
from egress.proxy.factory import ProxyFactory
from egress.proxy.reload.displaced_listeners import DisplacedListeners
from tests.proxy.accounts import ALICE, Roster
from tests.proxy.client.test_tls import AT, SecureCase
from tests.proxy.reload.test_reevaluation import CONNECT, GET, OK, SAME, ReevaluationCase
from tests.proxy.support import ADDRESS
from tests.proxy.test_routes import ANSWER, PROXY, SECOND, RouteCase
from tests.proxy.test_routes import GET as GET_PAGE

LOST = DisplacedListeners(lost=frozenset({"agents"}))
MOVED = DisplacedListeners(moved=frozenset({"agents"}))
ASKED = GET[:-2] + b"Proxy-Authorization: " + ALICE + b"\r\n\r\n"


class Leaving(ReevaluationCase):
    """A listener that is gone, renamed or elsewhere."""

    def test_idle(self) -> None:
        """An idle connection is closed at once; those of other listeners stay."""
        self.network.listen("127.0.0.2", 3128, ProxyFactory("others", self.server))
        idle, fresh, other = self.said(b""), self.said(b""), self.network.dial("127.0.0.2", 3128)
        self.origin(answer=lambda peer, _: peer.says(OK))
        idle.says(GET)
        self.network.settle()

        for displaced in (LOST, MOVED):
            self.renew(SAME, displaced=displaced)
            self.network.settle()
            self.assertEqual(
                (True, True, False), (idle.saw_eof, fresh.saw_eof, other.saw_eof or other.was_reset), displaced
            )
        other.says(GET)
        self.network.settle()
        other.heard(b"HTTP/1.1 200 ")

    def test_a_head_that_has_begun(self) -> None:
        """A request whose head ends later is told, and not judged."""
        client = self.said(GET[:20])

        self.renew(SAME, displaced=MOVED)
        client.says(GET[20:])
        self.network.settle()

        self.assert_refused(client, 503, "listener_gone")
        self.assertTrue(client.saw_eof)
        self.assertEqual([], self.network.dialled)

    def test_pipelined(self) -> None:
        """The request that runs is the last, and the answer says so; what was sent behind it is not served."""
        origin = self.origin()
        client = self.said(GET + GET)

        self.renew(SAME, displaced=MOVED)
        self.network.settle()
        origin.peer.says(OK)
        self.network.settle()

        self.assertTrue(client.received.endswith(b"Connection: close\r\n\r\nok"), client.received)
        self.assertTrue(client.saw_eof)
        self.assertEqual(1, origin.peer.received.count(b"GET "))

    def test_waiting_for_a_slow_reader(self) -> None:
        """A connection whose answer is not taken yet serves nothing after it."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.client()
        self.network.window_bytes = 256
        client.stops_reading()
        client.says(GET * 20)
        self.network.settle()
        served = len(self.ends())
        self.assertLess(served, 20)

        self.renew(SAME, displaced=LOST)
        client.reads_again()
        self.network.settle()

        self.assertEqual(served, len(self.ends()))
        self.assertTrue(client.saw_eof or client.was_reset)

    def test_tunnels(self) -> None:
        """A tunnel of a listener that is only elsewhere is judged and stays; one of a listener that is gone ends."""
        client, origin = self.open()

        self.renew(SAME, displaced=MOVED)
        self.network.settle()
        self.assert_lives(client, origin)
        walk = self.renew(SAME, displaced=LOST)
        self.network.settle()

        self.assert_ended(client, "listener_gone")
        self.assertTrue(origin.peer.was_reset)
        self.assertEqual((1, 1), (walk.judged, walk.ended))

    def test_before_it_begins(self) -> None:
        """A request that waits for its name or its connection is refused."""
        origin = self.origin()
        self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        clients = [self.said(GET), self.said(CONNECT)]
        self.resolver.hold("origin.example")
        clients += [self.said(GET), self.said(CONNECT)]

        self.renew(SAME, displaced=LOST)
        self.network.settle()

        for client in clients:
            self.assert_refused(client, 503, "listener_gone")
            self.assertTrue(client.saw_eof)
        self.network.advance(5.0)
        self.assertEqual(0, sum(len(peer.received) for peer in origin.peers))

    def test_under_way(self) -> None:
        """An answer that is under way on a listener that is gone is reset: it may be what must not be seen there."""
        origin = self.origin()
        client = self.said(GET)
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        self.network.settle()

        self.renew(SAME, displaced=LOST)
        self.network.settle()

        self.assert_ended(client, "listener_gone")

    def test_still_gone_after_the_next_reload(self) -> None:
        """Another reload does not bring the connections back."""
        origin = self.origin()
        client = self.said(GET)
        self.renew(SAME, displaced=MOVED)

        self.renew(SAME)
        origin.peer.says(OK)
        self.network.settle()

        self.assertTrue(client.received.endswith(b"Connection: close\r\n\r\nok"), client.received)


class WhileIdentified(ReevaluationCase):
    """A reload while credentials are checked."""

    def setUp(self) -> None:
        super().setUp()
        self.roster = Roster(is_slow=True)
        self.server.identifier = self.roster

    def test_asked_again(self) -> None:
        """Who was right before the reload is asked for by what holds after it."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(ASKED)
        self.renew(SAME)
        self.server.identifier = nobody = Nobody()

        self.roster.pending[0].callback(Client("alice"))
        self.network.settle()

        self.assert_refused(client, 407, "credentials_refused")
        self.assertEqual(([ALICE], []), (nobody.seen, self.network.dialled))

    def test_served_if_still_right(self) -> None:
        """The new answer counts, at once or later."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        for is_slow in (False, True):
            client = self.said(ASKED)
            self.renew(SAME)
            self.server.identifier = second = Roster(is_slow=is_slow)
            self.roster.pending[0].callback(Client("alice"))
            self.network.settle()
            if is_slow:
                self.assertEqual(b"", client.received)
                second.pending[0].callback(Client("new"))
                self.network.settle()
            client.heard(b"HTTP/1.1 200 ")
            self.server.identifier = self.roster = Roster(is_slow=True)
        self.assertEqual(["alice", "new"], [record.client.key for record in self.ends()])

    def test_listener_that_is_gone(self) -> None:
        """Where the listener is gone meanwhile, nobody is asked."""
        client = self.said(ASKED)
        self.renew(SAME, displaced=LOST)

        self.roster.pending[0].callback(Client("alice"))
        self.network.settle()

        self.assert_refused(client, 503, "listener_gone")


class Nobody(Roster):
    """Knows nobody any more."""

    def identify(self, connection: Connection, credentials: bytes | None) -> Client | Deferred[Client]:
        """Refuse."""
        self.seen.append(credentials)
        raise Refused("credentials_refused", "Nobody is known.")


class Handshakes(SecureCase):
    """TLS that has only begun."""

    def test_ended(self) -> None:
        """A handshake with a listener that is elsewhere is not waited for."""
        client = self.network.dial(AT, 3129)
        self.network.settle()
        self.assertEqual(1, len(self.server.connections.handshaking))
        snapshot = self.gate.snapshot

        self.server.renew(
            evolve(snapshot, generation=2),
            self.server.identifier,
            self.limits,
            self.tls,
            self.http,
            DisplacedListeners(moved=frozenset({"secure"})),
        )
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assert_gone()


class OldProxy(RouteCase):
    """A proxy that a reload replaces."""

    environ: dict[str, str] = {}  # noqa: RUF012  # replaced, not changed
    routing = {"default": "corp"}  # noqa: RUF012
    upstreams = [{"name": "corp", "url": f"http://{PROXY}:3128"}]  # noqa: RUF012

    def test_dialled_before(self) -> None:
        """What was being dialled at the reload serves the request that it was dialled for, and no other."""
        old = self.network.origin(PROXY, 3128, lambda peer, _: peer.says(ANSWER))
        new = self.network.origin(SECOND, 3128, lambda peer, _: peer.says(ANSWER))
        self.network.delay(PROXY, 3.0)
        client = self.said(GET_PAGE)
        self.upstreams = [{"name": "corp", "url": f"http://{SECOND}:3128"}]
        selector, own = self.selector(), self.own()
        agent = self.agent(own)
        policies = (make_destinations("rules", SAME, self.host),)

        self.server.renew(
            evolve(
                self.gate.snapshot,
                generation=2,
                policies=policies,
                selector=selector,
                agent=agent,
                own=own,
                proxies=agent.proxies,
            ),
            self.server.identifier,
            self.limits,
            self.tls,
            self.http,
        )
        self.network.advance(4.0)
        client.heard(b"HTTP/1.1 200 ")
        for _ in range(3):
            client.says(GET_PAGE)
            self.network.settle()

        self.assertEqual([1, 3], [sum(t.received.count(b"GET ") for t in each.peers) for each in (old, new)])
        self.assertEqual(1, len(self.server.pool))
