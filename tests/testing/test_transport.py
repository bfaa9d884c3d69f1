"""Transfers and ends of connections on the in-memory network. tests/live compares them with real sockets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import error, ssl
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from egress.testing.network import Network
from tests.testing.sides import ORIGIN, Half, Keeping, NetworkCase, Plain, Source


class FlowTests(NetworkCase):
    """How bytes move."""

    def test_nothing_moves_before_settle(self) -> None:
        """Neither side is called from inside a write."""
        peer, server = self.connect()

        server.tcp.write(b"down")
        peer.says(b"up")
        self.assertEqual((peer.received, server.heard), (b"", b""))
        self.network.settle()

        self.assertEqual((peer.received, server.heard), (b"down", b"up"))

    def test_no_reentrancy(self) -> None:
        """Two protocols of the code under test never call each other through their transports."""
        depth = 0
        deepest = 0

        class Nested(Half):
            def dataReceived(self, data: bytes) -> None:
                nonlocal depth, deepest
                depth += 1
                deepest = max(deepest, depth)
                if data != b"1":
                    self.tcp.write(data[1:])
                depth -= 1

        self.network.listen(ORIGIN, 80, Keeping(Nested))
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80).connect(Keeping(Nested))
        self.network.settle()
        cast(Plain, self.successResultOf(dialling)).tcp.write(b"1" * 10)
        self.network.settle()

        self.assertEqual(deepest, 1)

    def test_segments(self) -> None:
        """No piece is longer than a segment."""
        peer, server = self.connect()

        peer.says(b"x" * 3000)
        self.network.settle()

        self.assertEqual([len(piece) for piece in server.pieces], [1460, 1460, 80])

    def test_byte_by_byte(self) -> None:
        """With segments of one byte, every byte comes alone."""
        peer, server = self.connect()
        self.network.segment_bytes = 1

        peer.says(b"abc")
        self.network.settle()

        self.assertEqual(server.pieces, [b"a", b"b", b"c"])

    def test_back_pressure_is_bounded(self) -> None:
        """A reader that does not read stops the writer's producer; a window and a buffer are all that is held."""
        peer, server = self.connect()
        source = Source()
        server.tcp.registerProducer(source, True)
        peer.stops_reading()

        while source.asked == []:
            server.tcp.write(b"x" * 1000)
            self.network.settle()

        self.assertEqual(source.asked, ["pause"])
        self.assertLessEqual(self.network.buffered_bytes(), 65536 + 65536 + 1000)
        self.assertGreater(self.network.buffered_bytes(), 65536)
        peer.reads_again()
        self.network.settle()
        self.assertEqual(source.asked, ["pause", "resume"])
        self.assertEqual(self.network.buffered_bytes(), 0)

    def test_window_size(self) -> None:
        """The window can be chosen."""
        self.network.window_bytes = 10
        peer, server = self.connect()
        server.tcp.pauseProducing()

        peer.says(b"x" * 100)
        self.network.settle()
        self.assertEqual(peer.unsent, 90)
        server.tcp.resumeProducing()
        self.network.settle()

        self.assertEqual(len(server.heard), 100)

    def test_much_data(self) -> None:
        """Megabytes pass whole and in order."""
        peer, server = self.connect()
        data = bytes(range(256)) * 8192

        peer.says(data)
        self.network.settle()

        self.assertTrue(server.heard == data)


