"""The half of a connection that reads: whenever something has come, as long as somebody wants it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from egress.transports.engine.events import ERROR, LAST, READABLE, WRITE
from egress.transports.engine.writing import ABORTED, DONE, ENDING, LOST, OPEN, Writing, half_closeable

if TYPE_CHECKING:
    from egress.transports.engine.relay import Relay

# Reads of one connection before others have their turn.
_READS = 8


class Reading(Writing):
    """What has come, who takes it, and the other side's FIN.

    Only the engine calls `event`, `run` and `share`, and never from inside a call of the protocol. What such a call
    brings about (an error of `write` above all) is told at the end of the engine's turn.

    Edges are not repeated, so what they said is remembered: `_is_readable` is set while there may be something to read
    that nobody has read, be it data or an end.
    """

    __slots__ = ("_is_bulky", "_is_ended", "_is_paused", "_is_readable", "_is_sharing", "_relay")

    _relay: Relay | None  # reads instead of the protocol
    _is_readable: bool
    _is_ended: bool  # the other side's FIN was read
    _is_paused: bool
    _is_bulky: bool  # the last read brought as much as it could, so that the next one is done after all others
    _is_sharing: bool  # it waits for its share of a turn

    # What the engine calls.

    def event(self, events: int) -> None:
        """Take an edge."""
        if self.unsent is not None and events & WRITE:
            self._flush()
        if events & READABLE and self._fd >= 0:
            if self._is_ended or self._is_paused or self.disconnecting or self._reason is not None:
                self._is_readable = not self._is_ended
                if events & ERROR and self._reason is None:
                    self._hear_of_reset()
            elif self._is_bulky or self._is_sharing:
                self._is_readable = True
                self._go_last()
            elif self._relay is not None:
                self._relay.pump(events & LAST)
            else:
                self._receive(events & LAST)

    def run(self) -> None:
        """Do what was put off until the end of the turn."""
        self._is_queued = False
        if self._fd < 0:
            return
        if self._reason is not None:
            self._tell_reason()
            return
        if self._is_due and self.unsent is None:
            self._is_due = False
            self._flushed()
        if self._is_readable and self._may_read():
            if self._is_bulky or self._is_sharing:
                self._go_last()
            else:
                self._read()

    def share(self) -> None:
        """Have a share of the turn."""
        self._is_sharing = False
        if self._reason is not None:
            if self._fd >= 0:
                self._tell_reason()
        elif self._is_readable and self._may_read():
            self._read()

    def fail(self, reason: Failure) -> None:
        """End it because its protocol raised an exception."""
        self.lost(reason)

    def close(self) -> None:
        """End it because the engine stops."""
        self.abortConnection()
        self.lost(ABORTED)

    # How it is read.

    def _may_read(self) -> bool:
        return not (self._is_paused or self._is_ended or self.disconnecting or self._fd < 0)

    def _read(self) -> None:
        if self._relay is not None:
            self._relay.pump(LAST)
        else:
            self._receive(LAST)

    def _receive(self, last: int) -> None:
        engine = self.engine
        was_bulky = self._is_bulky
        for _ in range(_READS):
            size = engine.span
            try:
                number = self._socket.recv_into(engine.buffer, size)
            except BlockingIOError:
                self._is_readable = self._is_bulky = False
                return
            except OSError:
                self.end_of_reading(is_reset=True)
                return
            if number < size:
                if not number:
                    self.end_of_reading(is_reset=False)
                    return
                # It has emptied the socket (epoll(7), question 9), and what comes after it is a new edge.
                self._is_readable = last != 0
                self._is_bulky = False
            else:
                self._is_readable = self._is_bulky = True
                engine.left -= number
            assert self._protocol is not None, "a connection that stands has a protocol"
            self._protocol.dataReceived(bytes(engine.view[:number]))
            if (
                not self._is_readable
                or self._is_paused
                or self.disconnecting
                or self._fd < 0
                or self._reason is not None
            ):
                return
            if self._relay is not None or engine.left <= 0 or (self._is_bulky and not was_bulky):
                break  # the protocol has made way, or others are to go first
        self.go_on_later()

    def _go_last(self) -> None:
        """Read in this turn, if all who have little to read leave something of it."""
        if not self._is_sharing:
            self._is_sharing = True
            self.engine.share(self)

    def go_on_later(self) -> None:
        """Read on in a later turn."""
        if not self._is_sharing:
            self._is_sharing = True
            self.engine.again(self)

    def end_of_reading(self, *, is_reset: bool) -> None:
        """Nothing comes any more, for the other side sent a FIN or a reset."""
        if is_reset:
            self.lost(LOST)
            return
        if self._reason is not None:
            # A reset that a write was told of reads as an end from then on. It is none.
            self.lost(self._reason)
            return
        self._is_ended = True
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
        sink.finish()
        try:
            if half is not None:
                half.readConnectionLost()
        finally:
            for each in (self, sink):
                if each._is_ended and each._end != OPEN:
                    each.settle()

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
            self._read()
            if not self._is_readable:
                break
        else:
            self.go_on_later()
            return
        if self._reason is not None:
            self.lost(self._reason)

    # Back-pressure.

    def pauseProducing(self) -> None:
        """Read no more: what comes waits in the kernel (IPushProducer)."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Read on (IPushProducer)."""
        self._is_paused = False
        if self._is_readable:
            self._queue()

    # What the end of another connection brings about.

    def finish(self) -> None:
        """Do without the producer, and send a FIN after what was written: at once, where nothing waits.

        It is called for the end of another connection, and never from inside a call of a protocol.
        """
        self._producer = None
        self._is_streaming = self._is_producer_paused = False
        if self._fd < 0:
            return
        if self._end == OPEN:
            self._end = ENDING
            if self._is_ended:
                return  # it is over, and a close sends the FIN as well
            if self.unsent is None and self._reason is None and not self.disconnecting:
                try:
                    self._send_end()
                except Exception:
                    self.engine.break_off(self)
                return
        if self.disconnecting or self._end == ENDING:
            self._be_due()

    def settle(self) -> None:
        """Close after what was written, as soon as may be. It is called as `finish` is."""
        if self._corked is not None:
            self.pour()
        if self.unsent is None and self._producer is None and self._reason is None:
            self.lost(DONE)
        else:
            self.loseConnection()
