"""Clients that leave, or half-close, before their request is answered."""

from __future__ import annotations

from collections.abc import Callable

from egress.policy.destinations import make_destinations
from egress.policy.rate import make_rate
from egress.proxy import departure
from egress.proxy.limits import HttpSettings
from egress.testing.peers import NetworkPeer, Origin
from tests.proxy.support import ADDRESS, RULES, ServerCase

GET = b"GET http://origin.example/a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST http://origin.example/a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST http://origin.example/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"2710\r\n" + bytes(10_000) + b"\r\n"
CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ANSWER = HttpSettings(client_half_close="answer")

LEAVES: dict[str, Callable[[NetworkPeer], None]] = {
    "client_closed": lambda peer: peer.closes(),
    "client_reset": lambda peer: peer.aborts(),
}


class DepartureCase(ServerCase):
    """What is left of a client that has left."""

    def assert_left(self, client: NetworkPeer, cause: str) -> None:
        """Assert that nothing runs for a client any more, and that the audit log says why."""
        self.assertEqual([(cause, 0)], [(record.cause, record.status) for record in self.ends()])
        self.assertEqual(set(), self.server.connections.live)
        self.assertEqual({}, self.server.connections.unread)
        self.audit_log.records.clear()

    def upload(self, origin: Origin) -> tuple[NetworkPeer, int]:
        """Let a client send a body to an origin that does not read, until it waits. Tell how many octets it sent."""
        client = self.said(CHUNKED)
        origin.peer.stops_reading()
        sent = 0
        while not self.server.connections.unread:
            client.says(CHUNK)
            sent += 10_000
            self.network.settle()
        client.says(CHUNK)
        self.network.settle()
        self.assertEqual(0, client.unsent)
        return client, sent + 10_000


class ReadTests(DepartureCase):
    """The end of a client whose octets are read is noticed at once."""

    def test_while_the_origin_works(self) -> None:
        """The origin is reset, so that it works for nobody."""
        for cause, leave in LEAVES.items():
            origin = self.origin()
            client = self.said(GET)
            origin.heard(b"GET /a ")

            leave(client)
            self.network.settle()

            self.assertTrue(origin.peer.was_reset)
            self.assert_left(client, cause)
            origin.stops()

    def test_half_close(self) -> None:
        """A client that half-closes is reset: it must not wait for an answer."""
        self.origin()
        client = self.said(GET)

        client.ends()
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assert_left(client, "client_closed")

    def test_within_the_answer(self) -> None:
        """A client that has a part of the answer has left, too."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK[:-2]))
        client = self.said(GET)

        client.closes()
        self.network.settle()

        self.assertTrue(origin.peer.was_reset)
        self.assertEqual(["client_closed"], [record.cause for record in self.ends()])

    def test_after_the_answer(self) -> None:
        """A client that has its answer is none that left."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)

        client.ends()
        self.network.settle()

        self.assertEqual(["complete"], [record.cause for record in self.ends()])
        self.assertFalse(client.was_reset)
        self.assertTrue(client.saw_eof)

    def test_while_dialling(self) -> None:
        """Dials and look-ups end with their client, of tunnels too."""
        self.network.blackhole(ADDRESS)
        for request in (GET, CONNECT, CONNECT + b"early", POST % 9 + b"part"):
            for cause, leave in LEAVES.items():
                for is_resolving in (False, True):
                    if is_resolving:
                        self.resolver.hold("origin.example")
                    client = self.said(request)
                    leave(client)
                    self.network.settle()

                    self.assert_left(client, cause)
                    self.resolver.answer("origin.example", ADDRESS)

    def test_requests_sent_ahead(self) -> None:
        """What a client sent ahead is not served when it has left."""
        origin = self.origin()
        client = self.said(GET + GET)

        client.closes()
        self.network.settle()

        self.assertEqual(1, origin.peer.received.count(b"GET "))
        self.assert_left(client, "client_closed")

    def test_limits_are_given_back(self) -> None:
        """Five clients that gave up do not use up the connections of the sixth."""
        rules = make_destinations("rules", RULES, self.host)
        self.arrange_at(4000, [rules, make_rate("rate", {"connections": 5}, self.host)])
        origin = self.origin()
        clients = [self.said(GET) for _ in range(5)]
        self.assertIn(b" 429 ", self.said(GET).received)
        for client in clients:
            client.closes()
        self.network.settle()

        client = self.said(GET)
        origin.peer.says(OK)
        self.network.settle()

        client.heard(b"HTTP/1.1 200 ")

    def arrange_at(self, port: int, policies: list[object]) -> None:
        """Make the proxy server anew at another port."""
        self._port = port
        self.arrange(policies)  # type: ignore[arg-type]


