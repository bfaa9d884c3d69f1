"""What is read of tunnels, apart from the first ClientHello: other protocols, and where nothing is compared."""

from __future__ import annotations

from egress.proxy.limits import TlsSettings
from egress.testing.peers import NetworkPeer, Origin
from tests.proxy.support import ADDRESS
from tests.proxy.tunnel.support import TunnelCase, hello

# Streams of other protocols whose first octet is the content type of a TLS record.
_LIKE_TLS = (b"\x14\x00\x01", b"\x15hello", b"\x16hello", b"\x17\x00", b"\x18\x2d\x00")


class OtherProtocols(TunnelCase):
    """Streams that begin with an octet as TLS does, and are not TLS."""

    def test_they_pass(self) -> None:
        """They pass as they came, whatever pieces they came in."""
        for sent in _LIKE_TLS:
            with self.subTest(sent):
                self.setUp()
                client, origin = self.open()
                for octet in sent:
                    client.says(bytes((octet,)))
                    self.network.settle()
                client.says(b"more")
                self.network.settle()
                self.assertEqual(origin.peer.received, sent + b"more")
                origin.peer.says(b"answer")
                self.network.settle()
                client.heard(b"answer")

    def test_end_before_it_shows(self) -> None:
        """One octet and a FIN are passed on."""
        client, origin = self.open()
        client.says(b"\x16")
        client.ends()
        self.network.settle()

        self.assertEqual((origin.peer.received, origin.peer.saw_eof), (b"\x16", True))
        origin.peer.closes()
        self.network.settle()
        self.assertEqual(self.ends()[-1].cause, "complete")

    def test_silence_before_it_shows(self) -> None:
        """One octet that may begin a ClientHello has the ClientHello's deadline."""
        client, origin = self.open()
        client.says(b"\x16")

        self.network.advance(self.limits.hello_seconds + 1)

        self.assertTrue(client.was_reset)
        self.assertEqual(origin.peer.received, b"")
        self.assertEqual(self.ends()[-1].cause, "hello_timeout")


# What begins as TLS does, and cannot be read as one ClientHello.
_UNREADABLE = (
    b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
    b"\x15\x03\x01\x00\x02\x01\x5a",
    b"\x16\x03\x01\x40\x00\x01\x01\x00\x00",
)


class NothingToCompare(TunnelCase):
    """In a tunnel to a literal address there is no name to compare."""

    def open_any(self) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel whose ClientHello is not compared."""
        return self.open(f"CONNECT {ADDRESS}:443 HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n".encode())

    def test_unreadable(self) -> None:
        """What cannot be read as a ClientHello passes, and the audit log has no name."""
        for sent in _UNREADABLE:
            with self.subTest(sent):
                self.setUp()
                client, origin = self.open_any()
                client.says(sent)
                self.network.settle()
                self.assertEqual(origin.peer.received, sent)
                client.says(b"more")
                client.closes()
                self.network.settle()
                self.assertEqual(origin.peer.received, sent + b"more")
                origin.peer.closes()
                self.network.settle()
                self.assertEqual((self.ends()[-1].cause, self.ends()[-1].server_name), ("complete", None))

    def test_unfinished(self) -> None:
        """What does not end as a ClientHello passes at the deadline or the client's FIN."""
        for sent in (b"\x16", hello("any.example")[:50]):
            for ends in (True, False):
                with self.subTest(sent=sent, ends=ends):
                    self.setUp()
                    client, origin = self.open_any()
                    client.says(sent)
                    self.network.settle()
                    self.assertEqual(origin.peer.received, b"")
                    if ends:
                        client.ends()
                        self.network.settle()
                    else:
                        self.network.advance(self.limits.hello_seconds + 1)
                    self.assertEqual((origin.peer.received, origin.peer.saw_eof), (sent, ends))
                    self.assertFalse(client.was_reset)


class NothingToCompareRecorded(NothingToCompare):
    """With `sni = "record"` nothing is compared either."""

    tls = TlsSettings(sni="record")

    def open_any(self) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel by name."""
        return self.open()
