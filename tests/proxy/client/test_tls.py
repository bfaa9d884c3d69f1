"""Whole dialogues of clients over TLS with a listener."""

from __future__ import annotations

import datetime

from attrs import define
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto
from twisted.protocols.tls import TLSMemoryBIOProtocol

from egress.proxy.client.connection import ClientConnection
from egress.proxy.client.tls import ClientTlsHandshake, TlsProxyFactory
from egress.proxy.connections import Connections
from egress.proxy.factory import ProxyFactory
from egress.proxy.handshakes import Handshakes
from egress.proxy.limits import HttpSettings, Limits
from egress.testing.peers import NetworkPeer
from egress.tls import ServerTls
from egress.transports.client_tls import ClientTlsTransport
from tests.proxy.accounts import ALICE, Roster, facts
from tests.proxy.support import ServerCase
from tests.proxy.tls_peer import TlsPeer, client_context
from tests.upstream.certificates import Identity, Root

ROOT = Root()
SERVER = ROOT.issue("proxy.example")
CLIENTS = Root("clients")
CLIENT = CLIENTS.issue("agent-7.example", is_server=False)
TLS12, TLS13 = (SSL.TLS1_2_VERSION,) * 2, (SSL.TLS1_3_VERSION,) * 2
GET = b"GET http://origin.example/page HTTP/1.1\r\nHost: a\r\n\r\n"
CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
AT = "127.0.0.3"


def strange(names: bytes) -> Identity:
    """Issue a client's certificate with alternative names that are given as DER."""
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "agent-7")])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(CLIENTS.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, names), critical=False)
    )
    return Identity(builder.sign(CLIENTS.key, hashes.SHA256()), key)


def of_version_4(own: Identity) -> crypto.X509:
    """Give a certificate another version, and the clients' authority's signature for it. OpenSSL does not mind."""
    told, version_3 = own.certificate.tbs_certificate_bytes, bytes.fromhex("a003020102")
    assert told.count(version_3) == 1
    told = told.replace(version_3, version_3[:-1] + b"\x03")
    signature = CLIENTS.key.sign(told, ec.ECDSA(hashes.SHA256()))
    by_ecdsa = bytes.fromhex("300a06082a8648ce3d040302")  # RFC 5758 section 3.2: ecdsa-with-SHA256
    body = told + by_ecdsa + b"\x03" + bytes([len(signature) + 1]) + b"\0" + signature
    return crypto.load_certificate(crypto.FILETYPE_ASN1, b"\x30\x82" + len(body).to_bytes(2, "big") + body)


class SecureCase(ServerCase):
    """A proxy server that also has a listener with TLS."""

    asks = False
    requires = False

    def setUp(self) -> None:
        super().setUp()
        self.roster = Roster(is_required=False)
        self.server.identifier = self.roster
        authorities = [CLIENTS.certificate] if self.asks else []
        tls = ServerTls.make(SERVER.own, authorities, is_required=self.requires)
        self.network.listen(AT, 3129, TlsProxyFactory(tls, ProxyFactory("secure", self.server)))

    def dial(self, own: Identity | None = None, versions: tuple[int, int] = (0, 0)) -> TlsPeer:
        """Connect a client."""
        return TlsPeer(self.network, self.network.dial(AT, 3129), client_context(own, versions))

    def plain(self) -> NetworkPeer:
        """Connect one that speaks no TLS."""
        return self.network.dial(AT, 3129)

    @property
    def connections(self) -> Connections:
        """The connections of the server."""
        return self.server.connections

    def assert_gone(self) -> None:
        """Assert that nothing is left of any client."""
        self.assertEqual(
            (set(), set(), {}),
            (self.connections.live, self.connections.handshaking, self.connections.per_client),
        )


