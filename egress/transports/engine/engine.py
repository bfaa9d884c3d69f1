"""One epoll set for many connections, which the reactor polls as one reader."""

from __future__ import annotations

import socket
from collections import deque
from select import epoll
from socket import SocketType
from typing import Any

from twisted.internet.interfaces import IConnector, IProtocolFactory, IReadDescriptor
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.timing.timer_wheel import TimerWheel
from egress.transports.contract import SocketAddress
from egress.transports.descriptor_ceiling import DescriptorCeiling
from egress.transports.engine.connector import Connector
from egress.transports.engine.events import ALL_EDGES
from egress.transports.engine.pipe import Pipe
from egress.transports.engine.polled import BulkPolled, Polled
from egress.transports.engine.port import Port
from egress.transports.engine.reading import LARGEST_READ_BYTES
from egress.transports.engine.relay import RELAY_BYTES
from egress.transports.engine.socket_addresses import parse
from egress.transports.engine.transport import Transport

BUDGET_BYTES = 64 * 1024 * 1024
"""Octets that may be buffered for slow readers, in all connections together, before reads become smaller."""

READ_BYTES = LARGEST_READ_BYTES
"""The size of a read, and the octets that may be buffered for one slow reader before its producer is paused."""

_SCARCE_READ_BYTES = 4096
TURN_BYTES = 4 * 1024 * 1024
"""Octets that all bulk connections together may move in one turn.

Measured with eight of them beside a ping-pong: half as much halved the ping-pong's time, but each octet cost 3 to 10 %
more CPU; a quarter cost 25 % more."""

# Events of a turn, and corked connections: few enough that no turn takes long, and no small write waits long.
_EVENTS, _CORKED = 128, 32

# The resolution of connection timeouts, and one revolution of their wheel: 25.6 s.
_TICK_SECONDS, _TICKS = 0.05, 512

# Work that is deferred to the end of a turn may defer more work, as a close that causes another close. A pull producer
# could do so endlessly, so the reactor gets control after some rounds.
_ROUNDS = 4


