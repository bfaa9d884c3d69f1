"""One epoll set for many connections, which the reactor sees as one reader."""

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
from egress.transports.engine.connector import Connector
from egress.transports.engine.entries import Entry, Sharing
from egress.transports.engine.events import ALL_EDGES
from egress.transports.engine.pipe import Pipe
from egress.transports.engine.port import Port
from egress.transports.engine.relay import RELAY_BYTES
from egress.transports.engine.socket_addresses import SocketAddress, parse
from egress.transports.engine.transport import Transport

BUDGET_BYTES = 64 * 1024 * 1024
"""What may wait for slow readers, in all connections together, before reading slows down."""

READ_BYTES = 65_536
"""One read at most, and what may wait for one slow reader before its producer is paused."""

_SCARCE_READ_BYTES = 4096
TURN_BYTES = 4 * 1024 * 1024
"""What those who have much to move may move in one turn, together. Measured with eight of them beside a ping-pong: with
half as much it took half as long, but each byte cost 3 to 10 % more CPU, and with a quarter 25 %."""

# Few enough that no turn takes long, and that no small write waits long for others.
_EVENTS, _CORKED = 128, 32

# The resolution of connection timeouts, and one revolution of their wheel: 25.6 s.
_TICK_SECONDS, _TICKS = 0.05, 512

# Work put off to the end of a turn may put off more: a close that follows from a close. A pull producer could go on
# like that for ever, so the reactor has its turn after some rounds.
_ROUNDS = 4


