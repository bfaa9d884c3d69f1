"""TLS between a client and a listener: the handshake before the first request."""

from __future__ import annotations

from typing import Protocol, cast

from attrs import define, evolve, field
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import Refused
from egress.model import Client
from egress.proxy.client.connection import ClientConnection
from egress.proxy.client.connection_facts import gather
from egress.proxy.client.refusal import record
from egress.proxy.server import ProxyServer
from egress.tls import ServerTls, name_of
from egress.tls.errors import refuse_client
from egress.transports.client_tls import ClientTlsFactory, ClientTlsTransport

_log = Logger()


@implementer(IProtocol, IHandshakeListener)
@define(eq=False)
class ClientTlsHandshake:
    """The protocol inside TLS until the handshake is complete and the client's certificate is known.

    The connection counts from its accept, so that clients that never complete a handshake are limited too.

    Attributes:
        inner: the protocol after the handshake.
        client: the client for which the connection is counted.
        due: see `egress.timing.timer_wheel.Entry`.
        visit: see `egress.timing.timer_wheel.Entry`.
    """

    inner: ClientConnection
    client: Client = field(init=False)
    due: int = field(init=False, default=0)
    visit: int = field(init=False, default=0)
    _transport: ClientTlsTransport = field(init=False)
    _is_counted: bool = field(init=False, default=False)
    _is_started: bool = field(init=False, default=False)
    _is_over: bool = field(init=False, default=False)

    def arrive(self, transport: ClientTlsTransport) -> None:
        """Count the connection, and wait for its first octet.

        Args:
            transport: the transport, in which TLS has not begun.
        """
        inner, server = self.inner, self.inner.server
        self._transport = transport
        gather(inner, cast(ITransport, transport))  # a refusal waits for all facts
        self.client = inner.client
        self._is_counted = True
        refused = server.connections.add_handshaking(self)
        if refused is not None:
            # No handshake only to send a refusal, because the handshake is the most expensive part.
            self._fail(refused)
            return
        server.timers.expect(self, server.limits.handshake_seconds)

    def octets_arrived(self) -> None:
        """Wait for this client's turn; the first octets count as the start of a handshake (see `Handshakes`)."""
        handshakes = self.inner.server.handshakes
        if not self._is_started:
            self._is_started = True
            handshakes.start(self)
        handshakes.wait(self)

    def proceed(self) -> None:
        """Process the octets that have arrived (Handshake)."""
        try:
            self._transport.proceed()
        except Exception:
            # One faulty connection must not keep the other handshakes from their turns.
            _log.failure("a TLS handshake failed")
            self.end("internal_error")

    def makeConnection(self, transport: ITransport) -> None:
        """Do nothing: `octets_arrived` has counted the handshake (IProtocol)."""

    def handshakeCompleted(self) -> None:
        """Read the certificate, and pass the connection on to the inner protocol (IHandshakeListener)."""
        if self._is_over:
            return
        transport, inner = self._transport, self.inner
        try:
            certificate = transport.getHandle().get_peer_certificate(as_cryptography=True)
            name = "" if certificate is None else name_of(certificate)
        except Exception as error:
            # OpenSSL has accepted a certificate that the parser of `egress.tls.subject` cannot read.
            refused = Refused("tls_failed", "The client's certificate cannot be read.", detail=type(error).__name__)
            self._fail(refused)
            return
        self._leave()
        if name:
            inner.connection = evolve(inner.connection, certificate=name)
        transport.wrappedProtocol = inner
        inner.makeConnection(transport)

    def connectionMade(self) -> None:
        """Do nothing: `arrive` has counted the connection (IProtocol)."""

    def dataReceived(self, data: bytes) -> None:
        """Do nothing: no octets are delivered before the end of the handshake (IProtocol)."""

    def connectionLost(self, reason: Failure) -> None:
        """Record that the handshake failed or the connection was lost (IProtocol)."""
        is_told = self._is_over
        self._leave()
        if not is_told and isinstance(reason.value, SSL.Error):
            self._record(refuse_client(reason.value))

    @property
    def listener(self) -> str:
        """The name of the connection's listener."""
        return self.inner.connection.listener

    def expired(self) -> None:
        """Fail: the deadline of the handshake has passed."""
        self._fail(Refused("tls_failed", "The TLS handshake did not end in time."))

    def displaced(self, refused: Refused) -> None:
        """Fail: a newer handshake replaces this handshake at a limit (Handshake)."""
        self._fail(refused)

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset the connection."""
        self._is_over = True
        self.inner.server.handshakes.remove(self)
        self._transport.abortConnection()

    def _fail(self, refused: Refused) -> None:
        self._record(refused)
        self.end("refused", refused)

    def _record(self, refused: Refused) -> None:
        record(
            self.inner.server,
            self.inner,
            "refused",
            "refused",
            None,
            refused,
            request_id=self.inner.server.request_id(),
        )

    def _leave(self) -> None:
        server = self.inner.server
        self._is_over = True
        server.timers.forget(self)
        server.handshakes.remove(self)
        if self._is_counted:
            self._is_counted = False
            server.connections.remove_handshaking(self)


class ConnectionFactory(Protocol):
    """Builds the protocol of connections inside TLS."""

    @property
    def server(self) -> ProxyServer:
        """The server, which all listeners share."""

    def buildProtocol(self, address: IAddress | None) -> ClientConnection:
        """Build the protocol of one connection."""


@implementer(IProtocolFactory)
@define(eq=False)
class _Handshakes:
    """The factory of the protocol inside TLS."""

    inner: ConnectionFactory
    noisy: bool = False
    numPorts: int = 0

    def buildProtocol(self, address: IAddress | None) -> ClientTlsHandshake:
        """Build the protocol of one connection."""
        return ClientTlsHandshake(self.inner.buildProtocol(address))

    def doStart(self) -> None:
        """Do nothing."""

    def doStop(self) -> None:
        """Do nothing."""


class TlsProxyFactory(ClientTlsFactory):
    """The factory of one listener that speaks TLS.

    Args:
        tls: the TLS of the listener.
        inner: builds the protocols inside TLS.
    """

    def __init__(self, tls: ServerTls, inner: ConnectionFactory) -> None:
        server = inner.server
        super().__init__(tls, _Handshakes(inner), server.clock, lambda: server.limits.linger_seconds)
