"""A TCP connection of the engine."""

from __future__ import annotations

import socket
from contextlib import suppress
from socket import SocketType

from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.contract import IRelay, IStreamTransport, SocketAddress
from egress.transports.engine.polled import Dialler, PollingEngine
from egress.transports.engine.reading import FIRST_READ_BYTES, Reading
from egress.transports.engine.relay import Relay
from egress.transports.engine.writing import ABORTED, FIN_UNSENT, LOST
from egress.transports.keepalive import set_keepalive
from egress.transports.protocol_relay import ProtocolRelay


@implementer(IStreamTransport)
class Transport(Reading):
    """An open connection.

    Args:
        engine: the engine that polls the socket.
        connection: the non-blocking socket.
        descriptor: the descriptor of the socket.
        peer: the remote address.
        connector: the connector that dialled the connection; None if the connection was accepted.

    Attributes:
        keepalive_seconds: the seconds without an octet after which `probe` has the kernel probe the connection; 0 once
            it was called, and for accepted connections, whose options are those of the listening socket.
    """

    __slots__ = ("__weakref__", "_connector", "keepalive_seconds")

    def __init__(
        self,
        engine: PollingEngine,
        connection: SocketType,
        descriptor: int,
        peer: SocketAddress,
        connector: Dialler | None = None,
    ) -> None:
        self.engine = engine
        self._socket = connection
        self._fd = descriptor
        self._peer = peer
        self._connector = connector
        self.keepalive_seconds = 0
        self._protocol = self._producer = self._relay = self.unsent = self._corked = self._look = None
        self._reason = None
        self._fin = FIN_UNSENT
        self._can_write = self._is_no_delay = True
        self._is_readable = self._is_read_ended = self._is_paused = self._is_bulk = False
        self._read_limit = FIRST_READ_BYTES
        self._is_queued = self._is_flushed_pending = self._is_bulk_queued = False
        self._is_streaming = self._is_producer_paused = self.disconnecting = False

    def probe(self) -> None:
        """Have the kernel probe the connection.

        Raises:
            OSError: the connection was reset.
        """
        seconds, self.keepalive_seconds = self.keepalive_seconds, 0
        set_keepalive(self._socket, seconds)

    def attach(self, protocol: IProtocol) -> None:
        """Connect the protocol."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def release(self) -> None:
        """Release the connector, if there is one. The factory that dialled is then not notified of the loss.

        This saves memory on long connections whose factory is no longer needed.
        """
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.release()

    def relay_to(self, sink: IStreamTransport) -> IRelay:
        """Relay to `sink` (IStreamTransport). A sink of the engine needs no protocol."""
        if self._connector is not None:
            self.release()
        # By class, because a TLS transport passes attribute access on to the transport below it.
        if type(sink) is Transport and type(self._protocol) is not ProtocolRelay:
            relay = Relay(self, sink)
            relay.start()
            return relay
        if self._relay is not None:
            raise RuntimeError("the source is relayed already")
        assert self._protocol is not None, "an open connection has a protocol"
        replacement = ProtocolRelay(self, sink, self._protocol)
        replacement.start()
        self._protocol = replacement
        return replacement

    # Polled.

    def lost(self, reason: Failure) -> None:
        """Close the connection; notify producer, protocol and connector once."""
        descriptor = self._fd
        if descriptor < 0:
            return
        if self._corked is not None:
            self.uncork()
        self._fd = -1
        self._can_write = self._is_readable = False
        self._reason = reason
        engine = self.engine
        if self.unsent is not None:
            engine.add_buffered(-len(self.unsent))
            self.unsent = None
        if not self._is_read_ended and reason is not ABORTED and reason is not LOST:
            # A close with unread data sends a reset. With a FIN before the reset, the peer keeps the received octets.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        engine.unregister(descriptor, self._socket)
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.source_lost(reason)
        producer, self._producer = self._producer, None
        protocol, self._protocol = self._protocol, None
        connector, self._connector = self._connector, None
        try:
            if producer is not None:
                producer.stopProducing()
        except Exception:
            engine.log.failure("stopProducing of a producer failed")
        try:
            if protocol is not None:
                protocol.connectionLost(reason)
        except Exception:
            engine.log.failure("connectionLost of a protocol failed")
        if connector is not None:
            connector.lost(reason)

    # State.

    @property
    def connected(self) -> bool:
        """Whether the connection is not known to be lost."""
        return self._fd >= 0

    @property
    def disconnected(self) -> bool:
        """Whether the connection is lost."""
        return self._fd < 0

    def logPrefix(self) -> str:
        """Return the protocol's name for Twisted's messages (ILoggingContext)."""
        return type(self._protocol).__name__
