"""TLS with a proxy: `https://` upstreams (RFC 8446; RFC 9110 section 4.3.4 for whose certificate it must be)."""

from __future__ import annotations

from typing import cast

from attrs import define, field, frozen
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.model import Authority
from egress.tls.errors import WRONG_HOST, describe_certificate, describe_tls
from egress.tls.pem import ClientCertificate, TrustedAuthorities
from egress.transports.tls import UpstreamTlsTransport
from egress.upstream.handshake_strategy import HandshakeRefused, Reply
from egress.upstream.hop_errors import HopFault, tls_failed


@frozen(eq=False)
class UpstreamTls:
    """TLS as one upstream wants it. One for all its connections: to read the system's authorities takes milliseconds.

    Attributes:
        authority: the proxy whose certificate it must be, a name or an address.
        context: what all its connections have in common.
    """

    authority: Authority
    context: SSL.Context = field(repr=False)

    @classmethod
    def make(
        cls, authority: Authority, trust: TrustedAuthorities, certificate: ClientCertificate | None = None
    ) -> UpstreamTls:
        """Set it up.

        Args:
            authority: the proxy.
            trust: from whom its certificate may come.
            certificate: ours, if it wants one.
        """
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        # An idle tunnel keeps no buffers.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        if trust.has_system:
            context.set_default_verify_paths()
        store = context.get_cert_store()
        assert store is not None, "a context of our own has a store"
        # Many companies hand out an authority that another one has signed: what the operator named is trusted as it is.
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        for each in trust.authorities:
            store.add_cert(crypto.X509.from_cryptography(each))
        if certificate is not None:
            own, *above = certificate.chain
            context.use_certificate(own)
            context.use_privatekey(certificate.key)
            for each in above:
                context.add_extra_chain_cert(each)
        return cls(authority, context)


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False)
class TlsHandshake:
    """Shakes hands with a proxy, and verifies its certificate (HandshakeStrategy).

    It fails with `proxy_tls_failed` or `proxy_timeout`.

    Attributes:
        tls: trusted authorities, and our certificate.
        clock: for Twisted's TLS.
        target: no entry in the trace.
    """

    tls: UpstreamTls
    clock: IReactorTime
    target: str = field(default="", init=False)
    _connection: SSL.Connection | None = field(default=None, init=False)
    _fault: str = field(default="", init=False)

    def build_connection(self, receiver: IProtocol) -> UpstreamTlsTransport:
        """Build the protocol of the connection to the proxy (HandshakeStrategy)."""
        factory = TLSMemoryBIOFactory(self, True, _InnerFactory(receiver), self.clock)
        factory.protocol = UpstreamTlsTransport
        return cast(UpstreamTlsTransport, factory.buildProtocol(None))

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Prepare TLS (IOpenSSLClientConnectionCreator)."""
        authority = self.tls.authority
        connection = self._connection = SSL.Connection(self.tls.context)
        if authority.address is None:
            connection.set_tlsext_host_name(authority.host.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER, self._note_verification)
        return connection

    def start(self) -> bytes:
        """Give nothing: the TLS transport sends the ClientHello (HandshakeStrategy)."""
        return b""

    def read(self, data: bytes) -> Reply:
        """Verify whose certificate it is, once the handshake is complete (HandshakeStrategy)."""
        if not self._is_the_proxy():
            self._fault = WRONG_HOST
            raise HandshakeRefused(tls_failed(self._fault))
        return Reply(rest=b"")

    def lost(self, reason: Failure | None) -> HopFault:
        """Describe a handshake that failed (HandshakeStrategy)."""
        told = describe_tls(reason.value) if reason is not None else ""
        return tls_failed(self._fault or told or "the connection broke off in the handshake")

    def expired(self, seconds: float) -> HopFault:
        """Describe a handshake that was not complete in time (HandshakeStrategy)."""
        if self._fault:
            # The certificate was refused, and the proxy does not read the alert that says so.
            return tls_failed(self._fault)
        words = "The TLS handshake with an upstream proxy took too long."
        return HopFault("proxy_timeout", words, "timeout", "TLS handshake")

    def _note_verification(
        self, _: SSL.Connection, _certificate: object, number: int, _depth: int, is_good: int
    ) -> bool:
        """Keep OpenSSL's first objection to a certificate of the chain, for the description of the failure."""
        if not is_good and not self._fault:
            self._fault = describe_certificate(number)
        return bool(is_good)

    def _is_the_proxy(self) -> bool:
        authority, connection = self.tls.authority, self._connection
        assert connection is not None, "a handshake was completed on it"
        verify = verify_hostname if authority.address is None else verify_ip_address
        try:
            verify(connection, authority.host)
        except (VerificationError, CertificateError, ValueError):
            return False
        return True


@implementer(IProtocolFactory)
@frozen(eq=False)
class _InnerFactory:
    """The factory that TLS asks for its inner protocol, which is the handshake."""

    handshake: IProtocol

    def buildProtocol(self, _address: IAddress | None) -> IProtocol:
        return self.handshake

    def doStart(self) -> None:
        pass

    def doStop(self) -> None:
        pass
