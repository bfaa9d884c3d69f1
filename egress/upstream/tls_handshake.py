"""TLS with a proxy: `https://` upstreams (RFC 8446; RFC 9110 section 4.3.4 for whose certificate it must be)."""

from __future__ import annotations

from typing import cast

from attrs import define, field, frozen
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.defer import Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.model import Authority, Trace
from egress.tls.errors import WRONG_HOST, describe_certificate, describe_tls
from egress.tls.pem import ClientCertificate, TrustedAuthorities
from egress.transports.tls import UpstreamTlsTransport
from egress.upstream.hop_errors import hop_failed

_CODE = "proxy_tls_failed"


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


@implementer(IStreamClientEndpoint)
@define(eq=False)
class TlsEndpoint:
    """Speaks TLS with the proxy that another endpoint reaches.

    Attributes:
        endpoint: reaches the proxy.
        tls: whom to believe, and who we are.
        handshake_seconds: the deadline of the handshake.
        clock: tells the time.
        upstream: the proxy's name in the configuration.
        trace: for the attempts that a failure tells of.
    """

    endpoint: IStreamClientEndpoint
    tls: UpstreamTls
    handshake_seconds: float
    clock: IReactorTime
    upstream: str
    trace: Trace

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, and shake hands.

        Returns:
            A Deferred of the protocol; its transport is the inside of TLS. Cancelling it drops the connection. It fails
            with DialFailed: `proxy_tls_failed`, `proxy_timeout`, or as the endpoint did.
        """
        return _Handshake(self, protocol_factory).begin()


@implementer(IOpenSSLClientConnectionCreator, IProtocol, IHandshakeListener)
@define(eq=False)
class _Handshake:
    """One call of `connect`: over when `_result` is None. It is TLS's protocol until the caller's takes its place."""

    _endpoint: TlsEndpoint
    _protocols: IProtocolFactory
    _result: Deferred[IProtocol] | None = field(default=None, init=False)
    _dial: Deferred[IProtocol] | None = field(default=None, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _transport: UpstreamTlsTransport | None = field(default=None, init=False)
    _fault: str = field(default="", init=False)

    def begin(self) -> Deferred[IProtocol]:
        result: Deferred[IProtocol] = Deferred(self._cancel)
        self._result = result
        factory = TLSMemoryBIOFactory(self, True, _Building(self, self._protocols), self._endpoint.clock)
        factory.protocol = UpstreamTlsTransport
        self._dial = self._endpoint.endpoint.connect(factory)
        self._dial.addCallbacks(self._dialled, self._failed)
        return result

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Prepare TLS (IOpenSSLClientConnectionCreator)."""
        tls = self._endpoint.tls
        connection = SSL.Connection(tls.context)
        if tls.authority.address is None:
            connection.set_tlsext_host_name(tls.authority.host.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER, self._judge)
        return connection

    def _judge(self, _: SSL.Connection, _certificate: object, number: int, _depth: int, is_good: int) -> bool:
        """Hear what OpenSSL thinks of one certificate of the chain, to be able to tell it."""
        if not is_good and not self._fault:
            self._fault = describe_certificate(number)
        return bool(is_good)

    def makeConnection(self, transport: ITransport) -> None:
        """Hear of TLS, which begins now (IProtocol)."""
        endpoint = self._endpoint
        self._transport = cast(UpstreamTlsTransport, transport)
        if self._result is None:
            self._drop()
        else:
            self._deadline = endpoint.clock.callLater(endpoint.handshake_seconds, self._expired)

    def handshakeCompleted(self) -> None:
        """See whose certificate it is, and hand the connection over (IHandshakeListener)."""
        transport = self._transport
        assert transport is not None
        if self._result is None:
            return
        if not self._is_the_proxy(transport.getHandle()):
            self._fault = WRONG_HOST
            self._fail()
            return
        self._hold_deadline()
        result, self._result = self._result, None
        self._transport = None
        try:
            protocol = self._protocols.buildProtocol(transport.getPeer())
            if protocol is None:
                raise NoProtocol()
            transport.wrappedProtocol = protocol
            protocol.makeConnection(transport)
        except Exception:
            # The failure belongs to whoever gave the factory, as with Twisted's own endpoints.
            transport.abortConnection()
            result.errback()
        else:
            result.callback(protocol)

    def _is_the_proxy(self, connection: SSL.Connection) -> bool:
        authority = self._endpoint.tls.authority
        verify = verify_hostname if authority.address is None else verify_ip_address
        try:
            verify(connection, authority.host)
        except (VerificationError, CertificateError, ValueError):
            return False
        return True

    def connectionMade(self) -> None:
        """Nothing: `makeConnection` has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Nothing: what comes before the end of a handshake belongs to no one, and nothing comes."""

    def connectionLost(self, reason: Failure) -> None:
        """The handshake failed (IProtocol)."""
        self._transport = None
        if not self._fault:
            self._fault = describe_tls(reason.value) or "the connection broke off in the handshake"
        self._fail()

    def logPrefix(self) -> str:
        """Name it in Twisted's messages."""
        return "a handshake with a proxy"

    def _dialled(self, _: IProtocol) -> None:
        self._dial = None

    def _failed(self, failure: Failure) -> None:
        self._dial = None
        self._hold_deadline()
        result, self._result = self._result, None
        if result is not None:
            result.errback(failure)

    def _expired(self) -> None:
        self._deadline = None
        if self._fault:
            # The certificate was refused, and the proxy does not read the alert that says so.
            self._fail()
            return
        endpoint = self._endpoint
        result, self._result = self._result, None
        self._drop()
        if result is not None:
            words = "The TLS handshake with an upstream proxy took too long."
            result.errback(hop_failed("proxy_timeout", words, endpoint.upstream, endpoint.trace, "TLS handshake"))

    def _fail(self) -> None:
        endpoint = self._endpoint
        self._hold_deadline()
        result, self._result = self._result, None
        self._drop()
        if result is not None:
            words = f"TLS with an upstream proxy failed: {self._fault}."
            result.errback(hop_failed(_CODE, words, endpoint.upstream, endpoint.trace, self._fault))

    def _cancel(self, _: Deferred[IProtocol]) -> None:
        self._result = None
        self._hold_deadline()
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.cancel()
        self._drop()

    def _drop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abortConnection()

    def _hold_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()


@implementer(IProtocolFactory)
@frozen(eq=False)
class _Building:
    """The factory that TLS asks for its inner protocol: the handshake comes first."""

    handshake: _Handshake
    protocols: IProtocolFactory

    def buildProtocol(self, _address: IAddress | None) -> IProtocol:
        return self.handshake

    def doStart(self) -> None:
        self.protocols.doStart()

    def doStop(self) -> None:
        self.protocols.doStop()
