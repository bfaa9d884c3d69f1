"""Twisted's TCP and unix socket transports, adapted to `IStreamTransport`."""

from __future__ import annotations

from collections.abc import Iterable
from socket import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

from egress.transports.contract import IRelay, IStreamTransport
from egress.transports.protocol_relay import ProtocolRelay


@implementer(IStreamTransport)
class TwistedTransport:
    """A connection of Twisted's reactors: TCP or unix socket, accepted or dialled, and those of `egress.testing`.

    Twisted's transports keep what is written until the reactor next reports the socket writable. That costs two calls
    of epoll_ctl and an event for each write, a fifth of a small request's time. Here the kernel is asked first where
    nothing waits before the new octets, and only what it did not take is handed to the transport.

    Args:
        connection: the transport of Twisted.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        # Connection has hardly any annotations.
        self._connection: Any = connection

    def write(self, data: bytes) -> None:
        """Send, at once as far as the kernel takes it (ITransport)."""
        connection = self._connection
        if (
            data
            and connection.connected
            and not connection.dataBuffer
            and not connection._tempDataLen
            and not connection.TLS
            and (connection.producer is None or connection.streamingProducer)
        ):
            # A pull producer would not be asked again: Twisted does that when it has emptied its own buffer.
            sent = connection.writeSomeData(data)
            # Otherwise it is an exception. The transport meets the error again, and reports it as always.
            if isinstance(sent, int):
                if sent == len(data):
                    return
                data = data[sent:]
        connection.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces as one (ITransport)."""
        self.write(b"".join(iovec))

    @property
    def unsent(self) -> object | None:
        """What the kernel has not taken (IStreamTransport)."""
        connection = self._connection
        return connection.dataBuffer or connection._tempDataBuffer or None

    is_flushed = False
    """Twisted's transports close after the next writable event, which may never come (IStreamTransport)."""

    def relay_to(self, sink: IStreamTransport) -> IRelay:
        """Write to `sink` what this transport reads (IStreamTransport)."""
        connection = self._connection
        relay = ProtocolRelay(self, sink, connection.protocol)
        relay.start()
        connection.protocol = relay
        return relay

    @property
    def socket(self) -> socket:
        """The socket, for options that Twisted has no method for."""
        found: socket = self._connection.socket
        return found

    # Delegation.

    @property
    def connected(self) -> bool:
        """Whether the connection is established, as far as known."""
        return bool(self._connection.connected)

    @property
    def disconnecting(self) -> bool:
        """Whether loseConnection was called."""
        return bool(self._connection.disconnecting)

    def loseConnection(self) -> None:
        """Close after what was written (ITransport)."""
        self._connection.loseConnection()

    def loseWriteConnection(self) -> None:
        """Send a FIN after what was written (ITCPTransport)."""
        self._connection.loseWriteConnection()

    def abortConnection(self) -> None:
        """Reset, and drop what was not sent (ITCPTransport)."""
        self._connection.abortConnection()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """Return the remote address; a UNIXAddress for a unix socket (ITransport)."""
        address: IPv4Address | IPv6Address = self._connection.getPeer()
        return address

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return the local address; a UNIXAddress for a unix socket (ITransport)."""
        address: IPv4Address | IPv6Address = self._connection.getHost()
        return address

    def getHandle(self) -> Any:
        """Return the socket (ISystemHandle)."""
        return self._connection.getHandle()

    def getTcpNoDelay(self) -> bool:
        """Return whether TCP_NODELAY is set (ITCPTransport)."""
        return bool(self._connection.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set TCP_NODELAY (ITCPTransport)."""
        self._connection.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return whether SO_KEEPALIVE is set (ITCPTransport)."""
        return bool(self._connection.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set SO_KEEPALIVE (ITCPTransport)."""
        self._connection.setTcpKeepAlive(enabled)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Be written to by a producer (IConsumer)."""
        self._connection.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Be written to without a producer (IConsumer)."""
        self._connection.unregisterProducer()

    def pauseProducing(self) -> None:
        """Stop reading (IPushProducer)."""
        self._connection.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again (IPushProducer)."""
        self._connection.resumeProducing()

    def stopProducing(self) -> None:
        """Close (IProducer)."""
        self._connection.stopProducing()


def count_unsent(connection: Connection) -> int:
    """Return the number of octets that wait in a transport of Twisted."""
    return len(connection.dataBuffer) - connection.offset + connection._tempDataLen
