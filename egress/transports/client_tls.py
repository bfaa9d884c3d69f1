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


class ConnectedBeforeTls(Protocol):
    """The protocol that a `ClientTlsTransport` has first."""

    def arrive(self, transport: ClientTlsTransport) -> None:
        """Called once the TCP connection is established; TLS has not begun."""


class ClientTlsTransport(TlsTransport):
    """The transport inside TLS with a client.

    - Start: TLS takes tens of KiB, so it begins with the client's first octet.
    - Half-close: in TLS 1.3 the protocol is told of the client's close_notify as of a FIN. Before TLS 1.3 the client's
      direction is drained until a deadline.
    - Close: it does not wait for the client's close_notify, as RFC 8446 section 6.1 and RFC 5246
      section 7.2.1 allow.
    - Producers: a pull producer is asked by the transport below, which knows when all octets are sent.

    Twisted would use the global reactor for some of this.
    """

    factory: ClientTlsFactory
    _has_begun = False
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
        """Take octets; the first of all start TLS (IProtocol)."""
        if not self._has_begun:
            if self._aborted:
                return
            self._has_begun = True
            super().makeConnection(cast(ITransport, self.transport))
        super().dataReceived(data)

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
            # Twisted would answer the client's close_notify with ours, and close. Its loop in _flushReceiveBIO reads
            # until _lostTLSConnection is set, so it is set until that loop has ended.
            self._has_ended = self._lostTLSConnection = True
            return
        super()._shutdownTLS()
        if self.disconnecting:
            cast(Any, self.transport).loseConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Tell the protocol (IProtocol)."""
        closing, self._closing = self._closing, None
        if closing is not None:
            closing.cancel()
        if self.disconnecting or not self._has_begun:
            # We closed, so a missing close_notify of the client is no error; or TLS never began.
            self._lostTLSConnection = True
        super().connectionLost(reason)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Be written to by a producer (IConsumer)."""
        if streaming or self._lostTLSConnection:
            super().registerProducer(producer, streaming)
        else:
            self._is_pulled = True
            cast(Any, self.transport).registerProducer(producer, False)

    def unregisterProducer(self) -> None:
        """Be written to without a producer (IConsumer)."""
        if self._is_pulled:
            self._is_pulled = False
            cast(Any, self.transport).unregisterProducer()
        else:
            super().unregisterProducer()


class ClientTlsFactory(TLSMemoryBIOFactory):
    """Makes a `ClientTlsTransport` for each connection of a listener.

    Args:
        tls: the listener's certificates and versions.
        inner: its protocols are `ConnectedBeforeTls`.
        clock: for deadlines.
        linger_seconds: returns how long the client may go on sending after our half-close, before TLS 1.3.
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
