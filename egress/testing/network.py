"""A network in memory: runs whole dialogues without sockets, threads, sleeps or randomness."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from attrs import define
from twisted.internet import error
from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from egress.testing.datagrams import DatagramServer
from egress.testing.kernel import Kernel
from egress.testing.peers import NetworkPeer, Origin
from egress.testing.reactor import NetworkReactor
from egress.testing.sockets import family_of, literal


@define(eq=False, init=False)
class Network:
    """Hosts, the connections between them, and a clock that only the test advances.

    `settle` moves bytes and events until none are left. `advance` advances the clock. Code under test uses `reactor`.
    The test creates its own ends with `dial` and `origin`. Hosts are address literals. An address and port without a
    listener refuse connections.

    Attributes:
        clock: the clock.
        reactor: IReactorTCP, IReactorTime and IReactorFDSet for the code under test.
    """

    clock: Clock
    reactor: NetworkReactor
    _kernel: Kernel
    _raised: int
    _is_settling: bool

    def __init__(self, clock: Clock | None = None, *, window_bytes: int = 65536, segment_bytes: int = 1460) -> None:
        """Make an empty network.

        Args:
            clock: a shared clock; by default a new clock.
            window_bytes: the number of bytes that each direction of a connection holds until its receiver reads.
            segment_bytes: the largest number of bytes of one ``dataReceived`` call; 1 delivers every byte separately.
        """
        self.clock = Clock() if clock is None else clock
        self._kernel = Kernel(self.clock, window_bytes, segment_bytes)
        self.reactor = NetworkReactor(self._kernel)
        self._raised = 0
        self._is_settling = False

    @property
    def window_bytes(self) -> int:
        """Number of bytes that each direction of a connection holds until its receiver reads."""
        return self._kernel.window_bytes

    @window_bytes.setter
    def window_bytes(self, size: int) -> None:
        self._kernel.window_bytes = size

    @property
    def segment_bytes(self) -> int:
        """Greatest number of bytes in one ``dataReceived`` call."""
        return self._kernel.segment_bytes

    @segment_bytes.setter
    def segment_bytes(self, size: int) -> None:
        self._kernel.segment_bytes = size

    @property
    def failures(self) -> list[Failure]:
        """Exceptions that escaped from protocols and delayed calls; `settle` raises the first one."""
        return self.reactor.failures

    @property
    def dialled(self) -> list[tuple[str, int]]:
        """Every connection attempt of the code under test, in order."""
        return self.reactor.dialled

    def listen(self, host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        """Listen with a factory of the code under test.

        Args:
            host: address literal; "" is every IPv4 and "::" every IPv6 loopback address.
            port: port; 0 chooses one.
            factory: builds the protocols.
        """
        return self.reactor.listenTCP(port, cast(ServerFactory, factory), interface=host)

    def origin(self, host: str, port: int, answer: Callable[[NetworkPeer, bytes], object] | None = None) -> Origin:
        """Listen with the test as the server.

        Args:
            host: an address literal.
            port: the port.
            answer: called with the connection and the bytes whenever bytes arrive.
        """
        listener = self._kernel.socket(family_of(literal(host)), is_of_test=True)
        listener.bind((host, port))
        listener.listen(0)
        return Origin(*listener.local, listener, answer)

    def datagrams(self, host: str, port: int, answer: Callable[[bytes], bytes | None] | None = None) -> DatagramServer:
        """Serve UDP, with the test as the server.

        Args:
            host: an address literal.
            port: the port.
            answer: called with each datagram; gives the answer, or None for none.
        """
        server = DatagramServer(literal(host), port, answer)
        self._kernel.datagram_servers[server.host, port] = server
        return server

    def dial(self, host: str, port: int, source: str | None = None) -> NetworkPeer:
        """Connect with the test as the client. The connection exists at once; the listener accepts it at `settle`.

        Args:
            host: an address literal.
            port: the port.
            source: source address; by default the loopback address.

        Raises:
            ConnectionRefusedError: the address and port have no listener. The class is Twisted's.
        """
        host = literal(host)
        family = family_of(host)
        dialler = self._kernel.socket(family, is_of_test=True)
        dialler.bind((source or ("::1" if ":" in host else "127.0.0.1"), 0))
        if self._kernel.listener_at(host, port) is None:
            dialler.close()
            raise error.ConnectionRefusedError(string=f"nothing listens on {host} port {port}")
        self._kernel.handshake(dialler, host, port)
        return NetworkPeer(dialler)

    def blackhole(self, host: str, port: int | None = None) -> None:
        """Drop connection attempts, which neither succeed nor fail, and datagrams.

        Args:
            host: an address literal.
            port: port; None is every port.
        """
        self._kernel.blackholes.add((literal(host), port))

    def unreachable(self, host: str) -> None:
        """Make a host unreachable."""
        self._kernel.unreachable.add(literal(host))

    def delay(self, host: str, seconds: float) -> None:
        """Delay TCP handshakes with a host, on the clock."""
        self._kernel.delays[literal(host)] = seconds

    def settle(self, limit: int = 100_000) -> None:
        """Move bytes and run calls that are due, until none are left.

        Args:
            limit: greatest number of events.

        Raises:
            AssertionError: there were more events than the limit.
            Exception: the first exception that escaped from a protocol or a delayed call.
        """
        if self._is_settling:
            raise AssertionError("settle was called from inside settle")
        self._is_settling = True
        try:
            self._run(limit)
        finally:
            self._is_settling = False
        self._raise_failures()

    def advance(self, seconds: float) -> None:
        """Advance the clock, from one delayed call to the next, and settle at each."""
        end = self.clock.seconds() + seconds
        self.settle()
        while True:
            call = self._next_call()
            if call is None or call.getTime() > end:
                break
            self.clock.rightNow = max(call.getTime(), self.clock.seconds())
            self.settle()
        self.clock.rightNow = end
        self.settle()

    def open_links(self) -> int:
        """Count the open connections and connection attempts of the code under test."""
        count = 0
        for each in self._kernel.streams():
            other = each.other
            is_counted_at_other = (
                other is not None
                and not other.is_of_test
                and not other.is_closed
                and other.descriptor < each.descriptor
            )
            count += not is_counted_at_other
        return count

    def buffered_bytes(self) -> int:
        """Count the bytes that wait in open connections: written but not sent, and sent but not read."""
        return sum(len(each.inbox) for each in self._kernel.sockets.values()) + self.reactor.unsent_bytes()

    def assert_quiet(self, *expected: IDelayedCall) -> None:
        """Assert that no connection and no unexpected delayed call is left.

        Args:
            expected: delayed calls that may remain.

        Raises:
            AssertionError: a connection is open, or another delayed call waits.
        """
        left = [f"{each.local} to {each.remote}" for each in self._kernel.streams()]
        waiting = [str(call) for call in self.clock.getDelayedCalls() if call not in expected]
        if left or waiting:
            raise AssertionError(f"open connections: {left or 'none'}; delayed calls: {waiting or 'none'}")

    def _run(self, limit: int) -> None:
        for _ in range(limit):
            if self._run_due_call():
                continue
            while not self._kernel.is_idle:
                if self._kernel.turn():
                    break
            else:
                return
        raise AssertionError(f"still busy after {limit} events; the last failures: {self.failures[-3:]}")

    def _next_call(self) -> DelayedCall | None:
        # Clock.calls is sorted when a call is added, but not when one is moved by `reset` or `delay`.
        return min(self.clock.calls, key=DelayedCall.getTime, default=None)

    def _run_due_call(self) -> bool:
        # Not `Clock.advance(0)`: it never ends when a call schedules itself again, and stops at the first exception.
        call = self._next_call()
        if call is None or call.getTime() > self.clock.seconds():
            return False
        self.clock.calls.remove(call)
        call.called = 1
        try:
            call.func(*call.args, **call.kw)
        except Exception:
            self.reactor.record_failure()
        return True

    def _raise_failures(self) -> None:
        fresh = self.failures[self._raised :]
        self._raised = len(self.failures)
        if fresh:
            fresh[0].raiseException()
