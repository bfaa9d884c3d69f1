"""TLS contexts (RFC 8446, RFC 5246): of listeners, and of the connections to upstream proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from attrs import define, field, frozen
from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from egress.errors import ConfigError
from egress.model import Authority
from egress.tls.files import OwnCertificate

# For TLS 1.2, like all cipher suites of 1.3: forward secrecy and authenticated encryption only.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

Verified: TypeAlias = Callable[[SSL.Connection, Any, int, int, int], bool]
"""OpenSSL's verification callback: connection, certificate, error number, depth, and whether OpenSSL accepts it."""


@frozen
class TrustedAuthorities:
    """The authorities that may have issued an upstream proxy's certificate.

    Attributes:
        authorities: the authorities in the operator's configuration.
        has_system: whether the system's authorities are trusted too.
    """

    authorities: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    has_system: bool = True

    def __attrs_post_init__(self) -> None:
        if not self.authorities and not self.has_system:
            raise ValueError("there is no authority to trust")


@frozen
class ServerTlsTerms:
    """The terms on which the TLS of a listener accepts clients. The listener's own certificate is not part of them.

    Attributes:
        authorities: the authorities that may have issued a client's certificate.
        is_required: whether the handshake of a client without a certificate fails.
    """

    authorities: frozenset[x509.Certificate] = field(repr=False)
    is_required: bool


@implementer(IOpenSSLServerConnectionCreator)
@define(eq=False)
class ServerTls:
    """TLS of one listener.

    Attributes:
        context: the context of the listener's connections. A new value applies to connections that are accepted later.
        terms: the terms on which clients are accepted.
    """

    context: SSL.Context = field(repr=False)
    terms: ServerTlsTerms

    @classmethod
    def make(
        cls, own: OwnCertificate, authorities: Iterable[x509.Certificate] = (), *, is_required: bool = False
    ) -> ServerTls:
        """Make the context of a listener.

        Args:
            own: the listener's certificate.
            authorities: the authorities that may have issued a client's certificate; none to request no certificate.
            is_required: whether the handshake of a client without a certificate fails.

        Raises:
            ConfigError: OpenSSL cannot use the certificate.
        """
        context = _make_context(SSL.TLS_SERVER_METHOD)
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET)
        # A resumed session would carry a certificate that has not been verified since.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_cipher_list(_CIPHERS)
        context.set_alpn_select_callback(_select_protocol)
        _use(context, own)
        trusted = tuple(authorities)
        if trusted:
            _trust(context, trusted)
            for authority in trusted:
                # Clients that have several certificates choose by these names.
                context.add_client_ca(authority)
            context.set_verify(SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if is_required else 0))
        return cls(context, ServerTlsTerms(frozenset(trusted), is_required))

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the TLS session of one connection (IOpenSSLServerConnectionCreator)."""
        return SSL.Connection(self.context)


@frozen(eq=False)
class UpstreamTls:
    """TLS with one upstream proxy. All connections share one object: loading the system's authorities is slow.

    Attributes:
        authority: the host that the proxy's certificate must name, and its port.
        context: the context of connections to the proxy.
    """

    authority: Authority
    context: SSL.Context = field(repr=False)

    @classmethod
    def make(cls, authority: Authority, trust: TrustedAuthorities, own: OwnCertificate | None = None) -> UpstreamTls:
        """Make the context of an upstream.

        Args:
            authority: the host and port of the proxy.
            trust: the authorities that may have issued the proxy's certificate.
            own: the certificate that is presented if the proxy requests one.

        Raises:
            ConfigError: OpenSSL cannot use the certificate.
        """
        context = _make_context(SSL.TLS_CLIENT_METHOD)
        if trust.has_system:
            context.set_default_verify_paths()
        _trust(context, trust.authorities)
        if own is not None:
            _use(context, own)
        return cls(authority, context)

    def make_connection(self, verified: Verified) -> SSL.Connection:
        """Make the TLS session of one connection. No name is sent for an address (RFC 6066 section 3).

        Args:
            verified: called for each certificate of the proxy's chain; its result counts.
        """
        connection = SSL.Connection(self.context)
        if self.authority.address is None:
            connection.set_tlsext_host_name(self.authority.host.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER, verified)
        return connection

    def is_host_verified(self, connection: SSL.Connection) -> bool:
        """Tell whether the proxy's certificate names its host, as a name or as an address (RFC 9110 section 4.3.4)."""
        verify = verify_hostname if self.authority.address is None else verify_ip_address
        try:
            verify(connection, self.authority.host)
        except (VerificationError, CertificateError, ValueError):
            return False
        return True


def _make_context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # OpenSSL then frees the buffers of an idle tunnel.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def _use(context: SSL.Context, own: OwnCertificate) -> None:
    leaf, *issuers = own.chain
    try:
        context.use_certificate(leaf)
        context.use_privatekey(own.key)
        for each in issuers:
            context.add_extra_chain_cert(each)
    except SSL.Error:
        # OpenSSL's message describes the library's state and not the setting to change.
        raise ConfigError(
            "certificate", "cannot be used for TLS: its key may be too short, or of a kind not known"
        ) from None


def _trust(context: SSL.Context, authorities: Iterable[x509.Certificate]) -> None:
    store = context.get_cert_store()
    assert store is not None, "a new context has a store"
    # Many companies issue from an intermediate authority. Each authority that the operator configures is therefore a
    # trust anchor of its own.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))


def _select_protocol(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    """Choose HTTP/1.1 if the client offers it, else no protocol (RFC 7301)."""
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS
