"""TLS with a proxy: whole handshakes on the in-memory network."""

from __future__ import annotations

from typing import cast

from attrs import define, field
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import CODES, DialFailed
from egress.model import Trace
from egress.testing.network import Network
from egress.tls import OwnCertificate, TrustedAuthorities, UpstreamTls
from egress.transports.tls import UpstreamTlsTransport
from egress.upstream.connect_handshake import ConnectHandshake
from egress.upstream.first_hop_endpoint import FirstHopEndpoint
from egress.upstream.handshake import HandshakeEndpoint
from egress.upstream.tls_handshake import TlsHandshake
from tests.upstream.certificates import Identity, Root, self_signed
from tests.upstream.ends import Broken, Ear, Ears, dial_failed, place
from tests.upstream.tls_proxy import Speaker, TlsProxy

ADDRESS = "192.0.2.9"
NAME = "proxy.example"
ROOT = Root()
SERVER = ROOT.issue(NAME, ADDRESS, "2001:db8::9")
CLIENTS = Root("clients")
CLIENT = CLIENTS.issue(is_server=False)
TLS12, TLS13 = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION
GOOD = b"HTTP/1.1 200 Connection established\r\n\r\n"


@define(eq=False)
class TlsPath:
    """One connection to an https:// proxy, on a network of its own."""

    network: Network = field(factory=Network)
    trace: Trace = field(factory=Trace)
    ears: Ears = field(factory=Ears)
    at: str = ADDRESS

    def serve(self, context: SSL.Context) -> TlsProxy:
        """Let a proxy listen."""
        proxy = TlsProxy(context)
        self.network.listen(self.at, 8443, proxy.factory(self.network.reactor))
        return proxy

    def endpoint(
        self, host: str = NAME, trust: TrustedAuthorities = ROOT.trust, certificate: OwnCertificate | None = None
    ) -> HandshakeEndpoint:
        """Make the endpoint; the proxy is dialled at its address, whatever it is called."""
        reactor = self.network.reactor
        first = FirstHopEndpoint(reactor, None, place(self.at, 8443), 2.0, 3.0, "corporate", self.trace)
        tls = UpstreamTls.make(place(host, 8443), trust, certificate)
        return HandshakeEndpoint(first, lambda: TlsHandshake(tls, reactor), 5.0, reactor, "corporate", self.trace)

    def tunnel_endpoint(self, authorization: bytes | None = None) -> HandshakeEndpoint:
        """Make the endpoint of a tunnel through the proxy."""
        return HandshakeEndpoint(
            self.endpoint(),
            lambda: ConnectHandshake(b"example.com:443", b"X-Zone: a\r\n", authorization, 4096),
            5.0,
            self.network.reactor,
            "corporate",
            self.trace,
        )

    def dial(
        self, host: str = NAME, trust: TrustedAuthorities = ROOT.trust, certificate: OwnCertificate | None = None
    ) -> Deferred[IProtocol]:
        """Begin, and let all that happens at once happen."""
        result = self.endpoint(host, trust, certificate).connect(self.ears)
        self.network.settle()
        return result


