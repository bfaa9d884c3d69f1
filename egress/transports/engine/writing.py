"""The half of a connection that writes: at once as far as the kernel takes it, the rest when it has room again."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from struct import pack
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IProducer, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.engine.socket_options import Connected

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine

DONE = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())
ABORTED = Failure(ConnectionAborted())

# Small writes of a turn are shown to the kernel together, after its events: the first wakes whoever reads it, and finds
# the others' readers awake. Measured: a plain request costs 83 us in this way, 115 without. More than this is sent at
# once, for it would have to be copied.
_CORKED_BYTES = 16_384

# What has become of our own FIN.
OPEN, ENDING, ENDED = range(3)

_LINGER_NOT = pack("ii", 1, 0)


@lru_cache(256)
def _is_half_closeable(kind: Any) -> bool:
    return bool(IHalfCloseableProtocol.implementedBy(kind))


def half_closeable(protocol: IProtocol | None) -> IHalfCloseableProtocol | None:
    """Find out who wants to hear of half-closes.

    To adapt costs as much as a system call, so it is only done where the class does not say that it is one.
    """
    found: Any = protocol
    kind: Any = type(protocol)
    if not _is_half_closeable(kind):
        found = IHalfCloseableProtocol(protocol, None)
    wants: IHalfCloseableProtocol | None = found
    return wants


@implementer(IConsumer)
class Writing(Connected):
    """What was written, who produces it, and our own FIN.

    Attributes:
        unsent: what the kernel did not take yet, None if it took all. It is empty where a relay waits for room and has
            kept nothing.
        disconnecting: loseConnection was called.
        engine: whose set it is in.
    """

    __slots__ = (
        "_can_write",
        "_corked",
        "_end",
        "_fd",
        "_is_due",
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

    engine: Engine
    disconnecting: bool
    _fd: int
    _protocol: IProtocol | None
    _producer: Any  # of either kind, as `_is_streaming` says
    unsent: bytearray | None
    _corked: bytes | None  # written in this turn, and not yet shown to the kernel; then `unsent` is None
    _reason: Failure | None  # why the connection will be lost, at the end of this turn
    _end: int
    _can_write: bool
    _is_queued: bool  # to be run at the end of this turn
    _is_due: bool  # something was written or asked for since the buffer was last seen to be empty
    _is_streaming: bool
    _is_producer_paused: bool

    def run(self) -> None:
        """Do what was put off until the end of the turn."""
        raise NotImplementedError

    def lost(self, reason: Failure) -> None:
        """End it, and tell everybody once."""
        raise NotImplementedError

    def _queue(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self.engine.later(self)

    def write(self, data: bytes) -> None:
        """Send, at once or after the events of this turn, as far as the kernel takes it (ITransport)."""
        if not self._can_write or not data:
            return
        out = self.unsent
        if out is None:
            engine, corked = self.engine, self._corked
            if corked is not None:
                if len(corked) + len(data) < _CORKED_BYTES:
                    self._corked = corked + data
                    return
                self.pour()
                self.write(data)
                return
            if engine.is_corked and len(data) < _CORKED_BYTES:
                self._corked = data
                engine.corked.append(self)
                self._is_due = True
                if self._producer is not None and not self._is_streaming:
                    self._queue()
                return
            self._send(data)
            return
        out += data
        self.engine.keep(len(data))
        self._hold_producer(out)

    @property
    def is_flushed(self) -> bool:
        """Whether the kernel has taken all that was written."""
        return self.unsent is None and self._corked is None

    def pour(self) -> None:
        """Send what was corked, if anything is."""
        data, self._corked = self._corked, None
        if data is not None and self._can_write:
            self._send(data)

    def _send(self, data: bytes) -> None:
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
        out = self.unsent = bytearray(memoryview(data)[sent:])
        self.engine.keep(len(out))
        self._hold_producer(out)

    def _hold_producer(self, out: bytearray) -> None:
        if (
            self._is_streaming
            and not self._is_producer_paused
            and self._producer is not None
            and len(out) > self.engine.high
        ):
            self._is_producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces as one (ITransport)."""
        self.write(b"".join(iovec))

    def _flush(self) -> None:
        out = self.unsent
        assert out is not None
        try:
            sent = self._socket.send(out) if out else 0
        except BlockingIOError:
            return
        except OSError:
            self._fail()
            return
        self.engine.keep(-sent)
        if sent < len(out):
            del out[:sent]
            return
        self.unsent = None
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
            self._send_end()

    def _send_end(self) -> None:
        if self._corked is not None:
            self.pour()
            if self.unsent is not None:
                return  # it is sent after that
        self._end = ENDED
        self._can_write = False
        try:  # noqa: SIM105  # `suppress` would be three calls for each connection
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            # Where the other side is gone already, its own events tell; the other direction may have bytes left.
            pass
        half = half_closeable(self._protocol)
        if half is not None:
            half.writeConnectionLost()

    def _be_due(self) -> None:
        self._is_due = True
        if self.unsent is None and not self._is_queued:
            self._is_queued = True
            self.engine.later(self)

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
        if self._corked is not None:
            self.pour()
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._reason = ABORTED
        self._can_write = False
        self._queue()

    def stopProducing(self) -> None:
        """Close (IProducer)."""
        self.loseConnection()

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