@implementer(IReadDescriptor)
class Engine:
    """Polls sockets, and serves them in turns. Also dials, by the reactor's method `connectTCP`.

    A turn handles one batch of events. Work that a protocol's call causes, and that must not run inside the call, is
    deferred to the end of the turn.

    Sockets are closed at the end of a turn. If one were closed before, the kernel could reuse its descriptor for a new
    connection, which would then receive an event that was fetched for the old one.

    A bulk connection (one whose last read was as large as it could be, or took long to handle) is served after all
    others. The bulk connections of a turn share `turn_bytes`, from which the time of their protocols is subtracted as
    octets; those without a share are first in the next turn.

    Args:
        reactor: provides IReactorFDSet and IReactorTime.
        budget_bytes: see `BUDGET_BYTES`.
        pipe: the pipe by which relays splice; None makes one. The pipe is closed when the engine stops.
        turn_bytes: see `TURN_BYTES`.
        ceiling: of the descriptors that connections may use; None for no ceiling.

    Attributes:
        callLater: the reactor's method.
        seconds: the reactor's method.
        timers: the deadlines of connection attempts.
        log: the log of events that concern more than one connection.
        buffer: the target of every read.
        view: a memoryview of `buffer`.
        read_bytes: the size of a protocol's read, as the budget permits now.
        high_watermark: the number of octets that may be buffered for one reader before its producer is paused.
        buffered: the number of octets that are buffered for slow readers.
        relay_budget: the number of octets that relays may buffer in addition. Protocols have half of the budget.
        is_budget_low: whether `relay_budget` is less than one relay may need.
        is_corked: whether small writes wait until the events of this turn are handled.
        corked: the connections with corked writes.
        entries: the object of each descriptor in the epoll set.
        bulk_budget: the number of octets that bulk connections may still move in this turn.
        pipe: for the splicing of relays.
        ceiling: of the descriptors that connections may use.
    """

    def __init__(
        self,
        reactor: Any,
        budget_bytes: int = BUDGET_BYTES,
        pipe: Pipe | None = None,
        turn_bytes: int = TURN_BYTES,
        ceiling: DescriptorCeiling | None = None,
    ) -> None:
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds
        self.timers = TimerWheel(reactor, _TICK_SECONDS, _TICKS)
        self.log = Logger()
        self.buffer = bytearray(RELAY_BYTES)
        self.view = memoryview(self.buffer)
        self.buffered = 0
        self.is_corked = False
        self.corked: list[Any] = []
        self.bulk_budget = turn_bytes
        self.pipe = pipe or Pipe()
        self.ceiling = ceiling or DescriptorCeiling()
        self._reactor = reactor
        self._budget_bytes = budget_bytes
        self.add_buffered(0)
        self._turn_bytes = turn_bytes
        self._poller: epoll | None = None
        self.entries: dict[int, Polled] = {}
        self._queue: list[Polled] = []
        self._bulk_queue: deque[BulkPolled] = deque()
        self._bulk_next_turn: list[BulkPolled] = []
        self._closing: list[SocketType] = []
        self._is_in_turn = False
        self._turn_call: Any = None

    def start(self) -> None:
        """Add the engine to the reactor."""
        self._poller = epoll()
        self._reactor.addReader(self)
        self.timers.start()

    def stop(self) -> None:
        """Leave the reactor. Deferred work is done first; the remaining connections are reset."""
        if self._poller is None:
            return
        self.is_corked = False
        self._finish_turn()
        for entry in list(self.entries.values()):
            entry.close()
        self._finish_turn()
        self._bulk_queue.clear()
        self.timers.stop()
        self._reactor.removeReader(self)
        if self._turn_call is not None:
            self._turn_call.cancel()
            self._turn_call = None
        self._poller.close()
        self._poller = None
        self.pipe.close()

    @property
    def is_running(self) -> bool:
        """Whether the reactor polls the engine. It stops when the epoll descriptor itself fails."""
        return self._poller is not None

    def listen(self, listening: socket.socket, factory: IProtocolFactory) -> Port:
        """Accept connections from a listening TCP socket, which the port owns from now on."""
        port = Port(self, listening, factory)
        port.startListening()
        return port

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float | None = 30.0,
        bindAddress: SocketAddress | None = None,
        keepalive_seconds: int = 0,
    ) -> IConnector:
        """Dial an address literal (IReactorTCP). See `Transport` for `keepalive_seconds`.

        Raises:
            ValueError: the host is not an IPv4 or IPv6 literal.
        """
        family, address = parse(host, port)
        made = Connector(self, family, address, factory, timeout, bindAddress, keepalive_seconds)
        made.connect()
        return made

    # Called by the reactor.

    def doRead(self) -> None:
        """Serve one turn (IReadDescriptor)."""
        if self._poller is not None:
            self._is_in_turn = True
            self.bulk_budget = self._turn_bytes
            get = self.entries.get
            batch = self._poller.poll(0, _EVENTS)
            self.is_corked = True
            for descriptor, events in batch:
                entry = get(descriptor)
                if entry is not None:
                    try:
                        entry.event(events)
                    except Exception:
                        self.fail(entry)
                    if len(self.corked) >= _CORKED:
                        self._uncork()
            self.is_corked = False
        self._finish_turn()

    def fileno(self) -> int:
        """Return the descriptor of the epoll set (IFileDescriptor)."""
        return -1 if self._poller is None else self._poller.fileno()

    def connectionLost(self, _reason: Failure) -> None:
        """Stop: the reactor has removed the engine (IFileDescriptor)."""
        self.stop()

    def logPrefix(self) -> str:
        """Return the name for Twisted's messages (ILoggingContext)."""
        return "engine"

    # Called by connections, connection attempts and ports.

    def register(self, descriptor: int, entry: Polled, events: int = ALL_EDGES) -> None:
        """Add a socket to the epoll set.

        Raises:
            OSError: the kernel refuses another one.
            RuntimeError: the engine is not started.
        """
        if self._poller is None:
            raise RuntimeError("the engine is not started")
        self._poller.register(descriptor, events)
        self.entries[descriptor] = entry

    def modify(self, descriptor: int, events: int) -> None:
        """Change the events of a socket."""
        if self._poller is not None:
            self._poller.modify(descriptor, events)

    def unregister(self, descriptor: int, connection: SocketType) -> None:
        """Close a socket, at the end of this turn. The kernel then removes it from the epoll set."""
        self.entries.pop(descriptor, None)
        if self._is_in_turn:
            self._closing.append(connection)
        else:
            connection.close()

    def queue(self, entry: Any) -> None:
        """Call `run` of an object at the end of this turn; outside of a turn, at the end of the next turn."""
        self._queue.append(entry)
        if not self._is_in_turn and self._turn_call is None:
            self._turn_call = self.callLater(0, self._take_turn)

    def queue_bulk(self, entry: BulkPolled) -> None:
        """Call `run_bulk` of an object after all others in this turn, or in a later turn if the limit is reached."""
        self._bulk_queue.append(entry)

    def queue_bulk_next_turn(self, entry: BulkPolled) -> None:
        """Call `run_bulk` of an object in a later turn."""
        self._bulk_next_turn.append(entry)

    def add_buffered(self, number: int) -> None:
        """Add to the count of octets that are buffered for slow readers; a negative number subtracts."""
        self.buffered += number
        if self.buffered > self._budget_bytes:
            self.read_bytes, self.high_watermark = _SCARCE_READ_BYTES, 0
        else:
            self.read_bytes = self.high_watermark = READ_BYTES
        self.relay_budget = self._budget_bytes // 2 - self.buffered
        self.is_budget_low = self.relay_budget < RELAY_BYTES

    def fail(self, entry: Polled) -> None:
        """Log the exception that is being handled, and close the object that raised it."""
        failure = Failure()
        self.log.failure("a connection failed", failure)
        entry.fail(failure)

    def _take_turn(self) -> None:
        self._turn_call = None
        self.doRead()

    def _uncork(self) -> None:
        corked, self.corked = self.corked, []
        for each in corked:
            try:
                each.uncork()
            except Exception:
                self.fail(each)

    def _finish_turn(self) -> None:
        self._is_in_turn = True
        if self.corked:
            self._uncork()
        if self._queue:
            self._run_queue()
        if self._bulk_queue:
            self._run_bulk()
            if self._queue:
                self._run_queue()
        if self._closing:
            for connection in self._closing:
                connection.close()
            self._closing.clear()
        self._is_in_turn = False
        if self._bulk_next_turn:
            self._bulk_queue += self._bulk_next_turn
            self._bulk_next_turn.clear()
        if (self._queue or self._bulk_queue) and self._turn_call is None:
            self._turn_call = self.callLater(0, self._take_turn)

    def _run_queue(self) -> None:
        for _ in range(_ROUNDS):
            due, self._queue = self._queue, []
            for entry in due:
                try:
                    entry.run()
                except Exception:
                    self.fail(entry)
            if not self._queue:
                break

    def _run_bulk(self) -> None:
        # At least one, so that bulk connections progress in every turn.
        for _ in range(len(self._bulk_queue)):
            entry = self._bulk_queue.popleft()
            try:
                entry.run_bulk()
            except Exception:
                self.fail(entry)
            if self.bulk_budget <= 0:
                break


__all__ = ["BUDGET_BYTES", "READ_BYTES", "TURN_BYTES", "Engine", "Transport"]
