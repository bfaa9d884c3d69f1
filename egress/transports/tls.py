"""TLS transports: `IStreamTransport` on top of TLSMemoryBIOProtocol of Twisted."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IProtocol, ITransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from egress.interfaces import IConnectionNotifier
from egress.transports.adapt import adapt
from egress.transports.connection_notice import OnConnected
from egress.transports.contract import IRelay, IStreamTransport
from egress.transports.protocol_relay import ProtocolRelay


@implementer(IStreamTransport)
class TlsTransport(TLSMemoryBIOProtocol):
    """Provides `IStreamTransport` over TLS. Twisted would pass some calls on to the TCP connection below, unchanged.

    - Half-close. Twisted's would cut the TLS stream off. TLS 1.3 ends one direction by close_notify (RFC 8446 section
      6.1). Before 1.3, whoever hears of it drops what it still has to say (RFC 5246 section 7.2.1), so it is not said
      while the other direction runs.
    - Reset. No close_notify is sent: with it, what was cut off would look whole.
    - Stop. It closes TLS, not the connection below it.
    """

    _is_half_closed = False

    def makeConnection(self, transport: ITransport) -> None:
        """Start TLS on the adapted transport (IProtocol)."""
        super().makeConnection(adapt(transport))

    def loseWriteConnection(self) -> None:
        """Write no more, and read on (ITCPTransport)."""
        if self._is_half_closed or self.disconnecting or self._lostTLSConnection:
            return
        self._is_half_closed = True
        if self._has_directions:
            self._shutdownTLS()
        else:
            self._wait_for_the_other_direction()

    @property
    def _has_directions(self) -> bool:
        """Each direction ends by itself."""
        return bool(self._tlsConnection.get_protocol_version_name() == "TLSv1.3")

    def _wait_for_the_other_direction(self) -> None:
        """Begin to wait where only both directions can be ended; without a deadline it runs on to its end."""

    def write(self, bytes: bytes) -> None:  # noqa: A002
        """Send, unless this direction has ended (ITransport)."""
        if not self._is_half_closed:
            super().write(bytes)

    def abortConnection(self) -> None:
        """Reset, and drop what was not sent (ITCPTransport)."""
        self._aborted = True
        self.disconnecting = True
        cast(Any, self.transport).abortConnection()

    def stopProducing(self) -> None:
        """Close (IProducer)."""
        self.loseConnection()

    @property
    def unsent(self) -> object | None:
        """What waits here or in the transport below (IStreamTransport)."""
        if self._appSendBuffer:
            return self._appSendBuffer
        below = cast(IStreamTransport | None, self.transport)
        return None if below is None else below.unsent

    is_flushed = False
    """A close sends a close_notify first (IStreamTransport)."""

    def relay_to(self, sink: IStreamTransport) -> IRelay:
        """Write to `sink` what is read and decrypted here (IStreamTransport)."""
        assert self.wrappedProtocol is not None, "a connection that is established has a protocol"
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
    """TLS with an upstream proxy. It begins with a protocol for the handshake, which another one replaces.

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
        """Pass all further events to another protocol, which has to be given this transport by the caller."""
        self.wrappedProtocol = protocol

    def deliver(self, data: bytes) -> None:
        """Pass bytes to the protocol, unless the connection has ended."""
        if self.connected and self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
