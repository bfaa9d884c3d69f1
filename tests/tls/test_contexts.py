"""TLS contexts: negotiation of listeners and upstreams, between two ends of OpenSSL in memory."""

from __future__ import annotations

import contextlib

from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import ConfigError
from egress.model import Authority
from egress.tls import ServerTls, TrustedAuthorities, UpstreamTls
from tests.upstream.certificates import Identity, Root
from tests.upstream.ends import place

NAME = "proxy.example"
ROOT, CLIENTS = Root(), Root("clients")
SERVER = ROOT.issue(NAME)
CLIENT = CLIENTS.issue(is_server=False)


def accept(_connection: SSL.Connection, _certificate: object, _number: int, _depth: int, is_good: int) -> bool:
    """Take OpenSSL's word."""
    return bool(is_good)


def shake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Let two ends shake hands, to the end or to the first error.

    Raises:
        SSL.Error: of either end.
    """
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(10):
        for end, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(end.bio_read(65_536))
    with contextlib.suppress(SSL.WantReadError):
        client.recv(1)


class ServerTests(SynchronousTestCase):
    """A listener's context."""

    def connect(self, tls: ServerTls, context: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
        """Shake hands with a client."""
        client, server = SSL.Connection(context), tls.serverConnectionForTLS(None)  # type: ignore[arg-type]
        shake(client, server)
        return client, server

    def context(self, own: Identity | None = None, highest: int = 0, ciphers: bytes = b"") -> SSL.Context:
        """Make a client that trusts every server."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(highest)
        if ciphers:
            context.set_cipher_list(ciphers)
        if own is not None:
            context.use_certificate(own.certificate)
            context.use_privatekey(own.key)
        return context

    def test_interface(self) -> None:
        """Twisted's TLS takes it."""
        verifyObject(IOpenSSLServerConnectionCreator, ServerTls.make(SERVER.own))

    def test_versions_and_ciphers(self) -> None:
        """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, and nothing else."""
        tls = ServerTls.make(SERVER.own)
        for highest, version in ((SSL.TLS1_2_VERSION, "TLSv1.2"), (0, "TLSv1.3")):
            client, _ = self.connect(tls, self.context(highest=highest))
            self.assertEqual(version, client.get_protocol_version_name())

        for context in (
            self.context(highest=SSL.TLS1_1_VERSION, ciphers=b"ALL:@SECLEVEL=0"),
            self.context(highest=SSL.TLS1_2_VERSION, ciphers=b"ECDHE-ECDSA-AES128-SHA"),
        ):
            with self.assertRaises(SSL.Error):
                self.connect(tls, context)

    def test_application_protocol(self) -> None:
        """HTTP/1.1 is chosen where it is offered, else none."""
        tls = ServerTls.make(SERVER.own)
        for offered, chosen in (([b"h2", b"http/1.1"], b"http/1.1"), ([b"h2"], b"")):
            context = self.context()
            context.set_alpn_protos(offered)
            client, _ = self.connect(tls, context)
            self.assertEqual(chosen, client.get_alpn_proto_negotiated())

    def test_client_certificates(self) -> None:
        """They are asked for where authorities are given, and needed where they are required."""
        stranger = Root("strangers").issue(is_server=False)
        rows = [
            (False, CLIENT, True),
            (False, None, True),
            (True, CLIENT, True),
            (True, None, False),
            (False, stranger, False),
        ]
        for is_required, own, is_good in rows:
            tls = ServerTls.make(SERVER.own, [CLIENTS.certificate], is_required=is_required)
            if is_good:
                _, server = self.connect(tls, self.context(own))
                self.assertEqual(own is not None, server.get_peer_certificate() is not None)
            else:
                with self.assertRaises(SSL.Error):
                    self.connect(tls, self.context(own))

    def test_none_is_asked_for(self) -> None:
        """Without authorities a client's certificate is not seen."""
        _, server = self.connect(ServerTls.make(SERVER.own), self.context(CLIENT))

        self.assertIsNone(server.get_peer_certificate())


class UpstreamTests(SynchronousTestCase):
    """The context of an upstream's connections."""

    def connect(
        self, tls: UpstreamTls, identity: Identity = SERVER, asks_for: Identity | None = None
    ) -> SSL.Connection:
        """Shake hands with a proxy."""
        client = tls.make_connection(accept)
        shake(client, SSL.Connection(identity.for_server(asks_for)))
        return client

    def test_the_host(self) -> None:
        """The chain is verified by OpenSSL, the host by what the certificate names."""
        rows: list[tuple[Authority, Identity, bool]] = [
            (place(NAME, 443), SERVER, True),
            (place("other.example", 443), SERVER, False),
            (place("192.0.2.9", 443), ROOT.issue("192.0.2.9"), True),
            (place("192.0.2.9", 443), SERVER, False),
            (place(NAME, 443), ROOT.issue(), False),
        ]
        for authority, identity, expected in rows:
            tls = UpstreamTls.make(authority, ROOT.trust)
            self.assertEqual(expected, tls.is_host_verified(self.connect(tls, identity)))

    def test_trust(self) -> None:
        """Another authority's certificate ends the handshake; without the system's, the operator's alone count."""
        other = Root("somebody else").issue(NAME)
        for trust in (ROOT.trust, TrustedAuthorities((ROOT.certificate,)), TrustedAuthorities()):
            with self.assertRaises(SSL.Error):
                self.connect(UpstreamTls.make(place(NAME, 443), trust), other)

    def test_an_intermediate_authority(self) -> None:
        """It is trusted by itself, without its issuer."""
        issuing = Root("issuing", ROOT)

        self.connect(UpstreamTls.make(place(NAME, 443), issuing.trust), issuing.issue(NAME))

    def test_our_certificate(self) -> None:
        """It is presented to a proxy that asks."""
        tls = UpstreamTls.make(place(NAME, 443), ROOT.trust, CLIENT.own)

        self.connect(tls, asks_for=CLIENTS)
        with self.assertRaises(SSL.Error):
            self.connect(UpstreamTls.make(place(NAME, 443), ROOT.trust), asks_for=CLIENTS)

    def test_nobody(self) -> None:
        """Trust in no authority cannot be made."""
        with self.assertRaises(ValueError):
            TrustedAuthorities((), has_system=False)


class OwnCertificateTests(SynchronousTestCase):
    """Certificates that OpenSSL cannot use."""

    def test_a_short_key(self) -> None:
        """On either side the error names the key of the configuration, and no library."""
        weak = ROOT.issue(NAME, key=rsa.generate_private_key(65_537, 1024)).own
        for make in (lambda: ServerTls.make(weak), lambda: UpstreamTls.make(place(NAME, 443), ROOT.trust, weak)):
            with self.assertRaises(ConfigError) as caught:
                make()
            self.assertEqual("certificate", caught.exception.where)
            self.assertIn("too short", caught.exception.problem)