class HandshakeTests(SynchronousTestCase):
    """A proxy that is who it should be."""

    def open(self, path: TlsPath, result: Deferred[IProtocol]) -> Ear:
        """Take the protocol."""
        ear = self.successResultOf(result)
        assert isinstance(ear, Ear)
        self.assertEqual(ear.events, ["made"])
        return ear

    def test_it_is_an_endpoint(self) -> None:
        """It can stand wherever Twisted wants an endpoint."""
        self.assertTrue(verifyObject(IStreamClientEndpoint, TlsPath().endpoint()))

    def test_bytes_go_both_ways(self) -> None:
        """In both versions, and the proxy hears the name that it is called by."""
        for version in (TLS12, TLS13):
            path = TlsPath()
            proxy = path.serve(SERVER.for_server(versions=(version, version)))

            ear = self.open(path, path.dial())
            ear.stream.write(b"up")
            path.network.settle()
            proxy.speaker.says(b"down")
            path.network.settle()

            self.assertEqual((proxy.speaker.heard, ear.heard, proxy.names), (b"up", b"down", [b"proxy.example"]))
            self.assertEqual(path.network.clock.getDelayedCalls(), [])

    def test_an_address_as_its_host(self) -> None:
        """It is looked for among the certificate's addresses, and no name is sent (RFC 6066 section 3)."""
        for host in (ADDRESS, "2001:db8::9"):
            path = TlsPath(at=host)
            proxy = path.serve(SERVER.for_server())

            self.open(path, path.dial(host))

            self.assertEqual(proxy.names, [None])

    def test_byte_by_byte(self) -> None:
        """However it is cut."""
        path = TlsPath(network=Network(segment_bytes=1))
        proxy = path.serve(SERVER.for_server())

        ear = self.open(path, path.dial())
        proxy.speaker.says(b"down")
        path.network.settle()

        self.assertEqual(ear.heard, b"down")

    def test_small_pieces_are_not_held_back(self) -> None:
        """The kernel waits for nothing: the end of a handshake and what follows it are two small pieces."""
        path = TlsPath()
        path.serve(SERVER.for_server())

        ear = self.open(path, path.dial())

        self.assertTrue(ear.stream.getTcpNoDelay())

    def test_a_client_certificate(self) -> None:
        """It is shown to a proxy that asks for it."""
        for version in (TLS12, TLS13):
            path = TlsPath()
            proxy = path.serve(SERVER.for_server(CLIENTS, (version, version)))

            ear = self.open(path, path.dial(certificate=CLIENT.own))
            ear.stream.write(b"up")
            path.network.settle()

            self.assertEqual(proxy.speaker.heard, b"up")

    def test_an_authority_that_another_signed(self) -> None:
        """It is believed as it is, without the one above it."""
        issuing = Root("issuing", ROOT)
        path = TlsPath()
        path.serve(issuing.issue(NAME).for_server())

        self.open(path, path.dial(trust=issuing.trust))

    def test_a_chain(self) -> None:
        """The certificates above a proxy's and our own are sent along and used."""
        issuing, issuing_clients = Root("issuing", ROOT), Root("issuing clients", CLIENTS)
        server, client = issuing.issue(NAME), issuing_clients.issue(is_server=False)
        server.above, client.above = (issuing.certificate,), (issuing_clients.certificate,)
        path = TlsPath()
        proxy = path.serve(server.for_server(CLIENTS))

        ear = self.open(path, path.dial(certificate=client.own))
        ear.stream.write(b"up")
        path.network.settle()

        self.assertEqual(proxy.speaker.heard, b"up")

    def test_own_authorities_beside_the_systems(self) -> None:
        """What the operator adds counts as well."""
        path = TlsPath()
        path.serve(SERVER.for_server())

        self.open(path, path.dial(trust=TrustedAuthorities((ROOT.certificate,), has_system=True)))

    def test_nothing_of_ours_stands_between(self) -> None:
        """When the handshake is over, TLS speaks to the caller's protocol itself."""
        path = TlsPath()
        path.serve(SERVER.for_server())

        ear = self.open(path, path.dial())

        self.assertIs(cast(UpstreamTlsTransport, ear.transport).wrappedProtocol, ear)

    def test_back_pressure(self) -> None:
        """Who does not read makes the proxy wait."""
        path = TlsPath()
        proxy = path.serve(SERVER.for_server())
        ear = self.open(path, path.dial())

        ear.stream.pauseProducing()
        proxy.speaker.says(b"x" * 1_000_000)
        path.network.settle()
        held = len(ear.heard)
        ear.stream.resumeProducing()
        path.network.settle()

        self.assertLess(held, 1_000_000)
        self.assertEqual(len(ear.heard), 1_000_000)


