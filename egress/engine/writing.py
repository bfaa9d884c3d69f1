"""The half of a connection that writes: at once as far as the kernel takes it, the rest when it has room again."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IProducer, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.engine.connected import Connected
from egress.engine.literals import SocketAddress

if TYPE_CHECKING:
    from egress.engine.engine import Engine

DONE = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())
ABORTED = Failure(ConnectionAborted())

# What has become of our own FIN.
OPEN, ENDING, ENDED = range(3)


@implementer(IConsumer)
class Writing(Connected):
    """What was written, who produces it, and our own FIN.

    Attributes:
        disconnecting: loseConnection was called.
    """

    __slots__ = (
        "_can_write",
        "_end",
        "_engine",
        "_fd",
        "_is_due",
        "_is_producer_paused",
        "_is_queued",
        "_is_streaming",
        "_out",
        "_producer",
        "_protocol",
        "_reason",
        "disconnecting",
    )

    def __init__(self, engine: Engine, connection: socket.socket, descriptor: int, peer: SocketAddress) -> None:
        super().__init__(connection, peer)
        self.disconnecting = False
        self._engine = engine
        self._fd = descriptor
        self._protocol: IProtocol | None = None
        self._producer: Any = None  # of either kind, as `_is_streaming` says
        # What the kernel did not take yet. It is empty where a relay waits for room and has kept nothing.
        self._out: bytearray | None = None
        self._reason: Failure | None = None  # why the connection will be lost, at the end of this turn
        self._end = OPEN
        self._can_write = True
        self._is_queued = False
        self._is_due = False  # something was written or asked for since the buffer was last seen to be empty
        self._is_streaming = False
        self._is_producer_paused = False

    def run(self) -> None:
        """Do what was put off until the end of the turn."""
        raise NotImplementedError

    def lost(self, reason: Failure) -> None:
        """End it, and tell everybody once."""
        raise NotImplementedError

    def _queue(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self._engine.later(self)

    def write(self, data: bytes) -> None:
        """Send, at once as far as the kernel takes it (ITransport)."""
        if not self._can_write or not data:
            return
        out = self._out
        if out is None:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._fail()
                return
            if sent == len(data):
                self._is_due = True
                if self._producer is not None and not self._is_streaming:
                    self._queue()
                return
            out = self._out = bytearray(memoryview(data)[sent:])
            self._engine.keep(len(out))
        else:
            out += data
            self._engine.keep(len(data))
        if (
            self._is_streaming
            and not self._is_producer_paused
            and self._producer is not None
            and len(out) > self._engine.high
        ):
            self._is_producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces as one (ITransport)."""
        self.write(b"".join(iovec))

    def _flush(self) -> None:
        out = self._out
        assert out is not None
        try:
            sent = self._socket.send(out) if out else 0
        except BlockingIOError:
            return
        except OSError:
            self._fail()
            return
        self._engine.keep(-sent)
        if sent < len(out):
            del out[:sent]
            return
        self._out = None
        self._is_due = False
        self._flushed()

    def _flushed(self) -> None:
        """Do what waited for an empty buffer."""
        producer = self._producer
        if producer is not None and (self._is_producer_paused or not self._is_streaming):
            self._is_producer_paused = False
            producer.resumeProducing()
            if self._end == ENDING and self._is_streaming:
                self._be_due()  # a FIN does not wait for a producer
        elif self.disconnecting:
            self.lost(DONE)
        elif self._end == ENDING:
            self._end = ENDED
            self._can_write = False
            with suppress(OSError):
                # Where the other side is gone already, its own events tell; the other direction may have bytes left.
                self._socket.shutdown(socket.SHUT_WR)
            half = IHalfCloseableProtocol(self._protocol, None)
            if half is not None:
                half.writeConnectionLost()

    def _be_due(self) -> None:
        self._is_due = True
        if self._out is None:
            self._queue()

    def _fail(self) -> None:
        self._can_write = False
        if self._reason is None:
            self._reason = LOST
        self._queue()

    def loseWriteConnection(self) -> None:
        """Send a FIN after what was written (ITCPTransport)."""
        if self._fd >= 0 and self._end == OPEN:
            self._end = ENDING
            self._be_due()

    # Producers.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Be written to by a producer (IConsumer).

        Raises:
            RuntimeError: there is one already.
        """
        if self._producer is not None:
            raise RuntimeError("another producer was never unregistered")
        if self._fd < 0:
            producer.stopProducing()
            return
        self._producer = producer
        self._is_streaming = streaming
        self._is_producer_paused = False
        if not streaming:
            self._producer.resumeProducing()
            if self._is_due:
                # What was written before counts, too: it is asked again when that is gone, which it may be already.
                self._be_due()

    def unregisterProducer(self) -> None:
        """Be written to without a producer (IConsumer)."""
        self._producer = None
        self._is_streaming = self._is_producer_paused = False
        if self._fd >= 0 and (self.disconnecting or self._end == ENDING):
            self._be_due()

    @property
    def engine(self) -> Engine:
        """Whose set it is in."""
        return self._engine

    @property
    def is_flushed(self) -> bool:
        """The kernel has taken all that was written."""
        return self._out is None
