"""CONNECT, until both directions are relayed."""

from __future__ import annotations

from egress.proxy.limits import HttpSettings
from tests.proxy.support import ADDRESS, ADDRESS6
from tests.proxy.tunnel.support import CONNECT, ESTABLISHED, TunnelCase


class Openings(TunnelCase):
    """From the request to the 200."""

    def test_the_judged_address_is_dialled(self) -> None:
        """The name is looked up once, and what was judged is dialled."""
        self.open()

        self.assertEqual(self.resolver.asked, ["origin.example"])
        self.assertEqual(self.network.dialled, [(ADDRESS, 443)])

    def test_early_bytes_reach_the_origin(self) -> None:
        """Bytes sent together with CONNECT arrive once the tunnel is open, before later ones."""
        client, origin = self.open(CONNECT + b"early")

        client.says(b" late")
        self.network.settle()

        origin.heard(b"early late")

    def test_length_of_zero(self) -> None:
        """A CONNECT whose Content-Length is 0 opens a tunnel. What follows its head belongs to the tunnel."""
        _, origin = self.open(CONNECT[:-2] + b"Content-Length: 0\r\n\r\nearly")

        origin.heard(b"early")

    def test_many_early_bytes_wait_in_the_kernel(self) -> None:
        """What comes before the tunnel stands is bounded, and nothing of it is lost."""
        origin = self.origin(port=443)
        self.resolver.hold("origin.example")
        client = self.said(CONNECT + b"x" * 1_000_000)
        self.assertGreater(client.unsent, 700_000)

        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        self.assertEqual(origin.peer.received, b"x" * 1_000_000)

    def test_fin_before_the_tunnel_stands(self) -> None:
        """Where clients may half-close, one that sends everything and a FIN at once still gets its answer."""
        self.server.http = HttpSettings(client_half_close="answer")
        origin = self.origin(port=443)
        client = self.client()
        client.says(CONNECT + b"question")
        client.ends()
        self.network.settle()
        origin.heard(b"question")
        self.assertTrue(origin.peer.saw_eof)

        origin.peer.says(b"answer")
        origin.peer.closes()
        self.network.settle()

        self.assertEqual(client.received, ESTABLISHED + b"answer")
        self.assertTrue(client.saw_eof)

    def test_client_that_leaves_while_dialling(self) -> None:
        """The dial is given up."""
        self.network.blackhole(ADDRESS)
        client = self.said(CONNECT)

        client.aborts()
        self.network.settle()

        self.assertEqual(self.network.open_links(), 0)
        self.assertEqual(self.ends()[-1].cause, "client_reset")

    def test_client_that_leaves_while_looking_up(self) -> None:
        """So is the look-up."""
        self.resolver.hold("origin.example")
        client = self.said(CONNECT)

        client.aborts()
        self.network.settle()

        self.assertEqual(self.resolver.waiting("origin.example"), 0)
        self.assertEqual(self.ends()[-1].cause, "client_reset")

    def test_ipv6_in_brackets(self) -> None:
        """A literal IPv6 address is dialled."""
        origin = self.origin(ADDRESS6, 443)

        client = self.said(f"CONNECT [{ADDRESS6}]:443 HTTP/1.1\r\nHost: [{ADDRESS6}]:443\r\n\r\nhi".encode())

        client.heard(ESTABLISHED)
        origin.heard(b"hi")

    def test_old_client(self) -> None:
        """HTTP/1.0 may leave Host out."""
        self.origin(port=443)

        self.said(b"CONNECT origin.example:443 HTTP/1.0\r\n\r\n").heard(ESTABLISHED)

    def test_refusals_close(self) -> None:
        """What follows a refused CONNECT is never read as a request."""
        client = self.said(
            b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n"
            b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n"
        )

        self.assert_refused(client, 403, "denied")
        self.assertTrue(client.saw_eof)
        self.assertEqual(self.resolver.asked, [])

    def test_setup_has_no_deadline_of_the_connection(self) -> None:
        """A name that resolves long after the connection's deadlines still opens the tunnel."""
        self.origin(port=443)
        self.resolver.hold("origin.example")
        client = self.said(CONNECT)
        self.network.advance(self.limits.keepalive_seconds * 2)

        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        client.heard(ESTABLISHED)

    def test_fin_alone(self) -> None:
        """A client that ends without a word still hears what the origin says."""
        client, origin = self.open()

        client.ends()
        self.network.settle()
        self.assertTrue(origin.peer.saw_eof)
        origin.peer.says(b"220 ready")
        origin.peer.ends()
        self.network.settle()

        client.heard(b"220 ready")
        self.assertEqual("complete", self.ends()[-1].cause)

    def test_fin_while_dialling(self) -> None:
        """Where clients may half-close, a FIN that comes before the tunnel is open reaches the origin."""
        self.server.http = HttpSettings(client_half_close="answer")
        origin = self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        for early in (b"question", b""):
            with self.subTest(early=early):
                client = self.said(CONNECT + early)
                client.ends()
                self.network.advance(1.0)

                client.heard(ESTABLISHED)
                self.assertEqual((early, True), (origin.peer.received, origin.peer.saw_eof))

    def test_client_that_leaves_after_its_fin(self) -> None:
        """A client that half-closed and then resets leaves nothing behind once the dial is over."""
        self.server.http = HttpSettings(client_half_close="answer")
        self.network.blackhole(ADDRESS)
        client = self.said(CONNECT)
        client.ends()
        self.network.settle()
        self.assertEqual([], self.ends())

        client.aborts()
        self.network.advance(self.limits.dial_seconds + 1)

        self.assertEqual((1, 0), (len(self.ends()), self.network.open_links()))

    def test_stop_while_dialling(self) -> None:
        """A server that stops resets the client of a tunnel that is not open, gives up the dial and records it."""
        self.network.blackhole(ADDRESS)
        client = self.said(CONNECT + b"early")

        self.server.stop()
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(b"", client.received)
        self.assertEqual((["stopping"], 0), ([each.cause for each in self.ends()], self.network.open_links()))

    def test_failed_dial(self) -> None:
        """A destination that cannot be reached is a 502, says which rule had allowed it, and closes."""
        client = self.said(CONNECT + b"early")

        problem = self.assert_refused(client, 502, "connection_refused")
        self.assertEqual(("rules", "example"), (problem["policy"], problem["rule"]))
        self.assertTrue(client.saw_eof)
        self.assertEqual(
            ("end", "failed", ADDRESS), (self.ends()[-1].event, self.ends()[-1].cause, self.ends()[-1].dialled)
        )