class Dialogues(SecureCase):
    """What is the same as without TLS."""

    def test_requests(self) -> None:
        """Several requests are served on one connection, in both versions of TLS."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        for versions in (TLS12, TLS13):
            client = self.dial(versions=versions)

            client.says(GET + GET)
            client.says(GET)

            self.assertEqual(3, client.received.count(b"HTTP/1.1 200 OK\r\n"))
            self.assertFalse(client.saw_notify)

    def test_small_records(self) -> None:
        """Records of an octet that come together are one piece for the protocol."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.dial()
        client.settle()
        pieces: list[bytes] = []
        receive = ClientConnection.dataReceived

        def received(connection: ClientConnection, data: bytes) -> None:
            pieces.append(data)
            receive(connection, data)

        self.patch(ClientConnection, "dataReceived", received)
        for octet in GET:
            client.tls.sendall(bytes((octet,)))
        client.settle()

        self.assertEqual([GET], pieces)
        self.assertEqual(1, client.received.count(b"HTTP/1.1 200 OK\r\n"))

    def test_octets_and_an_end_together(self) -> None:
        """Octets that come in one read with the close_notify are delivered before the end."""
        self.server.http = HttpSettings(client_half_close="answer")
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.dial(versions=TLS13)
        client.settle()
        for octet in GET:
            client.tls.sendall(bytes((octet,)))
        client.tls.shutdown()
        client.settle()

        self.assertEqual(1, client.received.count(b"HTTP/1.1 200 OK\r\n"))

    def test_octets_and_a_fault_together(self) -> None:
        """Octets that come in one read with a broken record are delivered, and the connection ends."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.dial()
        client.settle()
        client.tls.sendall(GET)
        client.peer.says(client.tls.bio_read(1 << 16) + b"\x17\x03\x03\x00\x20" + bytes(32))
        client.settle()

        self.assertEqual(["client_reset"], [each.cause for each in self.ends()])
        self.assert_gone()

    def test_byte_by_byte(self) -> None:
        """However it is cut."""
        self.network.segment_bytes = 1
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.dial()

        client.says(GET)

        self.assertTrue(client.received.endswith(b"hello"))

    def test_challenge_and_credentials(self) -> None:
        """A 407 keeps the connection here as well."""
        self.roster.is_required = True
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.dial()

        client.says(GET)
        client.says(GET.replace(b"\r\n\r\n", b"\r\nProxy-Authorization: " + ALICE + b"\r\n\r\n"))

        self.assertTrue(client.received.startswith(b"HTTP/1.1 407 "))
        self.assertTrue(client.received.endswith(b"hello"))

    def test_large_answer_to_a_slow_reader(self) -> None:
        """Back-pressure reaches the origin, and nothing is lost."""
        size = 2_000_000
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        origin = self.origin(answer=lambda peer, _: peer.says(head + b"x" * size))
        client = self.dial()
        client.peer.stops_reading()

        client.says(GET)
        self.assertGreater(origin.peer.unsent, size // 2)
        client.peer.reads_again()
        client.settle()

        self.assertTrue(client.received.endswith(b"x"))
        self.assertEqual(size, client.received.count(b"x"))

    def test_reader_that_stops_between_answers(self) -> None:
        """Whoever does not read the answers is asked for no further requests; then all goes on."""
        body = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
        origin = self.origin(answer=lambda peer, _: peer.says(body))
        client = self.dial()
        client.peer.stops_reading()

        client.says(GET * 10)
        heard = origin.peer.received.count(b"GET ")
        client.peer.reads_again()
        client.settle()

        self.assertLess(heard, 10)
        self.assertEqual(10, client.received.count(b"HTTP/1.1 200 OK\r\n"))

    def test_tunnel(self) -> None:
        """Bytes go both ways, early ones too."""
        origin = self.origin(port=443, answer=lambda peer, data: peer.says(data.upper()))
        client = self.dial()

        client.says(CONNECT + b"early ")
        client.says(b"late")

        self.assertTrue(client.received.endswith(b"\r\n\r\nEARLY LATE"))
        self.assertEqual(b"early late", origin.peer.received)

    def test_facts(self) -> None:
        """The record says by which listener it came; without a certificate there is no name."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        self.dial().says(GET)

        self.assertEqual("secure/127.0.0.1", self.ends()[0].client.key)
        self.assertEqual("", self.ends()[0].connection.certificate)

    def test_http11_is_chosen(self) -> None:
        """A client that offers protocols gets HTTP/1.1, and one that offers only others is told by the answer."""
        for offered, chosen in (([b"h2", b"http/1.1"], b"http/1.1"), ([b"h2"], b"")):
            context = client_context()
            context.set_alpn_protos(offered)

            client = TlsPeer(self.network, self.plain(), context)

            self.assertEqual(chosen, client.tls.get_alpn_proto_negotiated())