class EndTests(SynchronousTestCase):
    """How such a connection ends."""

    def open(self, version: int = TLS13) -> tuple[TlsPath, Ear, Speaker]:
        """Open one."""
        path = TlsPath()
        proxy = path.serve(SERVER.for_server(versions=(version, version)))
        ear = self.successResultOf(path.dial())
        assert isinstance(ear, Ear)
        return path, ear, proxy.speaker

    def test_a_half_close(self) -> None:
        """TLS 1.3 can end one direction: the proxy hears of it, and what it still says arrives."""
        path, ear, speaker = self.open()
        lower = speaker.tls.transport
        ear.stream.write(b"last")
        ear.stream.loseWriteConnection()
        ear.stream.write(b"not sent")
        # This proxy is Twisted's, which ends at a close_notify; so what it sends is sent before it reads that.
        speaker.says(b"x" * 100_000)
        path.network.settle()

        self.assertEqual(speaker.heard, b"last")
        self.assertEqual(len(ear.heard), 100_000)
        self.assertEqual(ear.events[-1], "lost")
        self.assertIsNotNone(lower)
        path.network.assert_quiet()

    def test_a_half_close_before_1_3(self) -> None:
        """There nothing is sent, because it would cost what the proxy has still to say."""
        path, ear, speaker = self.open(TLS12)

        ear.stream.loseWriteConnection()
        path.network.settle()
        self.assertIsNone(speaker.end)
        speaker.says(b"answer")
        speaker.tls.loseConnection()
        path.network.settle()

        self.assertEqual(ear.heard, b"answer")
        assert ear.end is not None
        ear.end.trap(ConnectionDone)
        path.network.assert_quiet()

    def test_a_half_close_and_then_a_close(self) -> None:
        """A close after it is a close."""
        for version in (TLS12, TLS13):
            path, ear, _ = self.open(version)

            ear.stream.loseWriteConnection()
            ear.stream.loseWriteConnection()
            ear.stream.loseConnection()
            path.network.settle()

            self.assertEqual(ear.events[-1], "lost")
            path.network.assert_quiet()

    def test_their_close(self) -> None:
        """A close_notify is a clean end."""
        path, ear, speaker = self.open()

        speaker.says(b"last")
        speaker.tls.loseConnection()
        path.network.settle()

        self.assertEqual(ear.heard, b"last")
        assert ear.end is not None
        ear.end.trap(ConnectionDone)

    def test_an_end_cut_short(self) -> None:
        """A FIN without close_notify may be anybody's: it is no clean end."""
        path, ear, speaker = self.open()

        assert speaker.tls.transport is not None
        speaker.tls.transport.loseConnection()
        path.network.settle()

        assert ear.end is not None
        ear.end.trap(ConnectionLost)
        path.network.assert_quiet()


