"""The ClientHello at the beginning of a tunnel."""

from __future__ import annotations

from egress.model import HelloFacts
from egress.proxy.limits import Limits, TlsSettings
from tests.proxy.support import ADDRESS
from tests.proxy.tunnel.support import CONNECT, TunnelCase, hello

EARLY = b"\x17\x03\x03\x00\x05early"


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
        self.assertEqual(self.ends()[-1].hello, HelloFacts("origin.example"))

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
        self.assertEqual((record.event, record.cause), ("refused", "server_name"))
        self.assertEqual(record.hello, HelloFacts("evil.example"))

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
        self.assertEqual(self.ends()[-1].hello, HelloFacts(""))

    def test_literal_address(self) -> None:
        """Inside a tunnel to an address any name passes and is recorded."""
        client, origin = self.open(f"CONNECT {ADDRESS}:443 HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n".encode())

        client.says(hello("any.example"))
        self.network.settle()
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertEqual(self.ends()[-1].hello, HelloFacts("any.example"))
        self.assertGreater(len(origin.peer.received), 100)

    def test_other_protocols(self) -> None:
        """What is not TLS passes, and the record has no name."""
        client, origin = self.open()
        client.says(b"SSH-2.0-client\r\n")
        self.network.settle()
        origin.heard(b"SSH-2.0-client\r\n")
        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertIs(self.ends()[-1].hello, None)

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

    def test_record_that_some_servers_accept(self) -> None:
        """A record with a version that only some servers accept does not carry a ClientHello past us."""
        evil = hello("evil.example")
        for first in (b"", b"\x15\xff\xff\x00\x02\x01\x5a", b"\x16\xff\xff\x00\x00"):
            with self.subTest(first):
                self.setUp()
                client, origin = self.open()
                client.says(first + evil[:1] + b"\x47\x45" + evil[3:])
                self.network.settle()
                self.assertTrue(client.was_reset)
                self.assertEqual(origin.peer.received, b"")
                self.assertEqual(self.ends()[-1].cause, "hello_malformed")

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

    def test_spelling_of_the_name(self) -> None:
        """A name in capitals is the judged host's."""
        _client, origin = self.open(CONNECT + hello("ORIGIN.Example"))

        self.assertGreater(len(origin.peer.received), 100)

    def test_only_first_octets_are_looked_at(self) -> None:
        """A ClientHello after other octets is a matter of their protocol, as in STARTTLS."""
        client, origin = self.open()
        client.says(b"STARTTLS\r\n")
        self.network.settle()

        client.says(hello("evil.example"))
        self.network.settle()

        self.assertFalse(client.was_reset)
        self.assertGreater(len(origin.peer.received), 100)

    def test_deadline_is_over_with_the_hello(self) -> None:
        """A tunnel whose ClientHello was complete is not ended by the deadline for it."""
        client, origin = self.open()
        sent = hello("origin.example")
        client.says(sent[:50])
        self.network.settle()
        client.says(sent[50:])
        self.network.settle()

        self.network.advance(self.limits.hello_seconds * 2)
        client.says(EARLY)
        self.network.settle()

        self.assertEqual(sent + EARLY, origin.peer.received)

    def test_slow_hello(self) -> None:
        """A ClientHello has its whole time, also beyond the moment at which a tunnel counts as open for long."""
        client, origin = self.open()
        sent = hello("origin.example")
        client.says(sent[:50])
        self.network.settle()
        self.network.advance(self.limits.hello_seconds - 1)

        client.says(sent[50:])
        self.network.settle()

        self.assertEqual(sent, origin.peer.received)

    def test_open_line_after_the_hello(self) -> None:
        """A tunnel with TLS in it leaves its line while it is open like any other."""
        client, _ = self.open()
        sent = hello("origin.example")
        client.says(sent[:50])
        self.network.settle()
        client.says(sent[50:])
        self.network.settle()

        self.network.advance(3)

        self.assertEqual(["open"], [record.event for record in self.audit_log.records])

    def test_silence_before_the_hello(self) -> None:
        """The deadline begins with the first octet of the ClientHello: a client may be silent before."""
        client, origin = self.open()
        self.network.advance(self.limits.hello_seconds * 2)

        client.says(hello("origin.example"))
        self.network.settle()

        self.assertGreater(len(origin.peer.received), 100)

    def test_policy_of_the_refusal(self) -> None:
        """Another server name is no policy's refusal; it has the code of its own."""
        client, _ = self.open()
        client.says(hello("evil.example"))
        self.network.settle()

        refused = self.ends()[-1].refused
        assert refused is not None
        self.assertEqual(("server_name_refused", ""), (refused.code, refused.policy))

    def test_origin_that_leaves_in_the_hello(self) -> None:
        """A reset of the origin in the middle of a ClientHello ends the tunnel, without an octet of it passed on."""
        client, origin = self.open()
        client.says(hello("origin.example")[:50])
        self.network.settle()

        origin.peer.aborts()
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(["origin_reset"], [each.cause for each in self.ends()])


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

        self.assertEqual(self.ends()[-1].hello, HelloFacts("other.example"))
        self.assertGreater(len(origin.peer.received), 100)


class LongHellos(TunnelCase):
    """A bound for ClientHellos."""

    limits = Limits(hello_bytes=512)

    def test_hello_bytes(self) -> None:
        """A ClientHello longer than its bound goes no further."""
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        long = hello("origin.example")
        self.assertGreater(len(long), 512)

        client.says(long)
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(origin.peer.received, b"")
        self.assertEqual(self.ends()[-1].cause, "hello_malformed")
