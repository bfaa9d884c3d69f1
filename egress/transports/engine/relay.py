"""Bytes from one connection straight to another, past their protocols."""

from __future__ import annotations

import socket
from struct import Struct
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.contract import IRelay
from egress.transports.engine.pipe import PIPE_BYTES, Unfit
from egress.transports.engine.writing import DONE, OPEN

if TYPE_CHECKING:
    from egress.transports.engine.transport import Transport

RELAY_BYTES = 512 * 1024
"""One read at most. Measured: 64 KiB cost three times the CPU a byte, 1 MiB no less than this."""

SHARE_BYTES = PIPE_BYTES
"""One share of a turn at most. Measured: splicing 512 KiB at a time cost a quarter more CPU a byte."""

BULK_BYTES = 64 * 1024
"""What comes in at once from a source that is spliced from then on, for as long as as much comes."""

# Reads and splices of a source before others have their turn.
_READS = 4

_PEEK, _DISCARD = socket.MSG_PEEK, socket.MSG_TRUNC

# How a relay moves bytes: it reads and writes them, or lets the kernel splice them, or it cannot be spliced.
_READ, _SPLICE, _UNFIT = range(3)

# What a socket's buffers may hold and do hold, of which we want two (linux/sock_diag.h).
_SO_MEMINFO = 55
_MEMINFO = Struct("9I")
_SENDING_MOST, _SENDING = 3, 5


