"""Open tunnels."""

from __future__ import annotations

from egress.proxy.limits import Limits
from tests.proxy.tunnel.support import CONNECT, ESTABLISHED, TunnelCase


class Tunnels(TunnelCase):
    """Bytes, ends and half-ends."""

    def test_bytes_go_both_ways(self) -> None:
        """What one side says the other hears."""
        client, origin = self.open()

        client.says(b"ping")
        self.network.settle()
        origin.heard(b"ping")
        origin.peer.says(b"pong")
        self.network.settle()

        client.heard(b"pong")

    def test_origin_may_speak_first(self) -> None:
        """A server's greeting does not wait for the client."""
        client, origin = self.open()

        origin.peer.says(b"220 ready\r\n")
        self.network.settle()

        client.heard(b"220 ready\r\n")

    def test_half_close_by_the_client(self) -> None:
        """The client's FIN is passed on, and everything the origin still says arrives."""
        client, origin = self.open()
        client.says(b"question")
        client.ends()
        self.network.settle()
        origin.heard(b"question")
        self.assertTrue(origin.peer.saw_eof)
        self.assertFalse(client.is_closed)

        origin.peer.says(b"a long answer" * 50_000)
        origin.peer.ends()
        self.network.settle()

        self.assertEqual(client.received[len(ESTABLISHED) :], b"a long answer" * 50_000)
        self.assertTrue(client.saw_eof)
        self.assertFalse(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "complete")

    def test_half_close_by_the_origin(self) -> None:
        """The origin's FIN is passed on, and everything the client still says arrives."""
        client, origin = self.open()
        origin.peer.says(b"bye")
        origin.peer.ends()
        self.network.settle()
        self.assertTrue(client.saw_eof)

        client.says(b"x" * 500_000)
        client.ends()
        self.network.settle()

        self.assertEqual(origin.peer.received, b"x" * 500_000)
        self.assertTrue(origin.peer.saw_eof)
        self.assertEqual(len(self.server.connections.live), 0)

    def test_back_pressure_both_ways(self) -> None:
        """A side that does not read holds the other back."""
        client, origin = self.open()
        client.stops_reading()
        origin.peer.stops_reading()

        client.says(b"u" * 2_000_000)
        origin.peer.says(b"d" * 2_000_000)
        self.network.settle()
        self.assertGreater(client.unsent, 1_500_000)
        self.assertGreater(origin.peer.unsent, 1_500_000)

        client.reads_again()
        origin.peer.reads_again()
        self.network.settle()
        self.assertEqual(origin.peer.received, b"u" * 2_000_000)
        self.assertEqual(client.take(), b"d" * 2_000_000)

    def test_resets_are_passed_on(self) -> None:
        """A reset on one side is a reset on the other, and the record tells which."""
        for by_client in (True, False):
            with self.subTest(by_client=by_client):
                self.setUp()
                client, origin = self.open()
                (client if by_client else origin.peer).aborts()
                self.network.settle()
                self.assertTrue((origin.peer if by_client else client).was_reset)
                self.assertEqual(self.ends()[-1].cause, "client_reset" if by_client else "origin_reset")

    def test_reset_after_half_close(self) -> None:
        """A client that ends its direction and then resets has not got everything: the origin is reset too."""
        client, origin = self.open()
        client.ends()
        self.network.settle()
        origin.peer.says(b"more than was read")

        client.aborts()
        self.network.settle()

        self.assertTrue(origin.peer.was_reset)
        self.assertEqual("client_reset", self.ends()[-1].cause)

    def test_nothing_is_left_behind(self) -> None:
        """When both sides are gone, so is everything else."""
        client, origin = self.open()
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertEqual(self.network.open_links(), 0)
        self.assertEqual(len(self.server.connections.live), 0)
        self.assertEqual(self.server.connections.per_client, {})


class TunnelDeadlines(TunnelCase):
    """A tunnel ends when nothing moves, and after its longest life."""

    limits = Limits(idle_seconds=40, tunnel_seconds=200)

    def test_open_line(self) -> None:
        """A tunnel open for more than two seconds leaves a line while it is open; a short one does not."""
        self.open()
        self.network.advance(1)
        self.assertEqual([record.event for record in self.audit_log.records], [])

        self.network.advance(2)

        self.assertEqual([record.event for record in self.audit_log.records], ["open"])

    def test_idle(self) -> None:
        """A tunnel in which nothing moves is reset on both sides."""
        client, origin = self.open()

        self.network.advance(60)

        self.assertTrue(client.was_reset)
        self.assertTrue(origin.peer.was_reset)
        self.assertEqual(self.ends()[-1].cause, "idle")

    def test_lifetime(self) -> None:
        """However busy, it ends."""
        client, _origin = self.open()
        for _ in range(20):
            if client.is_closed:
                break
            client.says(b"x")
            self.network.advance(10.5)

        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "lifetime")

    def test_bytes_are_counted(self) -> None:
        """The record has the bytes each way."""
        client, origin = self.open(CONNECT + b"12")
        client.says(b"345")
        origin.peer.says(b"6789")
        self.network.settle()
        client.closes()
        origin.peer.closes()
        self.network.settle()

        record = self.ends()[-1]
        self.assertEqual((record.client_bytes, record.server_bytes, record.status), (5, 4, 200))
        self.assertGreaterEqual(record.phases.dial, 0.0)
