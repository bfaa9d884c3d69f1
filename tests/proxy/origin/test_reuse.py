"""Which idle origin connection serves a request: dialogues."""

from __future__ import annotations

from egress.testing.peers import NetworkPeer
from tests.proxy.support import ServerCase

POST = b"POST http://origin.example/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx=1"
CHUNKED = b"PUT http://origin.example/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nx=1\r\n0\r\n\r\n"
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


class UnrepeatableTests(ServerCase):
    """Requests that cannot be sent again."""

    def test_origin_that_closes_early(self) -> None:
        """An origin that resets its idle connections as the next request arrives loses none."""
        heard: list[bytes] = []

        def hear(peer: NetworkPeer, data: bytes) -> None:
            if peer.received != data:
                peer.aborts()
                return
            heard.append(data)
            peer.says(OK)

        origin = self.origin(answer=hear)
        client = self.client()
        for request in [POST, CHUNKED, POST.replace(b"POST", b"PATCH"), POST.replace(b"POST", b"DELETE")] * 5:
            client.says(request)
            self.network.settle()

        self.assertEqual(20, client.received.count(b"hello"))
        self.assertEqual((20, 20), (len(heard), len(origin.peers)))

    def test_idle_connections_stay_few(self) -> None:
        """The connection that is dialled takes the place of an idle one."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))

        self.said(POST + POST + POST)

        self.assertEqual([True, True, False], [peer.saw_eof for peer in origin.peers])
        self.assertEqual(1, len(self.server.pool))

    def test_next_request(self) -> None:
        """A request that can be repeated uses the connection afterwards."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))

        self.said(POST + GET)

        self.assertEqual(1, len(origin.peers))


class KeepAliveTests(ServerCase):
    """What the origin says of its idle connections."""

    def asked_twice(self, field: bytes, seconds: float) -> int:
        """Let a client ask twice, the second time after a while, and count the connections that it took."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK.replace(b"\r\n", b"\r\n" + field + b"\r\n", 1)))
        client = self.said(GET)
        self.network.advance(seconds)
        client.says(GET)
        self.network.settle()
        self.assertEqual(2, client.received.count(b"hello"))
        return len(origin.peers)

    def test_within(self) -> None:
        """A connection is used again while a second of the origin's time is left."""
        self.assertEqual(1, self.asked_twice(b"Keep-Alive: timeout=5, max=100", 3.9))

    def test_after(self) -> None:
        """It is closed before the origin closes it."""
        self.assertEqual(2, self.asked_twice(b"Keep-Alive: timeout=5, max=100", 4.6))

    def test_short(self) -> None:
        """An origin that closes within a second is asked by a new connection each time."""
        self.assertEqual(2, self.asked_twice(b"keep-alive: timeout=1", 0))

    def test_long(self) -> None:
        """Our own limit counts too."""
        self.assertEqual(2, self.asked_twice(b"Keep-Alive: timeout=900", 31))


class RequestTimeoutTests(ServerCase):
    """408, which origins send when a connection was idle for too long."""

    LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate"

    def test_crossing_a_request(self) -> None:
        """One that crosses a request is no answer to it: the request is sent again."""

        def answer(peer: NetworkPeer, _data: bytes) -> None:
            peer.says(self.LATE if peer.received.count(b"GET ") == 2 else OK)

        origin = self.origin(answer=answer)

        client = self.said(GET + GET)

        self.assertEqual(2, client.received.count(b"hello"))
        self.assertNotIn(b"408", client.received)
        self.assertEqual(2, len(origin.peers))
        self.assertEqual([200, 200], [record.status for record in self.ends()])

    def test_before_a_request(self) -> None:
        """One that is here before the request is none either."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)

        client.says(GET)
        origin.peer.says(self.LATE)
        self.network.settle()

        self.assertEqual(2, client.received.count(b"hello"))
        self.assertNotIn(b"408", client.received)

    def test_new_connection(self) -> None:
        """The answer to the first request of a connection is passed on."""
        self.origin(answer=lambda peer, _: peer.says(self.LATE))

        client = self.said(GET)

        client.heard(b"HTTP/1.1 408 ")