class EndTests(NetworkCase):
    """How connections end."""

    def test_client_half_closes(self) -> None:
        """After a client's FIN the server can still answer."""
        peer, server = self.connect()

        peer.says(b"question")
        peer.ends()
        self.network.settle()
        self.assertEqual((server.heard, cast(Half, server).saw_eof), (b"question", True))
        server.tcp.write(b"answer")
        server.tcp.loseConnection()
        self.network.settle()

        peer.heard(b"answer")
        self.assertTrue(peer.is_closed)
        self.network.assert_quiet()

    def test_server_half_closes(self) -> None:
        """After a server's FIN the client can go on, and knows that it is only half an end."""
        peer, server = self.connect()

        server.tcp.loseWriteConnection()
        self.network.settle()
        self.assertEqual((peer.saw_eof, peer.is_closed), (True, False))
        peer.says(b"still here")
        self.network.settle()

        self.assertEqual(server.heard, b"still here")

    def test_plain_protocol(self) -> None:
        """To a protocol without half-close, a FIN is the end of the connection."""
        peer, server = self.connect(Plain)

        peer.ends()
        self.network.settle()

        self.assertEqual(server.ends, [error.ConnectionDone])
        self.assertTrue(peer.is_closed)

    def test_client_resets(self) -> None:
        """A reader hears of a RST at once, and once."""
        peer, server = self.connect()

        peer.aborts()
        self.network.settle()

        self.assertEqual(server.ends, [error.ConnectionLost])
        self.network.assert_quiet()

    def test_server_resets(self) -> None:
        """A client hears of a RST even while it does not read."""
        peer, server = self.connect()
        peer.stops_reading()

        server.tcp.abortConnection()
        self.network.settle()

        self.assertEqual((peer.was_reset, peer.saw_eof), (True, False))
        self.assertEqual(server.ends, [error.ConnectionAborted])

    def test_reset_while_paused_and_writing(self) -> None:
        """A paused transport that has something to send notices a RST."""
        peer, server = self.connect()
        peer.stops_reading()
        server.tcp.pauseProducing()
        server.tcp.write(b"x" * 200_000)
        self.network.settle()

        peer.aborts()
        self.network.settle()

        self.assertEqual(server.ends, [error.ConnectionLost])

    def test_reset_while_paused_and_idle(self) -> None:
        """A paused transport with nothing to send notices a RST when it reads again, as on the epoll reactor."""
        peer, server = self.connect()
        server.tcp.pauseProducing()

        peer.aborts()
        self.network.settle()
        self.assertEqual(server.ends, [])
        server.tcp.resumeProducing()
        self.network.settle()

        self.assertEqual(server.ends, [error.ConnectionLost])

    def test_end_while_paused(self) -> None:
        """Neither bytes nor their end reach a paused transport."""
        peer, server = self.connect()
        server.tcp.pauseProducing()

        peer.says(b"later")
        peer.ends()
        self.network.settle()
        self.assertEqual((server.heard, cast(Half, server).saw_eof), (b"", False))
        server.tcp.resumeProducing()
        self.network.settle()

        self.assertEqual((server.heard, cast(Half, server).saw_eof), (b"later", True))

    def test_data_to_the_closed(self) -> None:
        """What is sent to a closed connection is answered by a RST."""
        peer, server = self.connect()
        server.tcp.loseConnection()
        self.network.settle()
        self.assertFalse(peer.was_reset)

        peer.says(b"too late")
        self.network.settle()

        self.assertTrue(peer.was_reset)

    def test_talker_closes(self) -> None:
        """A talker that closes for good sends everything first, then resets whatever comes later."""
        peer, server = self.connect()

        peer.says(b"bye")
        peer.closes()
        self.network.settle()
        self.assertEqual((server.heard, cast(Half, server).saw_eof), (b"bye", True))
        server.tcp.write(b"one")
        self.network.settle()
        server.tcp.write(b"two")
        self.network.settle()

        self.assertEqual(server.ends, [error.ConnectionLost])

    def test_closing_unread_resets(self) -> None:
        """A talker that closes with bytes unread resets (RFC 2525 section 2.17)."""
        peer, server = self.connect()
        peer.stops_reading()
        server.tcp.write(b"unread")
        self.network.settle()

        peer.closes()
        self.network.settle()

        self.assertEqual(server.ends, [error.ConnectionLost])


class TLSTests(SynchronousTestCase):
    """Twisted's TLS runs on top."""

    def test_echo(self) -> None:
        """A verified TLS connection is made, used at every split, and closed."""
        network = Network(segment_bytes=1)
        certificate = self_signed("origin.example")
        servers, clients = Keeping(), Keeping()
        network.listen(ORIGIN, 443, TLSMemoryBIOFactory(certificate.options(), False, servers, clock=network.reactor))
        trusting = ssl.optionsForClientTLS("origin.example", trustRoot=certificate)
        secured = TLSMemoryBIOFactory(trusting, True, clients, clock=network.reactor)

        connecting = TCP4ClientEndpoint(network.reactor, ORIGIN, 443).connect(secured)
        network.settle()
        self.successResultOf(connecting)
        clients.last.tcp.write(b"secret")
        network.settle()
        self.assertEqual(servers.last.heard, b"secret")
        clients.last.tcp.loseConnection()
        network.settle()

        self.assertEqual((servers.last.ends, clients.last.ends), ([error.ConnectionDone], [error.ConnectionDone]))
        network.assert_quiet()


def self_signed(name: str) -> ssl.PrivateCertificate:
    """Make a certificate for one name, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    key_text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return cast(
        ssl.PrivateCertificate, ssl.PrivateCertificate.loadPEM(made.public_bytes(serialization.Encoding.PEM) + key_text)
    )