class Ends(SecureCase):
    """How connections and their directions end."""

    def test_keep_alive_ends(self) -> None:
        """An idle connection is closed by close_notify and a FIN, whatever the client does then."""
        for versions in (TLS12, TLS13):
            client = self.dial(versions=versions)

            client.advance(self.server.limits.keepalive_seconds + 1)

            self.assertTrue(client.saw_notify)
            self.assertTrue(client.peer.saw_eof)
            self.assert_gone()

    def test_client_half_closes(self) -> None:
        """In TLS 1.3 a client's close_notify becomes a FIN, and it hears what its destination still says."""
        origin = self.origin(port=443)
        client = self.dial(versions=TLS13)
        client.says(CONNECT + b"all I have")

        client.notifies()
        self.assertTrue(origin.peer.saw_eof)
        self.assertFalse(client.saw_notify)
        origin.peer.says(b"but I have more")
        client.settle()
        origin.peer.ends()
        client.settle()

        self.assertTrue(client.received.endswith(b"but I have more"))
        self.assertTrue(client.saw_notify)
        self.assertEqual(["complete"], [each.cause for each in self.ends()])
        self.assert_gone()

    def test_client_half_closes_after_a_request(self) -> None:
        """Where clients may half-close, one may ask, end, and hear the answer; the connection ends with it."""
        self.server.http = HttpSettings(client_half_close="answer")
        origin = self.origin()
        client = self.dial(versions=TLS13)
        client.says(GET)
        client.notifies()

        origin.peer.says(OK)
        client.settle()

        self.assertTrue(client.received.endswith(b"hello"))
        self.assertTrue(client.saw_notify)
        self.assert_gone()

    def test_client_ends_while_idle(self) -> None:
        """A close_notify between requests is answered in kind."""
        for versions in (TLS12, TLS13):
            client = self.dial(versions=versions)

            client.notifies()

            self.assertTrue(client.saw_notify)
            self.assertTrue(client.peer.saw_eof)
            self.assert_gone()

    def test_client_ends_before_tls13(self) -> None:
        """Before, a client that has ended hears nothing more."""
        origin = self.origin(port=443)
        client = self.dial(versions=TLS12)
        client.says(CONNECT + b"all")

        client.notifies()

        self.assertTrue(client.saw_notify)
        self.assertTrue(origin.peer.saw_eof)
        self.assertEqual(["complete"], [each.cause for each in self.ends()])

    def test_client_ends_well(self) -> None:
        """A client's close_notify ends its connection, and a tunnel on it ends well on both sides."""
        origin = self.origin(port=443)
        client = self.dial()
        client.says(CONNECT + b"all")

        client.notifies()
        client.peer.closes()
        client.settle()

        self.assertTrue(origin.peer.saw_eof)
        self.assertFalse(origin.peer.was_reset)
        self.assertEqual(["complete"], [each.cause for each in self.ends()])
        origin.peer.closes()
        self.network.settle()
        self.assert_gone()

    def test_client_is_cut_off(self) -> None:
        """A FIN without close_notify may be anybody's: the origin gets a reset, lest it take a part for the whole."""
        origin = self.origin(port=443)
        client = self.dial()
        client.says(CONNECT + b"a part")

        client.peer.closes()
        client.settle()

        self.assertTrue(origin.peer.was_reset)
        self.assertEqual(["client_reset"], [each.cause for each in self.ends()])
        self.assert_gone()

    def test_origin_half_closes(self) -> None:
        """In TLS 1.3 a destination's FIN becomes close_notify at once, and the client may go on."""
        origin = self.origin(port=443)
        client = self.dial(versions=TLS13)
        client.says(CONNECT)

        origin.peer.says(b"all I have")
        origin.peer.ends()
        client.settle()
        self.assertTrue(client.received.endswith(b"all I have"))
        self.assertTrue(client.saw_notify)
        client.says(b"but I have more")
        client.advance(self.server.limits.linger_seconds * 10)
        client.says(b", and more")
        client.notifies()

        self.assertEqual(b"but I have more, and more", origin.peer.received)
        self.assertTrue(origin.peer.saw_eof)
        self.assertEqual(["complete"], [each.cause for each in self.ends()])
        self.assert_gone()

    def test_origin_half_closes_before_tls13(self) -> None:
        """Before, what the client still sends is passed on until a deadline; then all is closed."""
        origin = self.origin(port=443)
        client = self.dial(versions=TLS12)
        client.says(CONNECT)

        origin.peer.says(b"all I have")
        origin.peer.ends()
        client.settle()
        self.assertFalse(client.saw_notify)
        client.says(b"but I have more")
        client.advance(self.server.limits.linger_seconds)

        self.assertTrue(client.saw_notify)
        self.assertEqual(b"but I have more", origin.peer.received)
        self.assertTrue(origin.peer.saw_eof)
        self.assertEqual(["complete"], [each.cause for each in self.ends()])
        self.assert_gone()

    def test_client_leaves_before_the_deadline(self) -> None:
        """A client that goes by itself leaves nothing to wait for."""
        origin = self.origin(port=443)
        client = self.dial(versions=TLS12)
        client.says(CONNECT)
        origin.peer.ends()
        client.settle()

        client.notifies()
        client.peer.closes()
        client.settle()

        self.assert_gone()
        self.assertEqual(["complete"], [each.cause for each in self.ends()])

    def test_cut_off_answers_do_not_look_whole(self) -> None:
        """An answer that its origin broke off ends in a reset without close_notify, in both versions."""
        origin = self.origin()
        for versions in (TLS12, TLS13):
            client = self.dial(versions=versions)
            client.says(GET)
            origin.peer.says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na part")
            client.settle()

            origin.peer.aborts()
            client.settle()

            self.assertTrue(client.received.endswith(b"a part"))
            self.assertFalse(client.saw_notify)
            self.assertTrue(client.peer.was_reset)

    def test_refusal_before_the_end_of_a_body(self) -> None:
        """The answer arrives although the client is still sending, and the connection ends."""
        client = self.dial()
        head = b"POST http://denied.example:80/ HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n"

        client.says(head + b"x" * 400_000)

        self.assertTrue(client.received.startswith(b"HTTP/1.1 403 "))
        self.assertTrue(client.saw_notify)
        client.advance(self.server.limits.linger_seconds + 1)
        self.assert_gone()

    def test_draining(self) -> None:
        """A proxy that stops closes what is idle or in its handshake, and lets the rest end."""
        self.origin(port=443)
        idle, busy, shaking = self.dial(), self.dial(), self.plain()
        busy.says(CONNECT)
        self.network.settle()

        drained = self.server.drain()
        idle.settle()

        self.assertTrue(idle.saw_notify)
        self.assertTrue(shaking.was_reset)
        self.assertNoResult(drained)
        self.network.advance(self.server.limits.drain_seconds + 1)
        self.successResultOf(drained)
        self.assert_gone()