class FailureTests(SynchronousTestCase):
    """A proxy that is not who it should be, or speaks something else."""

    def failed(self, path: TlsPath, result: Deferred[IProtocol]) -> DialFailed:
        """Take the failure, and hold it to what is true of each."""
        problem = dial_failed(self.failureResultOf(result))
        path.network.settle()
        path.network.assert_quiet()
        self.assertEqual(path.ears.built, [])
        self.assertIn(problem.code, CODES)
        self.assertTrue(problem.reason.isascii() and problem.reason.isprintable())
        for secret in ("corporate", ADDRESS, NAME, "8443"):
            self.assertNotIn(secret, problem.reason)
        self.assertIn("'corporate'", problem.detail)
        return problem

    def rejected(self, identity: Identity, trust: TrustedAuthorities = ROOT.trust) -> str:
        """Give the reason why a proxy with this certificate is not spoken to."""
        path = TlsPath()
        proxy = path.serve(identity.for_server())

        problem = self.failed(path, path.dial(trust=trust))

        self.assertEqual(problem.code, "proxy_tls_failed")
        self.assertEqual([each.heard for each in proxy.speakers], [b""])
        return problem.reason

    def test_certificates(self) -> None:
        """The reason says what is wrong with it."""
        other = Root("tests of somebody else")
        rows = [
            (ROOT.issue(NAME, begins=-2, ends=-1), "the certificate has expired"),
            (ROOT.issue(NAME, begins=1, ends=2), "the certificate is not valid yet"),
            (self_signed(NAME), "the certificate is self-signed"),
            (other.issue(NAME), "the certificate comes from an unknown authority"),
            (ROOT.issue("other.example"), "the certificate is for another host"),
            (ROOT.issue(ADDRESS), "the certificate is for another host"),
            (ROOT.issue(), "the certificate is for another host"),
            (ROOT.issue(NAME, is_server=False), "the certificate is not one for a server"),
        ]
        for identity, words in rows:
            self.assertEqual(self.rejected(identity), f"TLS with an upstream proxy failed: {words}.")

    def test_own_authorities_replace_the_systems(self) -> None:
        """The system's alone do not know ours; ours alone do not know another."""
        self.assertIn("unknown authority", self.rejected(SERVER, TrustedAuthorities()))

    def test_a_certificate_for_the_name_is_none_for_the_address(self) -> None:
        """An address must stand in the certificate as an address (RFC 9110 section 4.3.5)."""
        path = TlsPath()
        path.serve(ROOT.issue(NAME).for_server())

        self.assertIn("another host", self.failed(path, path.dial(ADDRESS)).reason)

    def test_old_versions(self) -> None:
        """Nothing before TLS 1.2 is spoken."""
        path = TlsPath()
        context = SERVER.for_server(versions=(SSL.TLS1_VERSION, SSL.TLS1_1_VERSION))
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        path.serve(context)

        self.assertIn("TLS 1.2 or later", self.failed(path, path.dial()).reason)

    def test_a_client_certificate_is_wanted_before_1_3(self) -> None:
        """The proxy says so in the handshake."""
        path = TlsPath()
        path.serve(SERVER.for_server(CLIENTS, (TLS12, TLS12)))

        self.assertIn("client certificate", self.failed(path, path.dial()).reason)

    def test_a_client_certificate_is_wanted(self) -> None:
        """In TLS 1.3 it says so after our side is done: CONNECT hears of it."""
        path = TlsPath()
        path.serve(SERVER.for_server(CLIENTS))

        result = path.tunnel_endpoint().connect(path.ears)
        path.network.settle()

        problem = self.failed(path, result)
        self.assertEqual(problem.code, "proxy_tls_failed")
        self.assertIn("it wants a client certificate", problem.reason)

    def test_our_certificate_is_not_accepted(self) -> None:
        """One of the wrong authority is refused by the proxy."""
        path = TlsPath()
        path.serve(SERVER.for_server(CLIENTS, (TLS12, TLS12)))
        stranger = Root("strangers").issue(is_server=False).own

        self.assertIn("client certificate", self.failed(path, path.dial(certificate=stranger)).reason)

    def test_something_else_is_spoken(self) -> None:
        """A proxy without TLS, or none at all."""
        for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.9\r\n", b"\0\0\x12\x04\0\0\0\0\0"):
            path = TlsPath()
            origin = path.network.origin(ADDRESS, 8443)
            result = path.dial()

            origin.peer.says(said)
            path.network.settle()

            problem = self.failed(path, result)
            self.assertEqual(problem.code, "proxy_tls_failed")
            self.assertIn("it does not speak TLS", problem.reason, said)

    def test_it_closes(self) -> None:
        """A proxy that goes in the handshake."""
        for then in ("ends", "closes", "aborts"):
            path = TlsPath()
            origin = path.network.origin(ADDRESS, 8443)
            result = path.dial()

            getattr(origin.peer, then)()
            path.network.settle()

            self.assertIn("broke off", self.failed(path, result).reason, then)

    def test_it_says_nothing(self) -> None:
        """A handshake has a deadline."""
        path = TlsPath()
        path.network.origin(ADDRESS, 8443)
        result = path.dial()

        path.network.advance(4.9)
        self.assertNoResult(result)
        path.network.advance(0.2)

        self.assertEqual(self.failed(path, result).code, "proxy_timeout")

    def test_it_is_not_there(self) -> None:
        """What the dial says is passed on."""
        path = TlsPath()

        self.assertEqual(self.failed(path, path.dial()).code, "proxy_unreachable")

    def test_a_factory_that_fails(self) -> None:
        """Its failure is its own, and the connection is dropped."""
        for ears in (Ears(None), Ears(Broken)):
            path = TlsPath(ears=ears)
            path.serve(SERVER.for_server())

            self.failureResultOf(path.dial())

            path.network.settle()
            path.network.assert_quiet()


class CancelTests(SynchronousTestCase):
    """Whoever waits may stop waiting at any time."""

    def cancel(self, path: TlsPath, result: Deferred[IProtocol]) -> None:
        """Cancel, and see that nothing is left."""
        result.cancel()
        path.network.settle()

        self.failureResultOf(result, CancelledError)
        path.network.assert_quiet()
        self.assertEqual(path.ears.built, [])

    def test_in_the_dial(self) -> None:
        """While the proxy does not answer the dial."""
        path = TlsPath()
        path.network.blackhole(ADDRESS)

        self.cancel(path, path.dial())

    def test_in_the_handshake(self) -> None:
        """While it does not answer our hello."""
        path = TlsPath()
        path.network.origin(ADDRESS, 8443)

        self.cancel(path, path.dial())


class TunnelInTlsTests(SynchronousTestCase):
    """CONNECT inside TLS, and TLS inside that."""

    def test_early_bytes(self) -> None:
        """What follows the answer in one record is kept."""
        path = TlsPath()
        proxy = path.serve(SERVER.for_server())
        result = path.tunnel_endpoint(b"Basic eA==").connect(path.ears)
        path.network.settle()

        proxy.speaker.says(GOOD + b"early")
        path.network.settle()

        ear = self.successResultOf(result)
        assert isinstance(ear, Ear)
        self.assertEqual(ear.heard, b"early")
        self.assertEqual(
            proxy.speaker.heard,
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nX-Zone: a\r\n"
            b"Proxy-Authorization: Basic eA==\r\n\r\n",
        )
