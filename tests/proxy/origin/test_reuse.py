"""Which idle origin connection serves a request: dialogues."""

from __future__ import annotations

from tests.proxy.support import ServerCase

GET = b"GET http://origin.example/a HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


class LookTests(ServerCase):
    """A look at an idle connection before it is used."""

    def test_surplus_with_the_next_request(self) -> None:
        """Octets that come when the next request has been read are not its answer."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)

        client.says(GET)
        origin.peer.says(SURPLUS)
        self.network.settle()

        self.assertEqual(2, client.received.count(b"hello"))
        self.assertNotIn(b"evil", client.received)
        self.assertEqual(2, len(origin.peers))
        self.assertEqual(1, origin.peers[0].received.count(b"GET "))

    def test_surplus_behind_the_answer(self) -> None:
        """Octets that the kernel has behind an answer are not the answer to the request that was sent ahead."""
        self.network.segment_bytes = len(OK)
        origin = self.origin(answer=lambda peer, _: peer.says(OK + (SURPLUS if len(origin.peers) == 1 else b"")))

        client = self.said(GET + GET)

        self.assertEqual(2, client.received.count(b"hello"))
        self.assertNotIn(b"evil", client.received)
        self.assertEqual(2, len(origin.peers))
        self.assertTrue(origin.peers[0].is_closed)

    def test_end_with_the_next_request(self) -> None:
        """A connection whose FIN is here gets no further request."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)

        client.says(GET)
        origin.peer.ends()
        self.network.settle()

        self.assertEqual(2, client.received.count(b"hello"))
        self.assertEqual(1, origin.peers[0].received.count(b"GET "))

    def test_reset_with_the_next_request(self) -> None:
        """Nor does one whose reset is here."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)

        client.says(GET)
        origin.peer.aborts()
        self.network.settle()

        self.assertEqual(2, client.received.count(b"hello"))
        self.assertEqual(2, len(origin.peers))

    def test_the_next_one(self) -> None:
        """Where the connection used last has surplus, an older one serves the request."""
        origin = self.origin()
        clients = [self.said(GET), self.said(GET)]
        for peer in origin.peers:
            peer.says(OK)
            self.network.settle()

        clients[0].says(GET)
        origin.peers[1].says(SURPLUS)
        self.network.settle()

        self.assertEqual(2, len(origin.peers))
        self.assertEqual([2, 1], [peer.received.count(b"GET ") for peer in origin.peers])
        self.assertTrue(origin.peers[1].is_closed)
        self.assertEqual(0, len(self.server.pool))