@implementer(IRelay, IPushProducer)
class Relay:
    """One direction. It reads in the protocol's place, and is the sink's producer.

    What was written to the sink before goes first. Both protocols stay, and hear of the end only: the source's of its
    FIN, if it is half-closeable, and each of its connection's loss. When one connection is lost the other ends too,
    by a reset if the first did. A connection is closed when both its directions have ended.

    It is a part of its two transports, as they are of the engine, and reads and sets what they hold.

    What a sink does not take at once is kept for it, and nothing more is read until the sink has it. From then on the
    sink is known to be slow, and until it has caught up bytes are only copied from the source's socket (MSG_PEEK), and
    taken out of it once they are sent; all that waits does so in the kernel. The same is done with every sink while
    what is kept for all connections together leaves no room for what one more could need.

    While much comes in at once it is spliced instead, as much as the sink has room for by the kernel's account. That is
    an estimate: what the sink does not take after all is kept. Only a read says that a source is drained, or has ended.

    Args:
        source: is read from now on, even if it was paused.
        sink: is written to; it has no producer.

    Attributes:
        sink: is written to.
        moved: bytes that were read and are sent, or kept for the sink, since they were last collected.
    """

    __slots__ = ("_is_slow", "_source", "_way", "moved", "sink")

    closes_transports = True

    def __init__(self, source: Transport, sink: Transport) -> None:
        self.moved = 0
        self.sink = sink
        self._source = source
        self._is_slow = False
        self._way = _READ

    def begin(self) -> None:
        """Take the place of the source's protocol.

        Raises:
            RuntimeError: the source has a sink already, or the sink a producer.
        """
        source, sink = self._source, self.sink
        if source._relay is not None:
            raise RuntimeError("the source is relayed already")
        if sink._producer is not None:
            raise RuntimeError("another producer was never unregistered")
        if sink._fd < 0:
            self.stopProducing()
        elif source._fd < 0:
            self.source_lost(DONE)
        elif source._is_ended:
            sink.loseWriteConnection()
            for each in (source, sink):
                if each._is_ended and each._end != OPEN:
                    each.loseConnection()
        else:
            source._relay = sink._producer = self
            source._is_paused = source._is_bulky = False
            sink._is_streaming = True
            sink._is_producer_paused = False
            if sink.unsent is not None:
                self._wait()
            elif source._is_readable:
                source.resumeProducing()

    def collect(self) -> int:
        """Give what was moved since this was last asked."""
        moved, self.moved = self.moved, 0
        return moved

    # What the source calls.

    def pump(self, last: int) -> None:
        """Read and send, for one turn.

        Args:
            last: not 0 if the end of input may be near, so that a short read does not mean that nothing is left.
        """
        source, sink = self._source, self.sink
        engine = source.engine
        left, was_bulky = SHARE_BYTES, source._is_bulky
        if sink._corked is not None:
            sink.pour()
        source._is_readable = True  # until it is known to be drained
        for _ in range(_READS):
            if sink.unsent is not None or not sink._can_write:
                self._wait()
                return
            size = RELAY_BYTES if engine.left > 0 else BULK_BYTES
            if self._way == _SPLICE and not engine.is_scarce:
                number = self._splice(left)
                if number < 0:
                    return
                if number:
                    left -= number
                    engine.left -= number
                    if left <= 0:
                        break
                    continue
                size = BULK_BYTES
            if left < size:
                size = left
            is_peeking = self._is_slow or engine.is_scarce
            try:
                number = source._socket.recv_into(engine.buffer, size, _PEEK if is_peeking else 0)
            except BlockingIOError:
                source._is_readable = False
                source._is_bulky = self._way == _SPLICE
                return
            except OSError:
                source.end_of_reading(is_reset=True)
                return
            if not number:
                source.end_of_reading(is_reset=False)
                return
            try:
                sent = sink._socket.send(engine.view[:number])
            except BlockingIOError:
                sent = 0
            except OSError:
                # Whether the source has more to say does not matter any longer.
                source._is_paused = True
                sink._fail()
                return
            is_drained = number < size and not last
            if number >= BULK_BYTES:
                engine.left -= number
                source._is_bulky = True
                if self._way == _READ:
                    self._way = _SPLICE
            else:
                source._is_bulky = self._way == _SPLICE
            if is_peeking:
                if sent:
                    source._socket.recv_into(engine.buffer, sent, _DISCARD)
                    self.moved += sent
                if sent < number:
                    sink.unsent = bytearray()  # nothing waits here, but the kernel has no room
                    self._wait()
                    return
                if is_drained:
                    self._is_slow = False
            else:
                self.moved += number
                if sent < number:
                    source._is_readable = not is_drained
                    sink.unsent = bytearray(engine.view[sent:number])
                    engine.keep(number - sent)
                    self._is_slow = True
                    self._wait()
                    return
            if is_drained:
                source._is_readable = False
                return
            left -= number
            if left <= 0 or engine.left <= 0 or (source._is_bulky and not was_bulky):
                break
        source.go_on_later()

    def source_lost(self, reason: Failure) -> None:
        """End the sink as the source ended: in order, or by a reset."""
        sink = self.sink
        sink.unregisterProducer()
        if reason is DONE:
            sink.loseConnection()
        else:
            sink.abortConnection()

    # What the sink calls (IPushProducer).

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self._source._is_paused = True

    def resumeProducing(self) -> None:
        """Read on: what was kept for the sink is sent."""
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """End the source as the sink ended."""
        source = self._source
        source._relay = None
        if self.sink._reason is DONE:
            source.loseConnection()
        else:
            source.abortConnection()

    def _splice(self, most: int) -> int:
        """Have the kernel move bytes.

        Returns:
            How many; 0 if the source is to be read, which tells what is the matter with it; -1 if there is no more to
            be done in this turn.
        """
        source, sink = self._source, self.sink
        pipe = source.engine.pipe
        try:
            facts = _MEMINFO.unpack(sink._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except OSError:
            self._way = _UNFIT
            return 0
        room = facts[_SENDING_MOST] - facts[_SENDING]
        if room < BULK_BYTES:
            return 0  # it will refuse something soon, and only then say when it has room
        try:
            number = pipe.fill(source._fd, min(most, room, source.engine.spare))
        except BlockingIOError:
            return 0
        except Unfit:
            self._way = _UNFIT
            return 0
        except OSError:
            source.end_of_reading(is_reset=True)
            return -1
        if number < BULK_BYTES:
            self._way = _READ
        try:
            if number:
                try:
                    pipe.pour(sink._fd)
                except Unfit:
                    self._way = _UNFIT
            rest = pipe.read()
        except OSError:
            pipe.close()
            source._is_paused = True
            sink._fail()
            return -1
        self.moved += number
        if rest:
            sink.write(rest)
            self._is_slow = sink.unsent is not None
        return number

    def _wait(self) -> None:
        """Have the sink call when it has room."""
        self._source._is_paused = True
        self.sink._is_producer_paused = True
