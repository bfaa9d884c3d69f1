"""One TCP connection in the engine's set."""

from __future__ import annotations

import socket
from contextlib import suppress
from struct import pack
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.engine.events import ERROR, LAST, READABLE, WRITE
from egress.engine.literals import SocketAddress
from egress.engine.writing import ABORTED, DONE, ENDED, LOST, Writing
from egress.interfaces import IStreamTransport

if TYPE_CHECKING:
    from egress.engine.connector import Connector
    from egress.engine.engine import Engine
    from egress.engine.relay import Relay

# Reads of one connection before others have their turn.
_READS = 8

_LINGER_NOT = pack("ii", 1, 0)


@implementer(IStreamTransport)
class Transport(Writing):
    """A connection that stands.

    Only the engine calls `event`, `run` and `lost`, and never from inside a call of the protocol. What such a call
    brings about (an error of `write` above all) is told at the end of the engine's turn.

    Edges are not repeated, so what they said is remembered: `_is_readable` is set while there may be something to read
    that nobody has read, be it data or an end.
    """

    __slots__ = ("__weakref__", "_connector", "_is_ended", "_is_paused", "_is_readable", "_relay")

    def __init__(
        self,
        engine: Engine,
        connection: socket.socket,
        descriptor: int,
        peer: SocketAddress,
        connector: Connector | None = None,
    ) -> None:
        super().__init__(engine, connection, descriptor, peer)
        self._connector = connector
        self._is_readable = False
        self._is_ended = False  # the other side's FIN was read
        self._is_paused = False
        self._relay: Relay | None = None  # reads instead of the protocol

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

    # What the engine calls.

    def event(self, events: int) -> None:
        """Take an edge."""
        if self._out is not None and events & WRITE:
            self._flush()
        if events & READABLE and self._fd >= 0:
            if self._is_ended or self._is_paused or self.disconnecting or self._reason is not None:
                self._is_readable = not self._is_ended
                if events & ERROR and self._reason is None:
                    self._hear_of_reset()
            elif self._relay is None:
                self._receive(events & LAST)
            elif self._is_queued:
                self._is_readable = True  # one share of each turn is enough
            else:
                self._relay.pump(events & LAST)

    def run(self) -> None:
        """Do what was put off until the end of the turn."""
        self._is_queued = False
        if self._fd < 0:
            return
        if self._reason is not None:
            self._tell_reason()
            return
        if self._is_due and self._out is None:
            self._is_due = False
            self._flushed()
        if self._is_readable and self._may_read():
            self._receive(LAST)

    def lost(self, reason: Failure) -> None:
        """End it, and tell everybody once."""
        descriptor = self._fd
        if descriptor < 0:
            return
        self._fd = -1
        self._can_write = self._is_readable = False
        self._reason = reason
        engine = self._engine
        if self._out is not None:
            engine.keep(-len(self._out))
            self._out = None
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
            engine.say_failure("a producer failed to stop")
        try:
            if protocol is not None:
                protocol.connectionLost(reason)
        except Exception:
            engine.say_failure("a protocol failed to hear of its end")
        if connector is not None:
            connector.lost(reason)

    def close(self) -> None:
        """End it because the engine stops."""
        self.abortConnection()
        self.lost(ABORTED)

    # Reading.

    def _may_read(self) -> bool:
        return not (self._is_paused or self._is_ended or self.disconnecting or self._fd < 0)

    def _receive(self, last: int) -> None:
        if self._relay is not None:
            self._relay.pump(last)
            return
        engine, receive = self._engine, self._socket.recv_into
        for _ in range(_READS):
            size = engine.span
            try:
                number = receive(engine.buffer, size)
            except BlockingIOError:
                self._is_readable = False
                return
            except OSError:
                self.end_of_reading(is_reset=True)
                return
            if not number:
                self.end_of_reading(is_reset=False)
                return
            # A short read has emptied the socket (epoll(7), question 9), and what comes after it is a new edge.
            is_drained = number < size and not last
            self._is_readable = not is_drained
            assert self._protocol is not None, "a connection that stands has a protocol"
            self._protocol.dataReceived(bytes(engine.view[:number]))
            if is_drained or self._is_paused or self.disconnecting or self._fd < 0 or self._reason is not None:
                return
            if self._relay is not None:
                break  # the protocol has made way
        self.go_on_later()

    def go_on_later(self) -> None:
        """Read on after others had their turn."""
        if not self._is_queued:
            self._is_queued = True
            self._engine.again(self)

    def end_of_reading(self, *, is_reset: bool) -> None:
        """Nothing comes any more, for the other side sent a FIN or a reset."""
        if is_reset:
            self.lost(LOST)
        elif self._reason is not None:
            # A reset that a write was told of reads as an end from then on. It is none.
            self.lost(self._reason)
        else:
            self._hear_of_end()

    def _hear_of_end(self) -> None:
        self._is_ended = True
        self._is_readable = False
        relay = self._relay
        if relay is not None:
            relay.source_ended()
        half = IHalfCloseableProtocol(self._protocol, None)
        try:
            if half is not None:
                half.readConnectionLost()
            elif relay is None:
                self.lost(DONE)
        finally:
            if relay is not None:
                relay.settle()

    def _hear_of_reset(self) -> None:
        """Hear of a reset while nobody reads. Bytes that came before it wait to be read; the end follows them then."""
        if self._is_paused and not self._is_ended and not self.disconnecting:
            try:
                if self._socket.recv(1, socket.MSG_PEEK):
                    return
            except BlockingIOError:
                return
            except OSError:
                pass
        self.lost(LOST)

    def _tell_reason(self) -> None:
        # Bytes may have come before the reset that a write was told of: an answer to what was being written, say.
        for _ in range(_READS):
            if self._reason is not LOST or not self._may_read():
                break
            self._receive(LAST)
            if not self._is_readable:
                break
        else:
            self._is_queued = True
            self._engine.again(self)
            return
        if self._reason is not None:
            self.lost(self._reason)

    # The ways to end.

    def loseConnection(self) -> None:
        """Close after what was written, and after a paused or a pull producer (ITransport)."""
        if self._fd < 0 or self.disconnecting or self._reason is ABORTED:
            return
        if self._end == ENDED:
            self.lost(DONE)
            return
        self.disconnecting = True
        self._be_due()

    def abortConnection(self) -> None:
        """Reset, and drop what was not sent (ITCPTransport)."""
        if self._fd < 0 or self._reason is ABORTED:
            return
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._reason = ABORTED
        self._can_write = False
        self._queue()

    # Back-pressure: as a producer, and as a consumer.

    def pauseProducing(self) -> None:
        """Read no more: what comes waits in the kernel (IPushProducer)."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Read on (IPushProducer)."""
        self._is_paused = False
        if self._is_readable:
            self._queue()

    def stopProducing(self) -> None:
        """Close (IProducer)."""
        self.loseConnection()

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

    def fail(self, reason: Failure) -> None:
        """End it because its protocol raised an exception."""
        self.lost(reason)
