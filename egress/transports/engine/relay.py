"""The engine's relays: octets from one connection to another, without protocols."""

from __future__ import annotations

import socket
from struct import Struct

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.transports.contract import IRelay
from egress.transports.engine.pipe import PIPE_BYTES, CannotSplice
from egress.transports.engine.reading import Reading
from egress.transports.engine.writing import DONE, FIN_UNSENT

RELAY_BYTES = 512 * 1024
"""The size of a read. Measured: 64 KiB cost three times the CPU an octet, 1 MiB costs as much as this."""

RELAY_TURN_BYTES = PIPE_BYTES
"""Octets that one relay may move in a turn. Measured: splicing 512 KiB at a time costs 25 % more CPU an octet."""

BULK_BYTES = 64 * 1024
"""A read or splice of at least this size makes the next move a splice."""

# The number of reads and splices of one source before others are served.
_READS = 4

_PEEK, _DISCARD = socket.MSG_PEEK, socket.MSG_TRUNC

# How a relay moves octets: by read and write, by splice, or by read and write because splicing is impossible.
_COPY, _SPLICE, _CANNOT_SPLICE = range(3)

# The memory of a socket: the limit and the use of its send buffer are the fields 3 and 5 (linux/sock_diag.h).
_SO_MEMINFO = 55
_MEMINFO = Struct("9I")
_SEND_LIMIT, _SEND_USED = 3, 5


