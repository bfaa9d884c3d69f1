"""TLS transports: `IStreamTransport` on top of TLSMemoryBIOProtocol of Twisted."""

from __future__ import annotations

from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocol, ITransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.interfaces import IConnectionNotifier
from egress.transports.adapt import adapt
from egress.transports.connection_notice import OnConnected
from egress.transports.contract import IRelay, IStreamTransport, PeerEnd
from egress.transports.protocol_relay import ProtocolRelay

_RECORD_BYTES = 16_384
"""The longest content of a TLS record (RFC 8446 section 5.1)."""


@implementer(IStreamTransport)
class TlsTransport(TLSMemoryBIOProtocol):
    """Provides `IStreamTransport` over TLS. Twisted would pass these calls on to the TCP connection below:

    - Half-close: a FIN would truncate the TLS stream. In TLS 1.3 close_notify ends one direction (RFC 8446 section
      6.1). Before TLS 1.3 the peer must discard its pending writes when it receives a close_notify (RFC 5246 section
      7.2.1), so none is sent until the other direction has ended.
    - Reset: no close_notify is sent, because the truncated stream would then look complete.
    - stopProducing: closes TLS, not the connection below.
    """

    _is_half_closed = False

    def makeConnection(self, transport: ITransport) -> None:
        """Start TLS on the adapted transport (IProtocol)."""
        super().makeConnection(adapt(transport))

    def _flushReceiveBIO(self) -> None:
        """Deliver what one read of the transport below decrypts in one piece.

        Twisted delivers each TLS record by itself. A peer may send thousands of records of an octet in one read, each
        of which would cost the protocols above as much as a large one.
        """
        while not self._lostTLSConnection:
            pieces: list[bytes] = []
            end = self._decrypt(pieces)
            if pieces and not self._aborted and self.wrappedProtocol is not None:
                self.wrappedProtocol.dataReceived(b"".join(pieces))
            if end is None:
                break
            if self._lostTLSConnection:
                continue  # the protocol has ended TLS meanwhile
            if isinstance(end.value, SSL.ZeroReturnError):
                self._shutdownTLS()
                self._tlsShutdownFinished(None)
            else:
                self._tlsShutdownFinished(end)
        self._flushSendBIO()

    def _decrypt(self, pieces: list[bytes]) -> Failure | None:
        """Decrypt the records that are here.

        Args:
            pieces: the content of each is appended.

        Returns:
            What ended TLS, by close_notify or a fault; None if more records may come.
        """
        receive = self._tlsConnection.recv
        while True:
            try:
                pieces.append(receive(_RECORD_BYTES))
            except SSL.WantReadError:
                return None
            except SSL.Error:
                return Failure()

    def loseWriteConnection(self) -> None:
        """Stop writing; reading continues (ITCPTransport)."""
        if self._is_half_closed or self.disconnecting or self._lostTLSConnection:
            return
        self._is_half_closed = True
        if self._is_half_close_possible:
            self._shutdownTLS()
        else:
            self._await_peer_end()

    @property
    def _is_half_close_possible(self) -> bool:
        """Whether each direction of the TLS version can end by itself."""
        return bool(self._tlsConnection.get_protocol_version_name() == "TLSv1.3")

    def _await_peer_end(self) -> None:
        """Wait, without a deadline, until the peer ends its direction: before TLS 1.3, only both can be ended."""

    def write(self, bytes: bytes) -> None:  # noqa: A002
        """Send, unless `loseWriteConnection` was called (ITransport)."""
        if not self._is_half_closed:
            super().write(bytes)

    def abortConnection(self) -> None:
        """Reset the connection, and drop the unsent octets (ITCPTransport)."""
        self._aborted = True
        self.disconnecting = True
        cast(Any, self.transport).abortConnection()

    def stopProducing(self) -> None:
        """Close (IProducer)."""
        self.loseConnection()

    @property
    def unsent(self) -> object | None:
        """The octets that are buffered here or in the transport below (IStreamTransport)."""
        if self._appSendBuffer:
            return self._appSendBuffer
        below = cast(IStreamTransport | None, self.transport)
        return None if below is None else below.unsent

    is_flushed = False
    """A close sends a close_notify first (IStreamTransport)."""

    def is_quiet(self) -> bool:
        """Look whether nothing has come that was not read (IStreamTransport).

        What is decrypted is passed on at once, so that only the transport below can have more. Octets there may be a
        message of TLS alone, such as a session ticket; a look cannot tell.
        """
        below = cast(IStreamTransport | None, self.transport)
        return below is not None and not self.disconnecting and not self._lostTLSConnection and below.is_quiet()

    def find_end(self) -> PeerEnd | None:
        """Look whether the peer has ended the connection below (IStreamTransport)."""
        below = cast(IStreamTransport | None, self.transport)
        return PeerEnd.RESET if below is None else below.find_end()

    def relay_to(self, sink: IStreamTransport) -> IRelay:
        """Relay the decrypted octets to `sink` (IStreamTransport)."""
        assert self.wrappedProtocol is not None, "an open connection has a protocol"
        relay = ProtocolRelay(cast(IStreamTransport, self), sink, self.wrappedProtocol)
        relay.start()
        self.wrappedProtocol = relay
        return relay

    def pauseProducing(self) -> None:
        """Stop reading (IPushProducer)."""
        cast(IStreamTransport, self.transport).pauseProducing()

    def resumeProducing(self) -> None:
        """Read again (IPushProducer)."""
        cast(IStreamTransport, self.transport).resumeProducing()

    def getTcpNoDelay(self) -> bool:
        """Return whether TCP_NODELAY is set (ITCPTransport)."""
        return cast(IStreamTransport, self.transport).getTcpNoDelay()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set TCP_NODELAY (ITCPTransport)."""
        cast(IStreamTransport, self.transport).setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return whether SO_KEEPALIVE is set (ITCPTransport)."""
        return cast(IStreamTransport, self.transport).getTcpKeepAlive()

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set SO_KEEPALIVE (ITCPTransport)."""
        cast(IStreamTransport, self.transport).setTcpKeepAlive(enabled)


@implementer(IConnectionNotifier)
class UpstreamTlsTransport(TlsTransport):
    """TLS with an upstream proxy. The protocol of the handshake is replaced later.

    Attributes:
        on_connected: see IConnectionNotifier.
    """

    on_connected: OnConnected | None = None

    def makeConnection(self, transport: ITransport) -> None:
        """Start TLS with TCP_NODELAY, so that the second flight of the handshake is not delayed (IProtocol)."""
        cast(Any, transport).setTcpNoDelay(True)
        super().makeConnection(transport)
        on_connected, self.on_connected = self.on_connected, None
        if on_connected is not None:
            on_connected(self, transport)

    def replace(self, protocol: IProtocol) -> None:
        """Pass all further events to another protocol. The caller gives this transport to that protocol."""
        self.wrappedProtocol = protocol

    def deliver(self, data: bytes) -> None:
        """Pass bytes to the protocol, unless the connection has ended."""
        if self.connected and self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
