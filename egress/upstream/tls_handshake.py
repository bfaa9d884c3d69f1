"""TLS with a proxy: `https://` upstreams (RFC 8446; RFC 9110 section 4.3.4 for the host in the certificate)."""

from __future__ import annotations

from typing import cast

from attrs import define, field, frozen
from OpenSSL import SSL
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

from egress.tls.contexts import UpstreamTls
from egress.tls.errors import WRONG_HOST, describe_certificate, describe_upstream
from egress.transports.tls import UpstreamTlsTransport
from egress.upstream.handshake_strategy import HandshakeRefused, Reply
from egress.upstream.hop_errors import HopFault, tls_failed


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False)
class TlsHandshake:
    """Performs the TLS handshake with a proxy, and verifies the proxy's certificate (HandshakeStrategy).

    The handshake fails with `proxy_tls_failed` or `proxy_timeout`.

    Attributes:
        tls: the trusted authorities, and the certificate of egress.
        clock: the clock of Twisted's TLS.
        target: "", so that the trace has no entry.
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
        self._connection = self.tls.make_connection(self._note_verification)
        return self._connection

    def start(self) -> bytes:
        """Return nothing: the TLS transport sends the ClientHello (HandshakeStrategy)."""
        return b""

    def read(self, data: bytes) -> Reply:
        """Verify the host in the certificate, once the handshake is complete (HandshakeStrategy)."""
        assert self._connection is not None, "a handshake was completed on it"
        if not self.tls.is_host_verified(self._connection):
            self._fault = WRONG_HOST
            raise HandshakeRefused(tls_failed(self._fault))
        return Reply(rest=b"")

    def lost(self, reason: Failure | None) -> HopFault:
        """Describe a handshake that failed (HandshakeStrategy)."""
        told = describe_upstream(reason.value) if reason is not None else ""
        return tls_failed(self._fault or told or "the connection broke off in the handshake")

    def expired(self, seconds: float) -> HopFault:
        """Describe a handshake that was not complete in time (HandshakeStrategy)."""
        if self._fault:
            # The certificate was refused, and the proxy does not read the alert.
            return tls_failed(self._fault)
        words = "The TLS handshake with an upstream proxy took too long."
        return HopFault("proxy_timeout", words, "timeout", "TLS handshake")

    def _note_verification(
        self, _: SSL.Connection, _certificate: object, number: int, _depth: int, is_good: int
    ) -> bool:
        """Keep OpenSSL's first verification error of the chain, for the description of the failure."""
        if not is_good and not self._fault:
            self._fault = describe_certificate(number)
        return bool(is_good)


@implementer(IProtocolFactory)
@frozen(eq=False)
class _InnerFactory:
    """The factory of the protocol inside TLS, which is the handshake."""

    handshake: IProtocol

    def buildProtocol(self, _address: IAddress | None) -> IProtocol:
        return self.handshake

    def doStart(self) -> None:
        pass

    def doStop(self) -> None:
        pass