@implementer(IReadDescriptor)
class Engine:
    """The set and its turns. It also dials as a reactor does, so that whoever dials can be given it instead of one.

    A descriptor is closed at the end of a turn: the number of one that was closed earlier could be that of a new
    connection, to which an event fetched before would then be told.

    Who has much to move goes last in a turn, each with a share, while it has something left; whom it did not reach
    comes first in the next one.

    Args:
        reactor: provides IReactorFDSet and IReactorTime.
        budget_bytes: see `BUDGET_BYTES`.
        pipe: by which relays splice; one of its own if not given. It is closed when the engine stops.
        turn_bytes: see `TURN_BYTES`.

    Attributes:
        callLater: the reactor's.
        seconds: the reactor's.
        timers: the deadlines of connection attempts.
        log: for what concerns more than one connection.
        buffer: what every read reads into.
        view: of `buffer`.
        span: how much a read may read now.
        high: how much may wait for a reader before its producer is paused.
        kept: how much waits for slow readers.
        spare: how much more relays may keep for theirs. Half of the budget is the protocols' own.
        is_scarce: that is less than what a relay could need.
        is_corked: small writes wait until the events of this turn are done.
        corked: the connections that have such.
        table: who owns which descriptor in the set.
        left: what may still be moved in this turn by those who have much to move.
        pipe: by which relays splice.
    """

    def __init__(
        self,
        reactor: Any,
        budget_bytes: int = BUDGET_BYTES,
        pipe: Pipe | None = None,
        turn_bytes: int = TURN_BYTES,
    ) -> None:
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds
        self.timers = TimerWheel(reactor, _TICK_SECONDS, _TICKS)
        self.log = Logger()
        self.buffer = bytearray(RELAY_BYTES)
        self.view = memoryview(self.buffer)
        self.kept = 0
        self.is_corked = False
        self.corked: list[Any] = []
        self.left = turn_bytes
        self.pipe = pipe or Pipe()
        self._reactor = reactor
        self._budget_bytes = budget_bytes
        self.keep(0)
        self._turn_bytes = turn_bytes
        self._poller: epoll | None = None
        self.table: dict[int, Entry] = {}
        self._due: list[Entry] = []
        self._shares: deque[Sharing] = deque()
        self._again: list[Sharing] = []
        self._dead: list[SocketType] = []
        self._is_busy = False
        self._wake: Any = None

    def start(self) -> None:
        """Join the reactor."""
        self._poller = epoll()
        self._reactor.addReader(self)
        self.timers.start()

    def stop(self) -> None:
        """Leave the reactor: what was put off is done, and what is left then is reset."""
        if self._poller is None:
            return
        self.is_corked = False
        self._finish_turn()
        for entry in list(self.table.values()):
            entry.close()
        self._finish_turn()
        self._shares.clear()
        self.timers.stop()
        self._reactor.removeReader(self)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._poller.close()
        self._poller = None
        self.pipe.close()

    @property
    def is_running(self) -> bool:
        """Whether the reactor watches the set. It stops doing so when the set itself fails."""
        return self._poller is not None

    def listen(self, listening: socket.socket, factory: IProtocolFactory) -> Port:
        """Serve a TCP socket that listens already; it is the port's from now on."""
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
    ) -> IConnector:
        """Dial an address literal, as a reactor does (IReactorTCP).

        Raises:
            ValueError: not a literal of either family.
        """
        family, address = parse(host, port)
        connector = Connector(self, family, address, factory, timeout, bindAddress)
        connector.connect()
        return connector

    # What the reactor calls.

    def doRead(self) -> None:
        """Take one turn (IReadDescriptor)."""
        if self._poller is not None:
            self._is_busy = True
            self.left = self._turn_bytes
            get = self.table.get
            batch = self._poller.poll(0, _EVENTS)
            self.is_corked = True
            for descriptor, events in batch:
                entry = get(descriptor)
                if entry is not None:
                    try:
                        entry.event(events)
                    except Exception:
                        self.break_off(entry)
                    if len(self.corked) >= _CORKED:
                        self._pour()
            self.is_corked = False
        self._finish_turn()

    def fileno(self) -> int:
        """Give the descriptor of the set (IFileDescriptor)."""
        return -1 if self._poller is None else self._poller.fileno()

    def connectionLost(self, _reason: Failure) -> None:
        """Stop, for the reactor does (IFileDescriptor)."""
        self.stop()

    def logPrefix(self) -> str:
        """Name it in Twisted's messages (ILoggingContext)."""
        return "engine"

    # What connections, attempts and ports call.

    def add(self, descriptor: int, entry: Entry, events: int = ALL_EDGES) -> None:
        """Watch a socket.

        Raises:
            OSError: the kernel has no room for another one.
            RuntimeError: the engine does not run.
        """
        if self._poller is None:
            raise RuntimeError("the engine is not started")
        self._poller.register(descriptor, events)
        self.table[descriptor] = entry

    def modify(self, descriptor: int, events: int) -> None:
        """Watch a socket for other events."""
        if self._poller is not None:
            self._poller.modify(descriptor, events)

    def forget(self, descriptor: int, connection: SocketType) -> None:
        """Watch a socket no more, and close it; that takes it out of the set."""
        self.table.pop(descriptor, None)
        if self._is_busy:
            self._dead.append(connection)
        else:
            connection.close()

    def later(self, entry: Any) -> None:
        """Have `run` called at the end of this turn, or in a turn of its own if there is none."""
        self._due.append(entry)
        if not self._is_busy and self._wake is None:
            self._wake = self.callLater(0, self._wake_up)

    def share(self, entry: Sharing) -> None:
        """Have its `share` called once all others are done with this turn, or in a later one."""
        self._shares.append(entry)

    def again(self, entry: Sharing) -> None:
        """Have its `share` called in a later turn."""
        self._again.append(entry)

    def keep(self, number: int) -> None:
        """Count bytes that wait for slow readers."""
        self.kept += number
        if self.kept > self._budget_bytes:
            self.span, self.high = _SCARCE_READ_BYTES, 0
        else:
            self.span = self.high = READ_BYTES
        self.spare = self._budget_bytes // 2 - self.kept
        self.is_scarce = self.spare < RELAY_BYTES

    def break_off(self, entry: Entry) -> None:
        """End one entry for the exception that is being handled, and log it; the others go on."""
        failure = Failure()
        self.log.failure("a connection failed", failure)
        entry.fail(failure)

    def _wake_up(self) -> None:
        self._wake = None
        self.doRead()

    def _pour(self) -> None:
        corked, self.corked = self.corked, []
        for each in corked:
            try:
                each.pour()
            except Exception:
                self.break_off(each)

    def _finish_turn(self) -> None:
        self._is_busy = True
        if self.corked:
            self._pour()
        if self._due:
            self._run_due()
        if self._shares:
            self._serve()
            if self._due:
                self._run_due()
        if self._dead:
            for connection in self._dead:
                connection.close()
            self._dead.clear()
        self._is_busy = False
        if self._again:
            self._shares += self._again
            self._again.clear()
        if (self._due or self._shares) and self._wake is None:
            self._wake = self.callLater(0, self._wake_up)

    def _run_due(self) -> None:
        for _ in range(_ROUNDS):
            due, self._due = self._due, []
            for entry in due:
                try:
                    entry.run()
                except Exception:
                    self.break_off(entry)
            if not self._due:
                break

    def _serve(self) -> None:
        # One at least, so that they are served in any case.
        for _ in range(len(self._shares)):
            entry = self._shares.popleft()
            try:
                entry.share()
            except Exception:
                self.break_off(entry)
            if self.left <= 0:
                break


__all__ = ["BUDGET_BYTES", "READ_BYTES", "TURN_BYTES", "Engine", "Transport"]
