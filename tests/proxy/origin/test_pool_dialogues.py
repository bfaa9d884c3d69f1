"""Which requests an idle origin connection serves in whole dialogues, and how long it is kept."""

from __future__ import annotations

from egress.proxy.factory import ProxyFactory
from egress.proxy.limits import Limits
from tests.proxy.reload.test_reevaluation import SAME, ReevaluationCase
from tests.proxy.support import ADDRESS, OTHER, ServerCase

GET = b"GET http://origin.example/a/b?q=1 HTTP/1.1\r\nHost: origin.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Reuse(ReevaluationCase):
    """Which request a connection serves again."""

    def test_origin_connection_is_used_again(self) -> None:
        """The next request of the same client to the same origin needs no new connection."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))

        self.said(GET + GET)

        self.assertEqual(len(origin.peers), 1)
        self.assertEqual(origin.peer.received.count(b"GET /a/b?q=1 HTTP/1.1"), 2)

    def test_pooled_connection_serves_its_client_only(self) -> None:
        """Another client does not get the connection of the first."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        self.said(GET)
        other = self.network.dial("127.0.0.1", self.port(), source="192.0.2.9")

        other.says(GET)
        self.network.settle()

        self.assertEqual(len(origin.peers), 2)

    def test_pooled_connection_needs_a_judged_address(self) -> None:
        """When the name has moved, the connection to its old address is not used again."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        new = self.origin(OTHER, 80, answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)

        self.resolver.answer("origin.example", OTHER)
        client.says(GET)
        self.network.settle()

        new.heard(b"GET /a/b?q=1 HTTP/1.1")
        self.assertEqual(self.network.dialled, [(ADDRESS, 80), (OTHER, 80)])

    def test_idle_connection_closed_by_its_origin(self) -> None:
        """A connection that its origin closed while idle is forgotten."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)
        origin.peer.closes()
        self.network.settle()

        client.says(GET)
        self.network.settle()

        self.assertEqual(len(origin.peers), 2)
        self.assertEqual(client.received.count(b"hello"), 2)

    def test_hosts_that_count_as_one(self) -> None:
        """Two hosts of one network, which limits count as one client, share no connection to an origin."""
        self.network.listen("2001:db8::ffff", 3128, ProxyFactory("agents", self.server))
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        for source in ("2001:db8::1", "2001:db8::2", "2001:db8::2"):
            client = self.network.dial("2001:db8::ffff", 3128, source)
            client.says(GET)
            self.network.settle()
            client.heard(b"HTTP/1.1 200 ")

        self.assertEqual(2, len(origin.peers))
        self.assertEqual({"agents/2001:db8::/64"}, {record.client.key for record in self.ends()})

    def test_idle_connections_are_closed(self) -> None:
        """What the old snapshot dialled serves no request of the new one, not even where it was in use."""
        origin = self.origin()
        idle = self.said(GET)
        origin.peer.says(OK)
        self.network.settle()
        idle.heard(OK[:12])
        first = origin.peer
        busy = self.client()
        self.assertEqual(1, len(self.server.pool))

        self.renew(SAME)
        self.network.settle()
        self.assertEqual(0, len(self.server.pool))
        self.assertTrue(first.saw_eof)
        busy.says(GET)
        self.network.settle()
        self.renew(SAME)
        self.network.settle()
        origin.peer.says(OK)
        self.network.settle()

        busy.heard(OK[:12])
        self.assertEqual(0, len(self.server.pool))
        idle.says(GET)
        self.network.settle()
        self.assertEqual(3, len(origin.peers))


class Bounds(ServerCase):
    """Reached bounds close connections."""

    limits = Limits(pool_connections=1, pool_seconds=8)

    def test_idle_origin_connection(self) -> None:
        """A pooled connection is closed after its time."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        self.said(GET)
        self.assertEqual(len(self.server.pool), 1)

        self.network.advance(10)

        self.assertEqual(len(self.server.pool), 0)
        self.assertTrue(origin.peer.saw_eof)

    def test_in_use_for_longer(self) -> None:
        """A connection that is in use again has no deadline of the pool."""
        origin = self.origin()
        client = self.said(GET)
        origin.peer.says(OK)
        self.network.settle()
        self.assertEqual(1, len(self.server.pool))
        client.says(GET)
        self.network.advance(self.limits.pool_seconds * 2)

        origin.peer.says(OK)
        self.network.settle()

        self.assertEqual((1, 2), (len(origin.peers), client.received.count(b"hello")))

    def test_pool(self) -> None:
        """Idle connections beyond the ceiling are closed."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        self.origin(port=443, answer=lambda peer, _: peer.says(OK))

        self.said(GET + GET.replace(b"origin.example/", b"origin.example:443/"))

        self.assertEqual(len(self.server.pool), 1)


class BoundsPerOrigin(ServerCase):
    """So does the bound of one origin."""

    limits = Limits(pool_connections_per_origin=1)

    def test_pool_per_origin(self) -> None:
        """Idle connections to one origin beyond the bound are closed."""
        origin = self.origin()
        first, second = self.said(GET), self.said(GET)
        for peer in origin.peers:
            peer.says(OK)
        self.network.settle()

        self.assertTrue(first.received.endswith(b"hello") and second.received.endswith(b"hello"))
        self.assertEqual(len(self.server.pool), 1)
