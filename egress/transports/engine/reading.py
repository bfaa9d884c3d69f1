"""The reading half of a connection: edges, pauses, and the peer's FIN or reset."""

from __future__ import annotations

import socket
from select import poll
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from egress.transports.contract import PeerEnd
from egress.transports.engine.events import ERROR, HANGUP, LAST, READ_HANGUP, READABLE, WRITE
from egress.transports.engine.writing import ABORTED, DONE, FIN_PENDING, FIN_UNSENT, LOST, Writing, half_closeable

if TYPE_CHECKING:
    from egress.transports.engine.relay import Relay

# The number of reads of one connection before others are served.
_READS = 8

FIRST_READ_BYTES, LARGEST_READ_BYTES = 8192, 65_536
"""The size of a connection's first read. It doubles up to the largest with each full read that costs little."""

READ_SECONDS = 0.0005
"""What the protocol may spend on one read. The next read is smaller in proportion if it spends more."""

# Reads up to this size are not timed: each request has some, and a clock costs more than they can.
_UNTIMED_BYTES = 1024
_SMALLEST_READ_BYTES = 2048

# What a second of a protocol's work takes from the octets that bulk connections may move in one turn: the 4 MiB of
# `TURN_BYTES` are 2 ms.
_OCTETS_PER_SECOND = 2 * 1024 * 1024 * 1024


