"""The TLS transport of a listener's connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from OpenSSL import SSL
from twisted.internet import protocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IOpenSSLServerConnectionCreator,
    IProducer,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from egress.transports.tls import TlsTransport

# A ClientHello is shorter. With more octets the client waits.
_HELD_BYTES = 16_384


class ConnectedBeforeTls(Protocol):
    """The protocol of a `ClientTlsTransport` until the end of the handshake."""

    def arrive(self, transport: ClientTlsTransport) -> None:
        """Receive the transport once the TCP connection is established; TLS has not begun."""

    def octets_arrived(self) -> None:
        """Have `ClientTlsTransport.proceed` called when the octets of the handshake may be processed."""


class ClientTlsTransport(TlsTransport):
    """The transport inside TLS with a client.

    - Start: TLS needs tens of KiB, so TLS begins with the client's first octet.
    - Handshake: its octets are processed when the protocol calls `proceed`, because they cost much computing.
    - Half-close: in TLS 1.3 the protocol receives the client's close_notify as `readConnectionLost`. Before TLS 1.3 the
      client's direction is drained until a deadline.
    - Close: the transport does not wait for the client's close_notify, as RFC 8446 section 6.1 and RFC 5246 section
      7.2.1 allow.
    - Producers: the TCP transport below resumes a pull producer once all octets are sent.

    Twisted would use the global reactor for some of this.
    """

    factory: ClientTlsFactory
    _has_begun = False
    _held = b""
    _is_paused = False
    _has_ended = False
    _is_end_told = False
    _is_pulled = False
    _closing: IDelayedCall | None = None

    def makeConnection(self, transport: ITransport) -> None:
        """Wait for the first octet (IProtocol)."""
        protocol.Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        cast(ConnectedBeforeTls, self.wrappedProtocol).arrive(self)

    def dataReceived(self, data: bytes) -> None:
        """Receive octets; those of the handshake wait for `proceed` (IProtocol)."""
        if self._handshakeDone:
            super().dataReceived(data)
            return
        if self._aborted:
            return
        is_waiting = bool(self._held)
        self._held += data
        if len(self._held) >= _HELD_BYTES and not self._is_paused:
            self._is_paused = True
            cast(Any, self.transport).pauseProducing()
        if not is_waiting:
            cast(ConnectedBeforeTls, self.wrappedProtocol).octets_arrived()

    def proceed(self) -> None:
        """Process the octets of the handshake that have arrived; the first octets start TLS."""
        held, self._held = self._held, b""
        if self._aborted or not held:
            return
        if not self._has_begun:
            self._has_begun = True
            super().makeConnection(cast(ITransport, self.transport))
        if self._is_paused:
            self._is_paused = False
            cast(Any, self.transport).resumeProducing()
        super().dataReceived(held)

    def _await_peer_end(self) -> None:
        factory = self.factory
        self._closing = factory.clock.callLater(factory.linger_seconds(), self._close_late)

    def _close_late(self) -> None:
        self._closing = None
        self.loseConnection()

    def _flushReceiveBIO(self) -> None:
        if self._has_ended:
            self._flushSendBIO()
            return
        super()._flushReceiveBIO()
        if self._has_ended and not self._is_end_told:
            self._is_end_told = True
            self._lostTLSConnection = False
            cast(IHalfCloseableProtocol, self.wrappedProtocol).readConnectionLost()

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None or not self._has_ended or self._is_end_told:
            super()._tlsShutdownFinished(reason)

    def _shutdownTLS(self) -> None:
        is_closing = self._has_ended or self._is_half_closed or self.disconnecting
        has_close_notify = self._tlsConnection.get_shutdown() & SSL.RECEIVED_SHUTDOWN
        if has_close_notify and self._is_half_close_possible and not is_closing:
            # Twisted would respond to the client's close_notify with a close_notify, and close. Twisted's loop in
            # _flushReceiveBIO reads until _lostTLSConnection is set, so the attribute is set until that loop has ended.
            self._has_ended = self._lostTLSConnection = True
            return
        super()._shutdownTLS()
        if self.disconnecting:
            cast(Any, self.transport).loseConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Pass the end of the connection to the protocol (IProtocol)."""
        self._held = b""
        closing, self._closing = self._closing, None
        if closing is not None:
            closing.cancel()
        if self.disconnecting or not self._has_begun:
            # This side closed, so a missing close_notify of the client is not an error; or TLS never began.
            self._lostTLSConnection = True
        super().connectionLost(reason)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Register the producer of the written octets (IConsumer)."""
        if streaming or self._lostTLSConnection:
            super().registerProducer(producer, streaming)
        else:
            self._is_pulled = True
            cast(Any, self.transport).registerProducer(producer, False)

    def unregisterProducer(self) -> None:
        """Unregister the producer (IConsumer)."""
        if self._is_pulled:
            self._is_pulled = False
            cast(Any, self.transport).unregisterProducer()
        else:
            super().unregisterProducer()


class ClientTlsFactory(TLSMemoryBIOFactory):
    """Makes a `ClientTlsTransport` for each connection of a listener.

    Args:
        tls: the TLS of the listener.
        inner: builds the inner protocols, which are `ConnectedBeforeTls`.
        clock: the clock of the deadlines.
        linger_seconds: returns the seconds for which a client before TLS 1.3 may send after the proxy's half-close.
    """

    protocol = ClientTlsTransport

    def __init__(
        self,
        tls: IOpenSSLServerConnectionCreator,
        inner: IProtocolFactory,
        clock: IReactorTime,
        linger_seconds: Callable[[], float],
    ) -> None:
        super().__init__(tls, False, inner, clock)
        self.clock = clock
        self.linger_seconds = linger_seconds