class FailedHandshakes(SecureCase):
    """Connections on which no TLS comes about."""

    def faults(self) -> list[tuple[str, int, str]]:
        """Give what the records say."""
        return [(each.refused.code, each.status, each.refused.reason) for each in self.ends() if each.refused]

    def test_plain_http(self) -> None:
        """Plain HTTP gets no answer, and the record says why."""
        client = self.plain()

        client.says(GET)
        self.network.settle()

        self.assertTrue(client.is_closed)
        self.assertEqual([("tls_failed", 0, "Plain HTTP was spoken to a TLS listener.")], self.faults())
        self.assert_gone()

    def test_nonsense(self) -> None:
        """Nor does anything else."""
        client = self.plain()

        client.says(b"\0" * 100)
        self.network.settle()

        self.assertTrue(client.is_closed)
        self.assertEqual(["tls_failed"], [code for code, _, _ in self.faults()])
        self.assert_gone()

    def test_silence(self) -> None:
        """A handshake that does not end is ended."""
        client = self.plain()

        self.network.advance(self.server.limits.handshake_seconds + 1)

        self.assertTrue(client.was_reset)
        self.assertEqual([("tls_failed", 0, "The TLS handshake did not end in time.")], self.faults())
        self.assert_gone()

    def test_leaving(self) -> None:
        """Whoever connects and goes has not been refused anything."""
        for word in ("closes", "aborts"):
            client = self.plain()
            self.network.settle()

            getattr(client, word)()
            self.network.settle()

            self.assertEqual([], self.ends())
            self.assert_gone()

    def test_old_versions(self) -> None:
        """TLS 1.1 is not spoken."""
        context = client_context(versions=(SSL.TLS1_VERSION, SSL.TLS1_1_VERSION))
        context.set_cipher_list(b"ALL:@SECLEVEL=0")

        client = TlsPeer(self.network, self.plain(), context)

        self.assertNotEqual("", client.fault)
        self.assert_gone()

    def test_clients_that_do_not_believe(self) -> None:
        """A client that refuses our certificate says so, and so does the record."""
        for versions in (TLS12, TLS13):
            self.audit_log.records.clear()
            context = client_context(versions=versions)
            context.set_verify(SSL.VERIFY_PEER)

            client = TlsPeer(self.network, self.plain(), context)

            self.assertIn("certificate verify failed", client.fault)
            self.assertEqual(
                [("tls_failed", 0, "The client does not accept the listener's certificate.")], self.faults()
            )
            self.assert_gone()