class Reading(Writing):
    """Reads whenever the socket is readable, and delivers to the protocol or a relay.

    Only the engine calls `event`, `run` and `run_bulk`, and never inside a call of the protocol. The results of the
    protocol's calls, such as an error of `write`, are reported to the protocol at the end of the turn.

    Edges are not repeated. `_is_readable` records that the socket may have unread data or an unread end.

    A peer may send octets that cost much more than others to decode. The size of a read therefore follows from what the
    last one cost, and a connection whose reads are costly is a bulk connection, however little it sends.
    """

    __slots__ = (
        "_is_bulk",
        "_is_bulk_queued",
        "_is_paused",
        "_is_read_ended",
        "_is_readable",
        "_look",
        "_read_limit",
        "_relay",
    )

    _relay: Relay | None  # receives the octets instead of the protocol
    _look: poll | None  # of `is_quiet`, once that was called
    _is_readable: bool
    _is_read_ended: bool  # the peer's FIN was read
    _is_paused: bool
    _is_bulk: bool  # the last read was as large as it could be, or costly; the next is done after those of others
    _is_bulk_queued: bool  # `run_bulk` will be called
    _read_limit: int  # octets of the next read, if the budget of the engine permits

    # Polled.

    def event(self, events: int) -> None:
        """Handle an edge of the socket."""
        if self.unsent is not None and events & WRITE:
            self._flush()
        if events & READABLE and self._fd >= 0:
            if self._is_read_ended or self._is_paused or self.disconnecting or self._reason is not None:
                self._is_readable = not self._is_read_ended
                if events & ERROR and self._reason is None:
                    self._check_reset()
            elif self._is_bulk or self._is_bulk_queued:
                self._is_readable = True
                self._queue_bulk()
            elif self._relay is not None:
                self._relay.pump(events & LAST)
            else:
                self._receive(events & LAST)

    def run(self) -> None:
        """Run the work that was deferred to the end of the turn."""
        self._is_queued = False
        if self._fd < 0:
            return
        if self._reason is not None:
            self._report_loss()
            return
        if self._is_flushed_pending and self.unsent is None:
            self._is_flushed_pending = False
            self._flushed()
        if self._is_readable and self._can_read():
            if self._is_bulk or self._is_bulk_queued:
                self._queue_bulk()
            else:
                self._read()

    def run_bulk(self) -> None:
        """Read, after the connections with little to read."""
        self._is_bulk_queued = False
        if self._reason is not None:
            if self._fd >= 0:
                self._report_loss()
        elif self._is_readable and self._can_read():
            self._read()

    def fail(self, reason: Failure) -> None:
        """Close: the protocol raised an exception."""
        self.lost(reason)

    def close(self) -> None:
        """Close: the engine stops."""
        self.abortConnection()
        self.lost(ABORTED)

    # Reading.

    def _can_read(self) -> bool:
        return not (self._is_paused or self._is_read_ended or self.disconnecting or self._fd < 0)

    def _read(self) -> None:
        if self._relay is not None:
            self._relay.pump(LAST)
        else:
            self._receive(LAST)

    def _receive(self, last: int) -> None:
        engine = self.engine
        was_bulk, is_costly = self._is_bulk, False
        for _ in range(_READS):
            limit = self._read_limit
            size = limit if limit < engine.read_bytes else engine.read_bytes
            try:
                number = self._socket.recv_into(engine.buffer, size)
            except BlockingIOError:
                self._is_readable, self._is_bulk = False, is_costly
                return
            except OSError:
                self.read_ended(is_reset=True)
                return
            if number < size:
                if not number:
                    self.read_ended(is_reset=False)
                    return
                # A short read has emptied the socket (epoll(7), question 9); later data is a new edge.
                self._is_readable = last != 0
                self._is_bulk = False
            else:
                self._is_readable = self._is_bulk = True
                engine.bulk_budget -= number
            assert self._protocol is not None, "an open connection has a protocol"
            if number <= _UNTIMED_BYTES:
                self._protocol.dataReceived(bytes(engine.view[:number]))
            else:
                is_costly = self._receive_timed(number)
            if (
                not self._is_readable
                or self._is_paused
                or self.disconnecting
                or self._fd < 0
                or self._reason is not None
            ):
                return
            if self._relay is not None or engine.bulk_budget <= 0 or (self._is_bulk and not was_bulk):
                break  # a relay reads from now on, or other connections are served first
        self.read_next_turn()

    def _receive_timed(self, number: int) -> bool:
        """Deliver what was read, and choose the size of the next read by what this one cost.

        Returns:
            Whether it cost too much.
        """
        engine = self.engine
        began = engine.seconds()
        assert self._protocol is not None, "an open connection has a protocol"
        self._protocol.dataReceived(bytes(engine.view[:number]))
        spent = engine.seconds() - began
        if spent > READ_SECONDS:
            self._read_limit = max(_SMALLEST_READ_BYTES, int(number * READ_SECONDS / spent))
            self._is_bulk = True
            engine.bulk_budget -= int(spent * _OCTETS_PER_SECOND)
            return True
        if number == self._read_limit:
            self._read_limit = min(LARGEST_READ_BYTES, number * 2)
        return False

    def _queue_bulk(self) -> None:
        """Read in this turn, after the connections with little to read and within the limit of the turn."""
        if not self._is_bulk_queued:
            self._is_bulk_queued = True
            self.engine.queue_bulk(self)

    def read_next_turn(self) -> None:
        """Continue in a later turn."""
        if not self._is_bulk_queued:
            self._is_bulk_queued = True
            self.engine.queue_bulk_next_turn(self)

    def read_ended(self, *, is_reset: bool) -> None:
        """Handle the end of input: the peer sent a FIN or a reset."""
        if is_reset:
            self.lost(LOST)
            return
        if self._reason is not None:
            # After a write has failed with a reset, a read returns an end of input, which is not a FIN.
            self.lost(self._reason)
            return
        self._is_read_ended = True
        self._is_readable = False
        relay = self._relay
        half = half_closeable(self._protocol)
        if relay is None:
            if half is not None:
                half.readConnectionLost()
            else:
                self.lost(DONE)
            return
        self._relay = None
        sink = relay.sink
        sink.finish_writing()
        try:
            if half is not None:
                half.readConnectionLost()
        finally:
            for each in (self, sink):
                if each._is_read_ended and each._fin != FIN_UNSENT:
                    each.close_when_flushed()

    def _check_reset(self) -> None:
        """Handle a reset while reading is paused. A reset behind unread data is detected when the data is read."""
        if self._is_paused and not self._is_read_ended and not self.disconnecting:
            try:
                if self._socket.recv(1, socket.MSG_PEEK):
                    return
            except BlockingIOError:
                return
            except OSError:
                pass
        self.lost(LOST)

    def _report_loss(self) -> None:
        # Data may have arrived before the reset that failed a write, such as a response to an earlier write.
        for _ in range(_READS):
            if self._reason is not LOST or not self._can_read():
                break
            self._read()
            if not self._is_readable:
                break
        else:
            self.read_next_turn()
            return
        if self._reason is not None:
            self.lost(self._reason)

    def is_quiet(self) -> bool:
        """Look whether nothing has come that was not read (IStreamTransport)."""
        if self._fd < 0 or self._is_read_ended or self.disconnecting or self._reason is not None:
            return False
        # Measured: a read with MSG_PEEK costs 1.7 times as much, for the exception that it raises where nothing waits.
        look = self._look
        if look is None:
            look = self._look = self._make_look()
        return not look.poll(0)

    def find_end(self) -> PeerEnd | None:
        """Look whether the peer has ended (IStreamTransport)."""
        if self._fd < 0 or self._reason is not None:
            return PeerEnd.RESET
        found = self._make_look().poll(0)
        events = found[0][1] if found else 0
        if events & ERROR:
            return PeerEnd.RESET
        return PeerEnd.FIN if events & (READ_HANGUP | HANGUP) else None

    def _make_look(self) -> poll:
        look = poll()
        look.register(self._fd, READABLE)
        return look

    # Back-pressure.

    def pauseProducing(self) -> None:
        """Stop reading; data stays in the kernel (IPushProducer)."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Read again (IPushProducer)."""
        self._is_paused = False
        if self._is_readable:
            self._queue_run()

    # Called by a relay when the other connection ends; never inside a call of a protocol.

    def finish_writing(self) -> None:
        """Remove the producer, and send a FIN after the written octets: at once if nothing is buffered."""
        self._producer = None
        self._is_streaming = self._is_producer_paused = False
        if self._fd < 0:
            return
        if self._fin == FIN_UNSENT:
            self._fin = FIN_PENDING
            if self._is_read_ended:
                return  # both directions have ended: the close that follows sends the FIN
            if self.unsent is None and self._reason is None and not self.disconnecting:
                try:
                    self._send_fin()
                except Exception:
                    self.engine.fail(self)
                return
        if self.disconnecting or self._fin == FIN_PENDING:
            self._queue_flushed()

    def close_when_flushed(self) -> None:
        """Close after the written octets are sent: at once if nothing is buffered."""
        if self._corked is not None:
            self.uncork()
        if self.unsent is None and self._producer is None and self._reason is None:
            self.lost(DONE)
        else:
            self.loseConnection()
