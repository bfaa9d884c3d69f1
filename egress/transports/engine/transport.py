"""One TCP connection in the engine's set."""

from __future__ import annotations

import socket
from contextlib import suppress
from socket import SocketType
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.contract import IRelay, IStreamTransport
from egress.transports.engine.reading import Reading
from egress.transports.engine.relay import Relay
from egress.transports.engine.socket_addresses import SocketAddress
from egress.transports.engine.writing import ABORTED, LOST, OPEN
from egress.transports.protocol_relay import ProtocolRelay

if TYPE_CHECKING:
    from egress.transports.engine.connector import Connector
    from egress.transports.engine.engine import Engine


@implementer(IStreamTransport)
class Transport(Reading):
    """A connection that stands.

    Args:
        engine: whose set.
        connection: its socket, which does not block.
        descriptor: of the socket.
        peer: the other side's address.
        connector: what dialled it, if it was dialled.
    """

    __slots__ = ("__weakref__", "_connector")

    def __init__(
        self,
        engine: Engine,
        connection: SocketType,
        descriptor: int,
        peer: SocketAddress,
        connector: Connector | None = None,
    ) -> None:
        self.engine = engine
        self._socket = connection
        self._fd = descriptor
        self._peer = peer
        self._connector = connector
        self._protocol = self._producer = self._relay = self.unsent = self._corked = None
        self._reason = None
        self._end = OPEN
        self._can_write = self._is_no_delay = True
        self._is_readable = self._is_ended = self._is_paused = self._is_bulky = False
        self._is_queued = self._is_due = self._is_sharing = False
        self._is_streaming = self._is_producer_paused = self.disconnecting = False

    def begin(self, protocol: IProtocol) -> None:
        """Meet the protocol."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def release(self) -> None:
        """Let go of the connector, where there is one: the factory that dialled will not hear of the loss.

        For connections that live long, and whose factory has done its part.
        """
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.release()

    def relay_to(self, sink: IStreamTransport) -> IRelay:
        """Write to `sink` what this transport reads (IStreamTransport). The engine moves it if the sink is its own."""
        if self._connector is not None:
            self.release()
        # By class: a TLS transport would answer any other question for the transport below it.
        if type(sink) is Transport and type(self._protocol) is not ProtocolRelay:
            relay = Relay(self, sink)
            relay.begin()
            return relay
        if self._relay is not None:
            raise RuntimeError("the source is relayed already")
        assert self._protocol is not None, "a connection that is established has a protocol"
        replacement = ProtocolRelay(self, sink, self._protocol)
        replacement.start()
        self._protocol = replacement
        return replacement

    # What the engine calls.

    def lost(self, reason: Failure) -> None:
        """End it, and tell everybody once."""
        descriptor = self._fd
        if descriptor < 0:
            return
        if self._corked is not None:
            self.pour()
        self._fd = -1
        self._can_write = self._is_readable = False
        self._reason = reason
        engine = self.engine
        if self.unsent is not None:
            engine.keep(-len(self.unsent))
            self.unsent = None
        if not self._is_ended and reason is not ABORTED and reason is not LOST:
            # A close with bytes unread is a reset. The FIN goes first, so that what we sent before it counts.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        engine.forget(descriptor, self._socket)
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
            engine.log.failure("a producer failed to stop")
        try:
            if protocol is not None:
                protocol.connectionLost(reason)
        except Exception:
            engine.log.failure("a protocol failed to hear of its end")
        if connector is not None:
            connector.lost(reason)

    # Facts.

    @property
    def connected(self) -> bool:
        """The connection stands, as far as we know."""
        return self._fd >= 0

    @property
    def disconnected(self) -> bool:
        """The connection is gone."""
        return self._fd < 0

    def logPrefix(self) -> str:
        """Name the protocol in Twisted's messages."""
        return type(self._protocol).__name__