@define(eq=False)
class CountingTls(ServerTls):
    """Counts for how many connections TLS was prepared."""

    made: int = 0

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Prepare TLS of one connection."""
        self.made += 1
        return super().serverConnectionForTLS(protocol)


class FirstBytes(SecureCase):
    """Whoever only connects takes no memory for TLS."""

    def setUp(self) -> None:
        super().setUp()
        made = ServerTls.make(SERVER.own)
        self.tls_made = CountingTls(made.context, made.terms)
        self.network.listen(AT, 3130, TlsProxyFactory(self.tls_made, ProxyFactory("secure", self.server)))

    def test_silence(self) -> None:
        """TLS begins with the first byte; until then there is only a count and a deadline."""
        client = self.network.dial(AT, 3130)
        self.network.settle()
        self.assertEqual(
            (0, 1, 0),
            (
                self.tls_made.made,
                len(self.connections.handshaking),
                self.server.handshakes.count,
            ),
        )

        client.says(b"\x16")
        self.network.settle()
        self.assertEqual(
            (1, 1, 1),
            (
                self.tls_made.made,
                len(self.connections.handshaking),
                self.server.handshakes.count,
            ),
        )

        self.network.advance(self.server.limits.handshake_seconds + 1)
        self.assertTrue(client.was_reset)
        self.assertEqual((1, 0), (self.tls_made.made, self.server.handshakes.count))
        self.assert_gone()

    def test_silent_ends(self) -> None:
        """However a connection ends on which nothing was said, nothing is left of it."""
        for end in ("closes", "aborts", "ends"):
            client = self.network.dial(AT, 3130)
            self.network.settle()
            getattr(client, end)()
            self.network.settle()
            self.assert_gone()
        self.network.dial(AT, 3130)
        self.network.settle()
        self.server.stop()
        self.network.settle()
        self.assert_gone()
        self.assertEqual(0, self.tls_made.made)

    def test_done(self) -> None:
        """A handshake that is over is none any more."""
        client = TlsPeer(self.network, self.network.dial(AT, 3130), client_context())
        client.says(GET)

        self.assertEqual((1, 0), (self.tls_made.made, self.server.handshakes.count))


class HandshakeCeiling(SecureCase):
    """There are so many handshakes under way, and no more."""

    limits = Limits(handshakes=2)

    def test_oldest_goes(self) -> None:
        """The one that has taken longest is reset, so that nobody can fill all the places and keep them."""
        silent = [self.plain() for _ in range(5)]
        slow = [self.plain() for _ in range(2)]
        for each in slow:
            each.says(b"\x16\x03")
        self.network.settle()
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.dial()
        client.says(GET)

        self.assertTrue(client.received.endswith(b"hello"))
        self.assertEqual([True, False], [each.was_reset for each in slow])
        self.assertEqual([False] * 5, [each.was_reset for each in silent])
        self.assertEqual("busy", getattr(self.ends()[0].refused, "code", ""))
        self.assertEqual(1, self.server.handshakes.count)

    def test_at_once(self) -> None:
        """Those that come in the same moment each take another one's place."""
        clients = [self.plain() for _ in range(5)]
        for each in clients:
            each.says(b"\x16")
        self.network.settle()

        self.assertEqual([True, True, True, False, False], [each.was_reset for each in clients])
        self.assertEqual(["busy"] * 3, [getattr(each.refused, "code", "") for each in self.ends()])
        self.assertEqual(2, len(self.connections.handshaking))


