"""The writing half of a connection: the send buffer, the producer, and the ways to end."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from struct import pack
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IProducer, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.engine.polled import PollingEngine
from egress.transports.engine.socket_options import ConnectedSocket

DONE = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())
ABORTED = Failure(ConnectionAborted())

# Small writes of a turn are corked: sent together after the events of the turn. The first send wakes a reading process,
# which is then still awake for the others. Measured: a plain request costs 83 us with corking, 115 us without. Larger
# writes are sent at once, because corking would copy them.
_CORKED_BYTES = 16_384

# The state of the FIN that this side sends.
FIN_UNSENT, FIN_PENDING, FIN_SENT = range(3)

_LINGER_ZERO = pack("ii", 1, 0)


@lru_cache(256)
def _is_half_closeable(kind: Any) -> bool:
    return bool(IHalfCloseableProtocol.implementedBy(kind))


def half_closeable(protocol: IProtocol | None) -> IHalfCloseableProtocol | None:
    """Return the protocol as IHalfCloseableProtocol, or None.

    Adapting costs as much as a system call, so it is done only if the class does not implement the interface.
    """
    found: Any = protocol
    kind: Any = type(protocol)
    if not _is_half_closeable(kind):
        found = IHalfCloseableProtocol(protocol, None)
    wants: IHalfCloseableProtocol | None = found
    return wants


@implementer(IConsumer)
class Writing(ConnectedSocket):
    """Sends as much as the kernel accepts at once, and buffers the rest until the socket is writable.

    Attributes:
        unsent: the octets that the kernel has not accepted; None if the kernel has accepted all. Empty while a relay
            with nothing buffered waits for the socket to become writable.
        disconnecting: whether loseConnection was called.
        engine: the engine that polls the socket.
    """

    __slots__ = (
        "_can_write",
        "_corked",
        "_fd",
        "_fin",
        "_is_flushed_pending",
        "_is_producer_paused",
        "_is_queued",
        "_is_streaming",
        "_producer",
        "_protocol",
        "_reason",
        "disconnecting",
        "engine",
        "unsent",
    )

    engine: PollingEngine
    disconnecting: bool
    _fd: int
    _protocol: IProtocol | None
    _producer: Any  # a push producer if `_is_streaming`, else a pull producer
    unsent: bytearray | None
    _corked: bytes | None  # written in this turn and not sent; `unsent` is None then
    _reason: Failure | None  # why the connection is lost at the end of this turn
    _fin: int
    _can_write: bool
    _is_queued: bool  # `run` is called at the end of this turn
    _is_flushed_pending: bool  # `_flushed` is called once the buffer is empty
    _is_streaming: bool
    _is_producer_paused: bool

    def run(self) -> None:
        """Run the work that was deferred to the end of the turn."""
        raise NotImplementedError

    def lost(self, reason: Failure) -> None:
        """Close the connection; notify producer, protocol and connector once."""
        raise NotImplementedError

    def _queue_run(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self.engine.queue(self)

    def write(self, data: bytes) -> None:
        """Send, at once or after the events of this turn (ITransport)."""
        if not self._can_write or not data:
            return
        out = self.unsent
        if out is None:
            engine, corked = self.engine, self._corked
            if corked is not None:
                if len(corked) + len(data) < _CORKED_BYTES:
                    self._corked = corked + data
                    return
                self.uncork()
                self.write(data)
                return
            if engine.is_corked and len(data) < _CORKED_BYTES:
                self._corked = data
                engine.corked.append(self)
                self._is_flushed_pending = True
                if self._producer is not None and not self._is_streaming:
                    self._queue_run()
                return
            self._send(data)
            return
        out += data
        self.engine.add_buffered(len(data))
        self._pause_producer(out)

    @property
    def is_flushed(self) -> bool:
        """Whether the kernel has accepted every written octet (IStreamTransport)."""
        return self.unsent is None and self._corked is None

    def uncork(self) -> None:
        """Send the corked writes, if any."""
        data, self._corked = self._corked, None
        if data is not None and self._can_write:
            self._send(data)

    def _send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail_writing()
            return
        if sent == len(data):
            self._is_flushed_pending = True
            if self._producer is not None and not self._is_streaming:
                self._queue_run()
            return
        out = self.unsent = bytearray(memoryview(data)[sent:])
        self.engine.add_buffered(len(out))
        self._pause_producer(out)

    def _pause_producer(self, out: bytearray) -> None:
        if (
            self._is_streaming
            and not self._is_producer_paused
            and self._producer is not None
            and len(out) > self.engine.high_watermark
        ):
            self._is_producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces as one write (ITransport)."""
        self.write(b"".join(iovec))

    def _flush(self) -> None:
        out = self.unsent
        assert out is not None
        try:
            sent = self._socket.send(out) if out else 0
        except BlockingIOError:
            return
        except OSError:
            self._fail_writing()
            return
        self.engine.add_buffered(-sent)
        if sent < len(out):
            del out[:sent]
            return
        self.unsent = None
        self._is_flushed_pending = False
        self._flushed()

    def _flushed(self) -> None:
        """Run the work that waits for an empty buffer: resume the producer, close, or send the FIN."""
        producer = self._producer
        if producer is not None and (self._is_producer_paused or not self._is_streaming):
            self._is_producer_paused = False
            producer.resumeProducing()
            if self._fin == FIN_PENDING and self._is_streaming:
                self._queue_flushed()  # a FIN does not wait for a producer
        elif self.disconnecting:
            self.lost(DONE)
        elif self._fin == FIN_PENDING:
            self._send_fin()

    def _send_fin(self) -> None:
        if self._corked is not None:
            self.uncork()
            if self.unsent is not None:
                return  # the FIN is sent after that
        self._fin = FIN_SENT
        self._can_write = False
        try:  # noqa: SIM105  # `suppress` costs three calls
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            # The connection is lost. The socket's events report the loss; octets may be left to read.
            pass
        half = half_closeable(self._protocol)
        if half is not None:
            half.writeConnectionLost()

    def _queue_flushed(self) -> None:
        self._is_flushed_pending = True
        if self.unsent is None and not self._is_queued:
            self._is_queued = True
            self.engine.queue(self)

    def _fail_writing(self) -> None:
        self._can_write = False
        if self._reason is None:
            self._reason = LOST
        self._queue_run()

    def loseWriteConnection(self) -> None:
        """Send a FIN after the written octets (ITCPTransport)."""
        if self._fd >= 0 and self._fin == FIN_UNSENT:
            self._fin = FIN_PENDING
            self._queue_flushed()

    # Ending.

    def loseConnection(self) -> None:
        """Close after the written octets are sent, and after a paused or pull producer has ended (ITransport)."""
        if self._fd < 0 or self.disconnecting or self._reason is ABORTED:
            return
        if self._fin == FIN_SENT:
            self.lost(DONE)
            return
        self.disconnecting = True
        self._queue_flushed()

    def abortConnection(self) -> None:
        """Reset the connection, and drop the unsent octets (ITCPTransport)."""
        if self._fd < 0 or self._reason is ABORTED:
            return
        if self._corked is not None:
            self.uncork()
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._reason = ABORTED
        self._can_write = False
        self._queue_run()

    def stopProducing(self) -> None:
        """Close (IProducer)."""
        self.loseConnection()

    # Producers.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Register the producer of the written octets (IConsumer).

        Raises:
            RuntimeError: a producer is registered already.
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
            if self._is_flushed_pending:
                # Earlier writes count as well: the producer is resumed once they are sent, which may be now.
                self._queue_flushed()

    def unregisterProducer(self) -> None:
        """Unregister the producer (IConsumer)."""
        self._producer = None
        self._is_streaming = self._is_producer_paused = False
        if self._fd >= 0 and (self.disconnecting or self._fin == FIN_PENDING):
            self._queue_flushed()