@implementer(IRelay, IPushProducer)
class Relay:
    """Relays one direction between two transports of one engine. The relay is the sink's producer.

    Octets that were written to the sink before are sent first. Both protocols stay and receive ends only: the source's
    protocol the FIN, if it implements half-close, and each protocol the loss of its connection. When one connection is
    lost the other is closed, by a reset if the first was reset. Both connections are closed when both directions have
    ended.

    A relay uses private attributes of its transports, as they use those of the engine: calls would cost too much here.

    Octets that a sink does not accept at once are buffered, and reading stops until they are sent. From then on the
    sink counts as slow. While a sink is slow, octets are copied from the source's socket (MSG_PEEK) and removed when
    they are sent, so that unsent octets stay in the kernel. Every sink counts as slow while the engine's budget is low.

    While reads are large, octets are spliced instead, as many as the sink has room for according to the kernel. The
    kernel's number is an estimate: octets that the sink does not accept are buffered. Only a read shows that a source
    is drained or has ended.

    Args:
        source: the transport that is read from now on, even if it was paused.
        sink: the transport that is written to; without a producer.

    Attributes:
        sink: the transport that is written to.
        moved: the number of octets that were read and are sent or buffered for the sink, since the last `collect`.
    """

    __slots__ = ("_is_sink_slow", "_method", "_source", "moved", "sink")

    closes_transports = True

    def __init__(self, source: Reading, sink: Reading) -> None:
        self.moved = 0
        self.sink = sink
        self._source = source
        self._is_sink_slow = False
        self._method = _COPY

    def start(self) -> None:
        """Receive from the source instead of its protocol.

        Raises:
            RuntimeError: the source is relayed already, or the sink has a producer.
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
        elif source._is_read_ended:
            sink.loseWriteConnection()
            for each in (source, sink):
                if each._is_read_ended and each._fin != FIN_UNSENT:
                    each.loseConnection()
        else:
            source._relay = sink._producer = self
            source._is_paused = source._is_bulk = False
            sink._is_streaming = True
            sink._is_producer_paused = False
            if sink.unsent is not None:
                self._wait_for_sink()
            elif source._is_readable:
                source.resumeProducing()

    def collect(self) -> int:
        """Return the number of octets moved since the last call (IRelay)."""
        moved, self.moved = self.moved, 0
        return moved

    # Called by the source.

    def pump(self, last: int) -> None:
        """Move octets, for one turn.

        Args:
            last: not 0 if the end of input may be near: a short read then does not mean an empty socket.
        """
        source, sink = self._source, self.sink
        engine = source.engine
        left, was_bulk = RELAY_TURN_BYTES, source._is_bulk
        if sink._corked is not None:
            sink.uncork()
        source._is_readable = True  # until the source is found to be drained
        for _ in range(_READS):
            if sink.unsent is not None or not sink._can_write:
                self._wait_for_sink()
                return
            size = RELAY_BYTES if engine.bulk_budget > 0 else BULK_BYTES
            if self._method == _SPLICE and not engine.is_budget_low:
                number = self._splice(left)
                if number < 0:
                    return
                if number:
                    left -= number
                    engine.bulk_budget -= number
                    if left <= 0:
                        break
                    continue
                size = BULK_BYTES
            if left < size:
                size = left
            is_peeking = self._is_sink_slow or engine.is_budget_low
            try:
                number = source._socket.recv_into(engine.buffer, size, _PEEK if is_peeking else 0)
            except BlockingIOError:
                source._is_readable = False
                source._is_bulk = self._method == _SPLICE
                return
            except OSError:
                source.read_ended(is_reset=True)
                return
            if not number:
                source.read_ended(is_reset=False)
                return
            try:
                sent = sink._socket.send(engine.view[:number])
            except BlockingIOError:
                sent = 0
            except OSError:
                # The sink is lost, so the rest of the source's octets is dropped.
                source._is_paused = True
                sink._fail_writing()
                return
            is_drained = number < size and not last
            if number >= BULK_BYTES:
                engine.bulk_budget -= number
                source._is_bulk = True
                if self._method == _COPY:
                    self._method = _SPLICE
            else:
                source._is_bulk = self._method == _SPLICE
            if is_peeking:
                if sent:
                    source._socket.recv_into(engine.buffer, sent, _DISCARD)
                    self.moved += sent
                if sent < number:
                    sink.unsent = bytearray()  # nothing is buffered here, but the kernel has no room
                    self._wait_for_sink()
                    return
                if is_drained:
                    self._is_sink_slow = False
            else:
                self.moved += number
                if sent < number:
                    source._is_readable = not is_drained
                    sink.unsent = bytearray(engine.view[sent:number])
                    engine.add_buffered(number - sent)
                    self._is_sink_slow = True
                    self._wait_for_sink()
                    return
            if is_drained:
                source._is_readable = False
                return
            left -= number
            if left <= 0 or engine.bulk_budget <= 0 or (source._is_bulk and not was_bulk):
                break
        source.read_next_turn()

    def source_lost(self, reason: Failure) -> None:
        """End the sink in the way that the source ended: by a close or a reset."""
        sink = self.sink
        sink.unregisterProducer()
        if reason is DONE:
            sink.loseConnection()
        else:
            sink.abortConnection()

    # Called by the sink (IPushProducer).

    def pauseProducing(self) -> None:
        """Stop reading the source."""
        self._source._is_paused = True

    def resumeProducing(self) -> None:
        """Read the source again: the sink's buffer is empty."""
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """End the source in the way that the sink ended."""
        source = self._source
        source._relay = None
        if self.sink._reason is DONE:
            source.loseConnection()
        else:
            source.abortConnection()

    def _splice(self, most: int) -> int:
        """Move octets through the pipe.

        Returns:
            The number of octets; 0 if only a read can show the source's state; -1 if nothing is left to do in this
            turn.
        """
        source, sink = self._source, self.sink
        pipe = source.engine.pipe
        try:
            facts = _MEMINFO.unpack(sink._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except OSError:
            self._method = _CANNOT_SPLICE
            return 0
        room = facts[_SEND_LIMIT] - facts[_SEND_USED]
        if room < BULK_BYTES:
            return 0  # epoll reports room only after a refused write
        try:
            number = pipe.splice_in(source._fd, min(most, room, source.engine.relay_budget))
        except BlockingIOError:
            return 0
        except CannotSplice:
            self._method = _CANNOT_SPLICE
            return 0
        except OSError:
            source.read_ended(is_reset=True)
            return -1
        if number < BULK_BYTES:
            self._method = _COPY
        try:
            if number:
                try:
                    pipe.splice_out(sink._fd)
                except CannotSplice:
                    self._method = _CANNOT_SPLICE
            rest = pipe.drain()
        except OSError:
            pipe.close()
            source._is_paused = True
            sink._fail_writing()
            return -1
        self.moved += number
        if rest:
            sink.write(rest)
            self._is_sink_slow = sink.unsent is not None
        return number

    def _wait_for_sink(self) -> None:
        """Stop reading until the sink calls `resumeProducing`."""
        self._source._is_paused = True
        self.sink._is_producer_paused = True