class HandshakeShares(SecureCase):
    """A client has its share of handshakes, and no more."""

    limits = Limits(handshakes=6, handshakes_per_client=3)

    def begin(self, number: int, source: str) -> list[NetworkPeer]:
        """Begin handshakes from an address, which get no further."""
        clients = [self.network.dial(AT, 3129, source) for _ in range(number)]
        for each in clients:
            each.says(b"\x16\x03")
        self.network.settle()
        return clients

    def test_own_share(self) -> None:
        """A client with too many loses its own oldest; the handshakes of other addresses go on."""
        slow = self.begin(1, "127.0.0.5")

        many = self.begin(5, "127.0.0.6")

        self.assertEqual([True] * 2 + [False] * 3, [each.was_reset for each in many])
        self.assertEqual(["too_many_connections"] * 2, [getattr(each.refused, "code", "") for each in self.ends()])
        self.assertFalse(slow[0].was_reset)

    def test_all(self) -> None:
        """Where many addresses have all handshakes together, the one with most loses one to a newcomer."""
        two, three, one = self.begin(2, "127.0.0.5"), self.begin(3, "127.0.0.6"), self.begin(1, "127.0.0.7")
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.dial()
        client.says(GET)

        self.assertTrue(client.received.endswith(b"hello"))
        self.assertEqual(
            [[False] * 2, [True, False, False], [False]],
            [[each.was_reset for each in group] for group in (two, three, one)],
        )


class HandshakeTurns(SecureCase):
    """Handshakes wait for their turn."""

    def test_octets_wait(self) -> None:
        """However much a client sends before its turn, all of it is processed then, in order."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.dial()
        body = b"x" * 300_000
        post = b"POST http://origin.example/page HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)

        client.says(post + body)

        self.assertTrue(client.received.endswith(b"hello"))

    def test_octets_are_bounded(self) -> None:
        """A client that goes on sending before its turn is read no further."""
        plain = self.plain()
        waited: list[object] = []
        self.patch(Handshakes, "wait", lambda _self, handshake: waited.append(handshake))
        for _ in range(100):
            plain.says(b"\x16" * 10_000)
            self.network.settle()

        (handshake,) = waited
        self.assertIsInstance(handshake, ClientTlsHandshake)
        self.assertLess(len(handshake._transport._held), 200_000)  # type: ignore[attr-defined]
        self.assertGreater(plain.unsent, 0)

    def test_lost_before_its_turn(self) -> None:
        """A client that leaves before its turn leaves nothing behind."""
        plain = self.plain()
        waited: list[object] = []
        self.patch(Handshakes, "wait", lambda _self, handshake: waited.append(handshake))
        plain.says(b"\x16\x03")
        self.network.settle()
        self.assertEqual(1, self.server.handshakes.count)

        plain.aborts()
        self.network.settle()

        self.assertEqual(0, self.server.handshakes.count)
        self.assert_gone()

    def test_fault(self) -> None:
        """A fault in one handshake ends that connection, and takes no turn from the others."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        proceed = ClientTlsTransport.proceed
        faults = [ValueError()]

        def fail_once(transport: ClientTlsTransport) -> None:
            if faults:
                raise faults.pop()
            proceed(transport)

        self.patch(ClientTlsTransport, "proceed", fail_once)
        broken, whole = self.plain(), self.plain()
        broken.says(b"\x16")
        client = TlsPeer(self.network, whole, client_context())
        client.says(GET)

        self.assertTrue(client.received.endswith(b"hello"))
        self.assertTrue(broken.was_reset)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))