class UnreadTests(DepartureCase):
    """The end of a client whose octets are not read is noticed within some seconds."""

    def test_body(self) -> None:
        """An origin that does not read the body lets the client wait, and the client gives up."""
        for cause, leave in LEAVES.items():
            origin = self.origin()
            client, _ = self.upload(origin)

            leave(client)
            self.network.advance(3)

            self.assertTrue(origin.peer.was_reset)
            self.assert_left(client, cause)
            origin.stops()

    def test_requests_sent_ahead(self) -> None:
        """Requests sent ahead wait in the kernel, and so does the end behind them."""
        for cause, leave in LEAVES.items():
            origin = self.origin()
            client = self.said(GET * 900)
            self.assertEqual(0, client.unsent)
            self.assertEqual(1, len(self.server.connections.unread))

            leave(client)
            self.network.advance(3)

            self.assertTrue(origin.peer.was_reset)
            self.assert_left(client, cause)
            origin.stops()

    def test_early_data_of_a_tunnel(self) -> None:
        """So do early octets of a tunnel whose origin is being dialled."""
        self.network.blackhole(ADDRESS)
        for cause, leave in LEAVES.items():
            client = self.said(CONNECT + bytes(50_000))
            self.assertEqual(1, len(self.server.connections.unread))

            leave(client)
            self.network.advance(3)

            self.assert_left(client, cause)

    def test_those_who_stay(self) -> None:
        """A client that waits is not disturbed by being looked at."""
        origin = self.origin()
        client, _ = self.upload(origin)
        self.network.advance(5)

        origin.peer.reads_again()
        client.says(b"0\r\n\r\n")
        self.network.settle()
        origin.peer.says(OK)
        self.network.settle()

        client.heard(b"HTTP/1.1 200 ")
        self.assertEqual({}, self.server.connections.unread)

    def test_many(self) -> None:
        """More connections than are looked at in one second have their turns."""
        self.origin()
        clients = [self.said(GET * 900) for _ in range(3)]
        self.patch(departure, "_LOOKS", 1)
        for client in clients:
            client.closes()

        self.network.advance(5)

        self.assertEqual(["client_closed"] * 3, [record.cause for record in self.ends()])


class HalfCloseTests(DepartureCase):
    """`client_half_close = "answer"`."""

    http = ANSWER

    def test_every_request(self) -> None:
        """The running request and those sent ahead are answered, and then the connection closes."""
        origin = self.origin()
        client = self.said(GET + GET.replace(b"/a", b"/b") + GET.replace(b"/a", b"/c"))
        client.ends()
        self.network.settle()

        for _ in range(3):
            origin.peer.says(OK)
            self.network.settle()

        self.assertEqual(3, client.received.count(b"hello"))
        self.assertTrue(client.saw_eof)
        self.assertFalse(client.was_reset)
        self.assertEqual(["complete"] * 3, [record.cause for record in self.ends()])

    def test_behind_unread_octets(self) -> None:
        """So are more requests than are kept in memory, with the FIN behind them."""
        origin = self.origin()
        client = self.said(GET * 900)
        client.ends()
        self.network.advance(5)
        self.assertEqual([], self.ends())

        origin.stops()
        self.origin(answer=lambda peer, _: peer.says(OK))
        origin.peer.says(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        origin.peer.closes()
        self.network.advance(1)

        self.assertEqual(900, client.received.count(b"hello"))
        self.assertTrue(client.saw_eof)

    def test_behind_a_body(self) -> None:
        """A FIN behind a body that waits for the origin cuts nothing off."""
        origin = self.origin()
        client, sent = self.upload(origin)
        client.says(b"0\r\n\r\n")
        client.ends()
        self.network.advance(5)
        self.assertEqual([], self.ends())

        origin.peer.reads_again()
        self.network.settle()
        origin.peer.says(OK)
        self.network.settle()

        self.assertEqual(sent, origin.peer.received.count(b"\0"))
        client.heard(b"HTTP/1.1 200 ")
        self.assertTrue(client.saw_eof)

    def test_within_a_body(self) -> None:
        """A FIN within a body leaves nothing to answer, also before the origin is connected."""
        self.network.blackhole(ADDRESS)
        client = self.said(POST % 9 + b"part")

        client.ends()
        self.network.settle()

        self.assert_left(client, "client_closed")

    def test_reset(self) -> None:
        """A reset is no half-close."""
        origin = self.origin()
        client = self.said(GET * 900)

        client.aborts()
        self.network.advance(3)

        self.assertTrue(origin.peer.was_reset)
        self.assert_left(client, "client_reset")

    def test_close_at_the_answer(self) -> None:
        """A client that has closed is noticed by the reset that answers the answer."""
        origin = self.origin()
        client = self.said(GET)
        client.closes()
        self.network.settle()

        origin.peer.says(OK[:-2])
        self.network.settle()
        origin.peer.says(OK[-2:])
        self.network.settle()

        self.assertEqual(0, len(self.server.connections.live))
