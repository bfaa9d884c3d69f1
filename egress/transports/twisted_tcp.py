"""Twisted's TCP and unix socket transports, adapted to `IStreamTransport`."""

from __future__ import annotations

import select
from collections.abc import Iterable
from socket import MSG_PEEK, socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

from egress.transports.contract import IRelay, IStreamTransport, PeerEnd
from egress.transports.protocol_relay import ProtocolRelay

# Linux alone tells of a FIN behind octets that were not read.
_ENDED = select.POLLHUP | getattr(select, "POLLRDHUP", 0)


@implementer(IStreamTransport)
class TwistedTransport:
    """Adapts a connection of Twisted's reactors or of `egress.testing`: TCP or unix socket, accepted or dialled.

    Twisted's transports buffer every write until the reactor next reports the socket writable. That costs two calls of
    epoll_ctl and an event for each write, a fifth of a small request's time. Here a write is sent to the kernel first
    if nothing is buffered, and only the rest is passed to the transport.

    Args:
        connection: Twisted's transport.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        # Twisted's Connection has few annotations.
        self._connection: Any = connection

    def write(self, data: bytes) -> None:
        """Send as much as the kernel accepts at once, and buffer the rest (ITransport)."""
        connection = self._connection
        if (
            data
            and connection.connected
            and not connection.dataBuffer
            and not connection._tempDataLen
            and not connection.TLS
            and (connection.producer is None or connection.streamingProducer)
        ):
            # A pull producer would not be resumed: Twisted resumes it when Twisted's own buffer becomes empty.
            sent = connection.writeSomeData(data)
            # Otherwise `sent` is an exception. The transport's own write fails with the same error, and reports it.
            if isinstance(sent, int):
                if sent == len(data):
                    return
                data = data[sent:]
        connection.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces as one write (ITransport)."""
        self.write(b"".join(iovec))

    @property
    def unsent(self) -> object | None:
        """The octets that the kernel has not accepted (IStreamTransport)."""
        connection = self._connection
        return connection.dataBuffer or connection._tempDataBuffer or None

    is_flushed = False
    """Twisted's transports close after the next writable event, which may never come (IStreamTransport)."""

    def is_quiet(self) -> bool:
        """Look whether nothing has come that was not read (IStreamTransport)."""
        connection = self._connection
        if not connection.connected or connection.disconnecting:
            return False
        try:
            connection.socket.recv(1, MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def find_end(self) -> PeerEnd | None:
        """Look whether the peer has ended (IStreamTransport)."""
        connection = self._connection
        if not connection.connected:
            return PeerEnd.RESET
        events = _look(connection.socket)
        if events & select.POLLERR:
            return PeerEnd.RESET
        return PeerEnd.FIN if events & _ENDED else None

    def relay_to(self, sink: IStreamTransport) -> IRelay:
        """Relay to `sink` (IStreamTransport)."""
        connection = self._connection
        relay = ProtocolRelay(self, sink, connection.protocol)
        relay.start()
        connection.protocol = relay
        return relay

    @property
    def socket(self) -> socket:
        """The socket, for options without a method in Twisted."""
        found: socket = self._connection.socket
        return found

    # Delegation.

    @property
    def connected(self) -> bool:
        """Whether the connection is not known to be lost."""
        return bool(self._connection.connected)

    @property
    def disconnecting(self) -> bool:
        """Whether loseConnection was called."""
        return bool(self._connection.disconnecting)

    def loseConnection(self) -> None:
        """Close after the written octets are sent (ITransport)."""
        self._connection.loseConnection()

    def loseWriteConnection(self) -> None:
        """Send a FIN after the written octets (ITCPTransport)."""
        self._connection.loseWriteConnection()

    def abortConnection(self) -> None:
        """Reset the connection, and drop the unsent octets (ITCPTransport)."""
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
        """Register the producer of the written octets (IConsumer)."""
        self._connection.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Unregister the producer (IConsumer)."""
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


def _look(connection: Any) -> int:
    """Return the events of poll(2) that hold for a socket. Those of `egress.testing` tell them by themselves."""
    if not isinstance(connection, socket):
        events: int = connection.poll()
        return events
    look = select.poll()
    look.register(connection, select.POLLIN | _ENDED)
    found = look.poll(0)
    return found[0][1] if found else 0


def count_unsent(connection: Connection) -> int:
    """Return the number of octets that a transport of Twisted has buffered."""
    return len(connection.dataBuffer) - connection.offset + connection._tempDataLen