class HandshakeCounts(SecureCase):
    """Connections in their handshake count."""

    limits = Limits(connections_per_client=2)

    def test_they_count(self) -> None:
        """Whoever has too many is reset before the handshake, which is what costs."""
        one, two = self.plain(), self.dial()

        three = self.dial()
        self.assertTrue(three.peer.was_reset)
        self.assertEqual("too_many_connections", getattr(self.ends()[-1].refused, "code", ""))
        one.closes()
        self.network.settle()
        four = self.dial()
        four.says(GET)

        self.assertTrue(four.received.startswith(b"HTTP/1.1 "))
        two.says(GET)
        self.assertTrue(two.received.startswith(b"HTTP/1.1 "))


class Certificates(SecureCase):
    """A listener that takes client certificates where they are shown."""

    asks = True

    def test_name(self) -> None:
        """Its name is a fact of the connection, in both versions."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        for versions in (TLS12, TLS13):
            self.dial(CLIENT, versions).says(GET)

            record = self.ends()[-1]
            self.assertEqual("agent-7.example", record.connection.certificate)
            self.assertEqual(facts(record.connection).key, record.client.key)

    def test_none(self) -> None:
        """Who has none is served without a name."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.dial()
        client.says(GET)

        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 "))
        self.assertEqual("", self.ends()[-1].connection.certificate)

    def test_of_another_authority(self) -> None:
        """A certificate that cannot be verified ends the handshake, and the record says why."""
        strange = (Root("others").issue("agent-7.example", is_server=False), CLIENTS.issue("a", ends=-1, begins=-2))
        for own in (*strange, CLIENTS.issue("agent-7.example")):
            client = self.dial(own)
            client.says(GET)

            self.assertEqual(b"", client.received)
            refused = self.ends()[-1].refused
            assert refused is not None
            self.assertEqual("The client's certificate is not accepted here.", refused.reason)
        self.assert_gone()

    def test_name_that_cannot_be_read(self) -> None:
        """One with names of a kind that nobody uses is served without a name."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        for raw in (b"\x30\x04\xa3\x02\x30\x00", b"\x30\x06\xa5\x04\xa1\x02\x0c\x00"):
            client = self.dial(strange(raw))
            client.says(GET)

            self.assertTrue(client.received.startswith(b"HTTP/1.1 200 "))
            self.assertEqual("", self.ends()[-1].connection.certificate)
            client.peer.closes()
            self.network.settle()
            self.assert_gone()

    def test_certificate_that_cannot_be_read(self) -> None:
        """One that only OpenSSL can read is a handshake that failed, and is counted out once."""
        for versions in (TLS12, TLS13):
            other = self.dial()
            context = client_context(versions=versions)
            context.use_certificate(of_version_4(CLIENT))
            context.use_privatekey(CLIENT.key)

            client = TlsPeer(self.network, self.plain(), context)
            client.says(GET)

            self.assertEqual(b"", client.received)
            self.assertTrue(client.peer.was_reset)
            refused = self.ends()[-1].refused
            assert refused is not None
            self.assertEqual(("tls_failed", "The client's certificate cannot be read."), (refused.code, refused.reason))
            self.assertEqual([1], list(self.connections.per_client.values()))
            other.peer.closes()
            self.network.settle()
            self.assert_gone()
        self.assertEqual(2, len(self.ends()))


class RequiredCertificates(SecureCase):
    """A listener that takes only clients with a certificate."""

    asks = requires = True

    def test_with(self) -> None:
        """Who has one is served."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.dial(CLIENT)

        client.says(GET)

        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 "))

    def test_without(self) -> None:
        """Who has none gets no connection, and the record says why."""
        for versions in (TLS12, TLS13):
            client = self.dial(versions=versions)
            client.says(GET)

            self.assertEqual(b"", client.received)
            self.assertEqual("certificate_required", getattr(self.ends()[-1].refused, "code", ""))
        self.assert_gone()
