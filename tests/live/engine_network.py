"""The interface of the in-memory network over real sockets of the engine, for the dialogues of `tests/proxy`."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IConnector, IListeningPort, IProtocolFactory
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from egress.testing.peers import ConnectedPeers, Peer
from egress.transports.engine.engine import Engine
from egress.transports.engine.transport import Transport
from tests.live.joined import Hand

# A round in which nothing happened waits so long for the next; after so many of them all is quiet.
_WAIT_SECONDS = 0.002
_QUIET = 3
_ROUNDS = 100_000
_CHUNK = 1 << 20


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _open(host: str) -> socket.socket:
    made = socket.socket(_family(host), socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What a test says in two pieces must not wait for a delayed acknowledgement of the first.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


@define(eq=False)
class RealPeer(Peer):
    """One end of a real connection."""

    _socket: socket.socket
    _network: EngineNetwork
    _answer: Callable[[Any, bytes], object] | None = None
    _has_ended: bool = field(default=False, init=False)
    _has_closed: bool = field(default=False, init=False)
    address: tuple[str, int] = field(default=("", 0), init=False)
    peer: tuple[str, int] = field(default=("", 0), init=False)

    def __attrs_post_init__(self) -> None:
        self.address = self._socket.getsockname()[:2]
        with contextlib.suppress(OSError):  # a connection that was reset before it was accepted has no peer
            self.peer = self._socket.getpeername()[:2]

    @property
    def is_closed(self) -> bool:
        """The connection is over: closed from here, reset, or closed for good by the other end."""
        return self._has_closed or self.was_reset or (self.saw_eof and not self._network.is_held(self.address))

    def aborts(self) -> None:
        """Send RST; what was said and not yet sent is dropped."""
        self._outbox.clear()
        if not self._has_closed:
            self._has_closed = True
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()

    def turn(self) -> bool:
        """Do what it was told, as far as the kernel lets it.

        Returns:
            Something happened.
        """
        if self._has_closed:
            return False
        before = (len(self._received), len(self._outbox), self.saw_eof, self.was_reset, self._has_ended)
        if self._is_reading and not self.saw_eof and not self.was_reset:
            self._read()
        elif not self.was_reset:
            self._look_for_reset()
        if not self.was_reset and not self._has_closed:
            self._write()
        after = (len(self._received), len(self._outbox), self.saw_eof, self.was_reset, self._has_ended)
        return before != after or self._has_closed

    def _is_shut(self) -> bool:
        return self._has_closed

    def _look(self) -> None:
        """Do nothing: every turn looks."""

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._reset()
            return
        if not data:
            self.saw_eof = True
            return
        self._received += data
        if self._answer is not None:
            self._answer(self, data)

    def _look_for_reset(self) -> None:
        poll = select.poll()
        poll.register(self._socket, 0)
        if any(events & select.POLLERR for _, events in poll.poll(0)):
            self._reset()

    def _reset(self) -> None:
        self.was_reset = True
        self._outbox.clear()

    def _write(self) -> None:
        try:
            if self._outbox:
                sent = self._socket.send(self._outbox)
                del self._outbox[:sent]
            if self._outbox:
                return
            if self._closes:
                self._has_closed = True
                self._socket.close()
            elif self._ends and not self._has_ended:
                self._has_ended = True
                self._socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self._reset()

    def drop(self) -> None:
        """Close whatever is left."""
        self._has_closed = True
        self._socket.close()


@define(eq=False)
class RealOrigin(ConnectedPeers[RealPeer]):
    """A place that listens, and its connections."""

    _listener: socket.socket
    _network: EngineNetwork
    _answer: Callable[[Any, bytes], object] | None = None
    _has_closed: bool = field(default=False, init=False)

    def stops(self) -> None:
        """Stop listening."""
        self._has_closed = True
        self._listener.close()

    def turn(self) -> bool:
        """Accept."""
        if self._has_closed:
            return False
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return False
        accepted.setblocking(False)
        peer = RealPeer(accepted, self._network, self._answer)
        self.peers.append(peer)
        self._network.add(peer)
        return True


class ForwardingMemo:
    """The engine as the code under test sees it, and every attempt of it to connect."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dialled: list[tuple[str, int]] = []
        self.callLater = engine.callLater
        self.seconds = engine.seconds

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Connect."""
        self.dialled.append((host, port))
        return self._engine.connectTCP(host, port, factory, timeout, bindAddress)


class EngineNetwork:
    """Real sockets of the kernel on one side, the engine's on the other, and a clock that stands until it is moved.

    It must be made and used in a network whose loopback has the addresses that tests speak of.
    """

    def __init__(self) -> None:
        self.hand = Hand()
        self.clock: Clock = self.hand
        self.engine = Engine(self.hand)
        self.engine.start()
        self.reactor: Any = ForwardingMemo(self.engine)
        self.failures: list[Failure] = []
        self._parts: list[RealPeer | RealOrigin] = []

    @property
    def dialled(self) -> list[tuple[str, int]]:
        """Every attempt of the code under test to connect, in order."""
        dialled: list[tuple[str, int]] = self.reactor.dialled
        return dialled

    def add(self, peer: RealPeer) -> None:
        """Give a connection its turns."""
        self._parts.append(peer)

    def is_held(self, address: tuple[str, int]) -> bool:
        """Tell whether the engine has a connection whose other end is there."""
        for each in self.engine.entries.values():
            if isinstance(each, Transport) and (each.getPeer().host, each.getPeer().port) == address:
                return True
        return False

    def listen(self, host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        """Let a factory of the code under test listen."""
        listening = _open(host)
        listening.bind((host, port))
        listening.listen(1024)
        return self.engine.listen(listening, factory)

    def origin(self, host: str, port: int, answer: Callable[[Any, bytes], object] | None = None) -> RealOrigin:
        """Listen, with the test as the server."""
        listener = _open(host)
        listener.bind((host, port))
        listener.listen(1024)
        bound_host, bound_port = listener.getsockname()[:2]
        origin = RealOrigin(bound_host, bound_port, listener, self, answer)
        self._parts.append(origin)
        return origin

    def dial(self, host: str, port: int, source: str | None = None) -> RealPeer:
        """Connect, with the test as the client."""
        dialler = _open(host)
        dialler.bind((source or ("::1" if ":" in host else "127.0.0.1"), 0))
        dialler.setblocking(True)
        dialler.connect((host, port))
        dialler.setblocking(False)
        peer = RealPeer(dialler, self)
        self._parts.append(peer)
        return peer

    def settle(self) -> None:
        """Take turns until nothing more happens."""
        quiet = 0
        for _ in range(_ROUNDS):
            quiet = 0 if self._turn(wait=quiet > 0) else quiet + 1
            if quiet == _QUIET:
                return
        raise AssertionError("it never became quiet")

    def _turn(self, *, wait: bool) -> bool:
        is_due = any(call.getTime() <= self.clock.seconds() for call in self.clock.calls)
        ready, _, _ = select.select([self.engine.fileno()], [], [], _WAIT_SECONDS if wait and not is_due else 0)
        self.hand.turn(0)
        moved = [each.turn() for each in list(self._parts)]
        return bool(ready) or is_due or any(moved)

    def advance(self, seconds: float) -> None:
        """Let time pass, from one delayed call to the next, and settle at each."""
        end = self.clock.seconds() + seconds
        self.settle()
        while True:
            times = [call.getTime() for call in self.clock.calls]
            if not times or min(times) > end:
                break
            self.clock.rightNow = max(min(times), self.clock.seconds())
            self.settle()
        self.clock.rightNow = end
        self.settle()

    def stop(self) -> None:
        """Close everything."""
        for each in self._parts:
            if isinstance(each, RealOrigin):
                each.stops()
            else:
                each.drop()
        if self.engine.is_running:
            self.engine.stop()
