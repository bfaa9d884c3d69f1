"""CONNECT through the proxy server."""

from __future__ import annotations

import contextlib
import ssl

from egress.proxy.limits import Limits, TlsSettings
from egress.testing.peers import NetworkPeer, Origin
from tests.proxy.support import ADDRESS, ADDRESS6, ServerCase

CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def hello(name: str | None) -> bytes:
    """Make a real ClientHello."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


class TunnelCase(ServerCase):
    """Arranges an origin on port 443."""

    def open(self, request: bytes = CONNECT) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel."""
        origin = self.origin(port=443)
        client = self.said(request)
        client.heard(ESTABLISHED)
        client.take()
        return client, origin


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

    def test_many_early_bytes_wait_in_the_kernel(self) -> None:
        """What comes before the tunnel stands is bounded, and nothing of it is lost."""
        origin = self.origin(port=443)
        self.resolver.hold("origin.example")
        client = self.said(CONNECT + b"x" * 1_000_000)
        self.assertGreater(client.unsent, 700_000)

        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        self.assertEqual(origin.peer.received, b"x" * 1_000_000)

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

    def test_fin_before_the_tunnel_stands(self) -> None:
        """A client that sends everything and a FIN at once still gets its answer."""
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

    def test_client_that_leaves_while_dialling(self) -> None:
        """The dial is given up."""
        self.network.blackhole(ADDRESS)
        client = self.said(CONNECT)

        client.aborts()
        self.network.settle()

        self.assertEqual(self.network.open_links(), 0)
        self.assertEqual(self.ends()[-1].cause, "client_closed")

    def test_client_that_leaves_while_looking_up(self) -> None:
        """So is the look-up."""
        self.resolver.hold("origin.example")
        client = self.said(CONNECT)

        client.aborts()
        self.network.settle()

        self.assertEqual(self.resolver.waiting("origin.example"), 0)
        self.assertEqual(self.ends()[-1].cause, "client_closed")

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

    def test_nothing_is_left_behind(self) -> None:
        """When both sides are gone, so is everything else."""
        client, origin = self.open()
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertEqual(self.network.open_links(), 0)
        self.assertEqual(len(self.server.connections.live), 0)
        self.assertEqual(self.server.connections.per_client, {})


class Hellos(TunnelCase):
    """The ClientHello must name the host that was judged."""

    def test_the_same_name(self) -> None:
        """A ClientHello for the judged host passes as it came, whatever pieces it came in."""
        client, origin = self.open()
        sent = hello("origin.example")

        for octet in sent:
            client.says(bytes((octet,)))
            self.network.settle()

        self.assertEqual(origin.peer.received, sent)
        client.closes()
        origin.peer.closes()
        self.network.settle()
        self.assertEqual(self.ends()[-1].server_name, "origin.example")

    def test_early_hello(self) -> None:
        """One that comes with CONNECT is looked at, too."""
        _client, origin = self.open(CONNECT + hello("origin.example"))

        self.assertEqual(origin.peer.received, hello("origin.example")[:5] + origin.peer.received[5:])
        self.assertGreater(len(origin.peer.received), 100)

    def test_another_name(self) -> None:
        """A ClientHello for another host resets both sides before the origin hears a byte of it."""
        client, origin = self.open()

        client.says(hello("evil.example"))
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(origin.peer.received, b"")
        record = self.ends()[-1]
        self.assertEqual((record.event, record.cause, record.server_name), ("refused", "server_name", "evil.example"))

    def test_no_name(self) -> None:
        """One without a name passes, and the record says so."""
        client, origin = self.open()
        sent = hello(None)

        client.says(sent)
        self.network.settle()
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertEqual(origin.peer.received, sent)
        self.assertEqual(self.ends()[-1].server_name, "")

    def test_literal_address(self) -> None:
        """Inside a tunnel to an address any name passes and is recorded."""
        client, origin = self.open(f"CONNECT {ADDRESS}:443 HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n".encode())

        client.says(hello("any.example"))
        self.network.settle()
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertEqual(self.ends()[-1].server_name, "any.example")

    def test_other_protocols(self) -> None:
        """What is not TLS passes, and the record has no name."""
        client, origin = self.open()
        client.says(b"SSH-2.0-client\r\n")
        self.network.settle()
        origin.heard(b"SSH-2.0-client\r\n")
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertIs(self.ends()[-1].server_name, None)

    def test_malformed(self) -> None:
        """What begins like TLS and is not goes no further."""
        client, origin = self.open()

        client.says(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00")
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(origin.peer.received, b"")
        self.assertEqual(self.ends()[-1].cause, "hello_malformed")

    def test_record_in_front(self) -> None:
        """A record that a server may skip does not carry a ClientHello past us."""
        for first in (b"\x15\x03\x01\x00\x02\x01\x5a", b"\x14\x03\x01\x00\x01\x01"):
            with self.subTest(first):
                self.setUp()
                client, origin = self.open()
                client.says(first + hello("evil.example"))
                self.network.settle()
                self.assertTrue(client.was_reset)
                self.assertEqual(origin.peer.received, b"")

    def test_unfinished(self) -> None:
        """One that does not end in time, or ends in a FIN, goes no further."""
        for ends in (True, False):
            with self.subTest(ends=ends):
                self.setUp()
                client, origin = self.open()
                client.says(hello("origin.example")[:50])
                self.network.settle()
                if ends:
                    client.ends()
                    self.network.settle()
                else:
                    self.network.advance(self.limits.hello_seconds + 1)
                self.assertTrue(client.was_reset)
                self.assertEqual(origin.peer.received, b"")
                self.assertEqual(self.ends()[-1].cause, "hello_truncated" if ends else "hello_timeout")


class RecordedHellos(TunnelCase):
    """With `sni = "record"`."""

    tls = TlsSettings(sni="record")

    def test_another_name_is_recorded(self) -> None:
        """Another name passes and stands on the record."""
        client, origin = self.open()
        client.says(hello("other.example"))
        self.network.settle()
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertEqual(self.ends()[-1].server_name, "other.example")
        self.assertGreater(len(origin.peer.received), 100)


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
