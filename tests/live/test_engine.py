"""The engine on real sockets: protocols receive the events of Twisted's transports, and known faults do not recur."""

from __future__ import annotations

import os
import resource
import socket
import struct
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet import error, ssl
from twisted.internet import reactor as real_reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IHalfCloseableProtocol,
    IListeningPort,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
    IReadDescriptor,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from egress.transports.engine import is_supported

if not is_supported():
    raise SkipTest("this system has no epoll")

from egress.transports.descriptor_ceiling import DescriptorCeiling
from egress.transports.engine import dialler
from egress.transports.engine.engine import Engine
from egress.transports.engine.transport import Transport
from egress.transports.keepalive import set_keepalive
from tests.live import test_network_truth as truth
from tests.live.certificates import CertificateAuthority
from tests.live.test_network_truth import Dialler, HalfSide, Pair, Side, Source, Step, Story, Taker
from tests.transports.test_keepalive import options_of

_QUIET_SECONDS = 0.01
_PATIENCE_SECONDS = 3.0


def listening_socket(host: str = "127.0.0.1", backlog: int = 64) -> socket.socket:
    """Make a socket that listens on any free port."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.bind((host, 0))
    made.listen(backlog)
    return made


class DialogueTests(truth.TruthTests):
    """Both sides stand on the engine, and are told what `Network` tells, which is what Twisted's transports tell.

    The dialogues that follow here are told differently, on purpose.
    """

    def setUp(self) -> None:
        super().setUp()
        self.engine = Engine(real_reactor)
        self.engine.start()
        self.addCleanup(self.engine.stop)

    @inlineCallbacks
    def on_loopback(
        self, pair: Pair, steps: Sequence[Step], listens: bool, expected: Sequence[Story]
    ) -> Generator[Deferred[Any], Any, list[Story]]:
        """Tell the story after each step, on the engine."""
        clock = cast(IReactorTime, real_reactor)
        bound = listening_socket()
        port = bound.getsockname()[1]
        if listens:
            self.engine.listen(bound, pair.taker)
        else:
            bound.close()
        pair.start(cast(IReactorTCP, self.engine), port)
        stories = []
        for step, story in zip((lambda _: None, *steps), expected, strict=True):
            step(pair)
            deadline = clock.seconds() + _PATIENCE_SECONDS
            while pair.story() != story and clock.seconds() < deadline:
                yield deferLater(clock, 0.001)
            yield deferLater(clock, _QUIET_SECONDS)
            stories.append(pair.story())
        return stories

    @inlineCallbacks
    def hear(
        self, server: list[str], *steps: Step, client: list[str] | None = None
    ) -> Generator[Deferred[Any], Any, None]:
        """Run a dialogue, and compare what was told in the end."""
        pair = Pair(Dialler(HalfSide), Taker(HalfSide))
        self.engine.listen(bound := listening_socket(), pair.taker)
        pair.start(cast(IReactorTCP, self.engine), bound.getsockname()[1])
        for step in (lambda _: None, *steps):
            yield deferLater(cast(IReactorTime, real_reactor), _QUIET_SECONDS)
            step(pair)
        yield deferLater(cast(IReactorTime, real_reactor), _QUIET_SECONDS)
        self.assertEqual(server, pair.server.story())
        if client is not None:
            self.assertEqual(client, pair.client.story())

    def test_abort_while_paused(self) -> Deferred[None]:
        """A paused transport hears of a reset at once; Twisted's does when it next writes."""
        return self.hear(
            ["made", "lost ConnectionLost"],
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.abortConnection(),
        )

    def test_abort_after_half_close(self) -> Deferred[None]:
        """So does one that has read a FIN."""
        return self.hear(
            ["made", "eof", "lost ConnectionLost"],
            lambda p: p.client.tcp.loseWriteConnection(),
            lambda p: p.client.tcp.abortConnection(),
        )

    def test_writing_to_the_closed(self) -> Deferred[None]:
        """And one whose write was answered with a reset, before it writes again."""
        return self.hear(
            ["made", "lost ConnectionDone"],
            lambda p: p.server.tcp.loseConnection(),
            lambda p: p.client.tcp.write(b"first"),
            client=["made", "eof", "lost ConnectionLost"],
        )

    def test_abort_drops_unsent(self) -> Deferred[None]:
        """A write reaches the kernel before an abort that follows it."""
        return self.hear(
            ["made", "data sent", "lost ConnectionLost"],
            lambda p: (p.client.tcp.write(b"sent"), p.client.tcp.abortConnection()),
        )

    def test_second_half_close_after_both(self) -> Deferred[None]:
        """Asking for another half-close once both directions have ended changes nothing."""
        return self.hear(
            ["made", "eof", "own end sent"],
            lambda p: p.client.tcp.loseWriteConnection(),
            lambda p: p.server.tcp.loseWriteConnection(),
            lambda p: p.client.tcp.loseWriteConnection(),
            client=["made", "own end sent", "eof"],
        )


class EngineCase(TestCase):
    """An engine, and raw sockets that talk to it."""

    timeout = 20

    def setUp(self) -> None:
        """Start it."""
        self.begin(Engine(real_reactor))

    def begin(self, engine: Engine) -> None:
        """Start an engine, which is stopped at the test's end."""
        self.engine = engine
        engine.start()
        self.addCleanup(engine.stop)

    def rest(self, seconds: float = _QUIET_SECONDS) -> Deferred[None]:
        """Let the reactor run."""
        return deferLater(cast(IReactorTime, real_reactor), seconds)

    @inlineCallbacks
    def until(self, condition: Callable[[], object]) -> Generator[Deferred[Any], Any, None]:
        """Let the reactor run until something holds."""
        clock = cast(IReactorTime, real_reactor)
        deadline = clock.seconds() + _PATIENCE_SECONDS
        while not condition():
            self.assertLess(clock.seconds(), deadline)
            yield deferLater(clock, 0.001)

    def raw(self, address: Any) -> socket.socket:
        """Connect a plain socket."""
        made = socket.create_connection(address[:2])
        made.setblocking(False)
        self.addCleanup(made.close)
        return made

    @inlineCallbacks
    def meet(self, make: Callable[[], Side]) -> Generator[Deferred[Any], Any, tuple[socket.socket, Side]]:
        """Connect a plain socket to a protocol."""
        taker = Taker(make)
        bound = listening_socket()
        address = bound.getsockname()
        self.engine.listen(bound, taker)
        plain = self.raw(address)
        yield self.until(lambda: taker.side)
        assert taker.side is not None
        return plain, taker.side

    @inlineCallbacks
    def drain(self, plain: socket.socket, number: int) -> Generator[Deferred[Any], Any, int]:
        """Read from a plain socket until so many bytes or the end came."""
        total = 0
        while total < number:
            try:
                data = plain.recv(1 << 20)
            except BlockingIOError:
                yield self.rest(0.001)
                continue
            if not data:
                break
            total += len(data)
        return total


def reset(plain: socket.socket) -> None:
    """Close a plain socket with a reset."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


class Sharp(HalfSide):
    """Does something when bytes come."""

    def __init__(self, does: Callable[[Sharp], None]) -> None:
        super().__init__()
        self.does = does

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.does(self)


class FaultTests(EngineCase):
    """The faults that engines like this one have had."""

    @inlineCallbacks
    def test_end_is_read_once(self) -> Generator[Deferred[Any], Any, None]:
        """A hang-up after the FIN neither ends the input again nor cuts the output short."""
        plain, side = yield self.meet(HalfSide)
        plain.shutdown(socket.SHUT_WR)
        yield self.until(lambda: "eof" in side.told)
        side.tcp.write(b"x" * 5_000_000)
        side.tcp.loseWriteConnection()

        self.assertEqual(5_000_000, (yield self.drain(plain, 6_000_000)))
        yield self.rest()
        self.assertEqual(["made", "eof", "own end sent"], side.story())

    @inlineCallbacks
    def test_half_close_of_one_object(self) -> Generator[Deferred[Any], Any, None]:
        """Not only a class can want to hear of half-closes, but also one of its objects."""

        class Plain(Side):
            def readConnectionLost(self) -> None:
                self.note("eof")

            def writeConnectionLost(self) -> None:
                self.note("own end sent")

        plain, side = yield self.meet(Plain)
        other, half = yield self.meet(Plain)
        directlyProvides(half, IHalfCloseableProtocol)
        for each in (plain, other):
            each.shutdown(socket.SHUT_WR)
        yield self.until(lambda: len(side.told) > 1 and len(half.told) > 1)
        half.tcp.loseWriteConnection()
        yield self.rest()

        self.assertEqual(["made", "lost ConnectionDone"], side.story())
        self.assertEqual(["made", "eof", "own end sent"], half.story())

    @inlineCallbacks
    def test_failed_shutdown(self) -> Generator[Deferred[Any], Any, None]:
        """A FIN that nobody can take is no reason to drop what waits to be read."""
        plain, side = yield self.meet(HalfSide)
        side.tcp.pauseProducing()
        plain.send(b"before")
        reset(plain)
        yield self.rest()
        side.tcp.loseWriteConnection()
        yield self.rest()
        side.tcp.resumeProducing()
        yield self.rest()

        self.assertEqual(["made", "own end sent", "data before", "lost ConnectionLost"], side.story())

    @inlineCallbacks
    def test_descriptor_is_not_reused_within_a_turn(self) -> Generator[Deferred[Any], Any, None]:
        """An event fetched before a close never meets the next owner of the number."""
        sides: list[Sharp] = []
        numbers: list[tuple[int, int]] = []

        def close_the_other(side: Sharp) -> None:
            (other,) = (each for each in sides if each is not side)
            old = other.tcp.getHandle().fileno()
            other.tcp.loseWriteConnection()
            cast(Transport, other.tcp).lost(connectionDone)
            with socket.socket() as fresh:
                numbers.append((old, fresh.fileno()))

        def make() -> Sharp:
            sides.append(Sharp(close_the_other))
            return sides[-1]

        bound = listening_socket()
        address = bound.getsockname()
        self.engine.listen(bound, Taker(make))
        plains = [self.raw(address), self.raw(address)]
        yield self.until(lambda: len(sides) == 2)
        for plain in plains:
            plain.send(b"now")
        yield self.until(lambda: numbers)
        yield self.rest()

        ((old, fresh),) = numbers
        self.assertNotEqual(old, fresh)
        self.assertEqual(1, sum("data now" in each.story() for each in sides))
        self.assertRaises(OSError, os.fstat, old)

    @inlineCallbacks
    def test_early_bytes_and_end(self) -> Generator[Deferred[Any], Any, None]:
        """What comes while nobody reads is kept, and its end too."""
        plain, side = yield self.meet(HalfSide)
        side.tcp.pauseProducing()
        plain.send(b"early")
        plain.shutdown(socket.SHUT_WR)
        yield self.rest()
        self.assertEqual(["made"], side.story())

        side.tcp.resumeProducing()
        yield self.rest()
        self.assertEqual(["made", "data early", "eof"], side.story())

    @inlineCallbacks
    def test_exception(self) -> Generator[Deferred[Any], Any, None]:
        """A protocol that raises loses its own connection and nobody else's."""
        plain, side = yield self.meet(Side)
        other, kept = yield self.meet(Side)
        plain.send(b"break")
        other.send(b"hello")
        yield self.until(lambda: kept.data)
        yield self.until(lambda: len(side.told) > 1)

        self.assertEqual("lost ZeroDivisionError", side.told[-1])
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        other.send(b"again")
        yield self.until(lambda: bytes(kept.data) == b"helloagain")

    @inlineCallbacks
    def test_exceptions_at_the_end(self) -> Generator[Deferred[Any], Any, None]:
        """The same holds for what is called at a connection's end, and at its beginning."""

        class Ends(Side):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                raise ZeroDivisionError

        class Begins(Side):
            def connectionMade(self) -> None:
                super().connectionMade()
                raise ZeroDivisionError

        plain, side = yield self.meet(Ends)
        plain.close()
        yield self.until(lambda: len(side.told) > 1)
        _, failed = yield self.meet(Begins)
        yield self.until(lambda: len(failed.told) > 1)
        _, fine = yield self.meet(Side)

        self.assertEqual(["made", "lost ZeroDivisionError"], failed.story())
        self.assertEqual(["made"], fine.story())
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    @inlineCallbacks
    def test_event_after_close(self) -> Generator[Deferred[Any], Any, None]:
        """What comes after the end is heard by nobody, and nothing can be done to the transport any more."""
        plain, side = yield self.meet(lambda: Sharp(lambda each: each.tcp.abortConnection()))
        transport = side.tcp
        plain.send(b"x")
        plain.close()
        yield self.until(lambda: not transport.connected)
        for act in (
            transport.loseConnection,
            transport.loseWriteConnection,
            transport.abortConnection,
            transport.pauseProducing,
            transport.resumeProducing,
            transport.stopProducing,
            transport.unregisterProducer,
        ):
            act()
        transport.write(b"late")
        transport.writeSequence([b"later"])
        yield self.rest()

        self.assertEqual(["made", "data x", "lost ConnectionAborted"], side.story())

    @inlineCallbacks
    def test_budget(self) -> Generator[Deferred[Any], Any, None]:
        """When too much waits for slow readers, everybody reads little at a time; it ends when they have read."""
        self.begin(Engine(real_reactor, budget_bytes=1_000_000))
        plain, side = yield self.meet(Side)
        source = Source(side)
        side.tcp.registerProducer(source, True)
        side.tcp.write(b"x" * 20_000_000)
        span, high = self.engine.read_bytes, self.engine.high_watermark

        self.assertEqual((4096, 0), (span, high))
        self.assertGreater(self.engine.buffered, 1_000_000)
        self.assertEqual(20_000_000, (yield self.drain(plain, 20_000_000)))
        self.assertEqual(
            (0, 65_536, 65_536), (self.engine.buffered, self.engine.read_bytes, self.engine.high_watermark)
        )
        side.tcp.write(b"x" * 20_000_000)
        reset(plain)
        yield self.until(lambda: not side.tcp.connected)
        self.assertEqual(0, self.engine.buffered)

    @inlineCallbacks
    def test_reserved_descriptors(self) -> Generator[Deferred[Any], Any, None]:
        """At the ceiling no connection is accepted or dialled: clients wait, and a dial fails."""
        ceiling = DescriptorCeiling()
        self.begin(Engine(real_reactor, ceiling=ceiling))
        sides: list[Side] = []
        bound = listening_socket()
        clients = [socket.create_connection(bound.getsockname()) for _ in range(3)]
        for client in clients:
            self.addCleanup(client.close)
        lowest = os.dup(bound.fileno())
        os.close(lowest)
        ceiling.set(lowest + 1)

        def make() -> Side:
            sides.append(Side())
            return sides[-1]

        port = self.engine.listen(bound, Taker(make))
        dialler = Dialler(Side)
        yield self.until(lambda: port.pauses)
        self.engine.connectTCP("127.0.0.1", bound.getsockname()[1], dialler)
        yield self.until(lambda: "stop" in dialler.told)

        self.assertEqual(1, len(sides))
        self.assertEqual(["start", "connecting", "failed ConnectBindError", "stop"], dialler.told)
        ceiling.set(None)
        yield self.until(lambda: len(sides) == 3)

    @inlineCallbacks
    def test_write_never_tells_of_a_loss(self) -> Generator[Deferred[Any], Any, None]:
        """A write that fails returns before the protocol hears of it; what came before the reset is read first."""
        plain, side = yield self.meet(HalfSide)
        side.tcp.pauseProducing()
        plain.send(b"answer")
        reset(plain)
        yield self.rest()
        side.tcp.resumeProducing()
        side.tcp.write(b"question")
        side.tcp.write(b"question")
        self.assertEqual(["made"], side.story())
        yield self.rest()

        self.assertEqual(["made", "data answer", "lost ConnectionLost"], side.story())

    @inlineCallbacks
    def test_turns(self) -> Generator[Deferred[Any], Any, None]:
        """One connection with much to read does not keep another waiting until all is read."""
        seen: list[int] = []
        loud, much = yield self.meet(Side)
        soft, little = yield self.meet(lambda: Sharp(lambda _: seen.append(len(much.data))))
        for each in (much, little):
            each.tcp.pauseProducing()
        total = 0
        block = b"x" * 100_000
        try:
            while total < 40_000_000:
                total += loud.send(block)
                if total % 1_000_000 < 100_000:
                    yield self.rest(0)
        except BlockingIOError:
            pass
        soft.send(b"x")
        yield self.rest()
        for each in (much, little):
            each.tcp.resumeProducing()
        yield self.until(lambda: seen)

        self.assertLess(seen[0], total)
        yield self.until(lambda: len(much.data) == total)


class PortTests(EngineCase):
    """Listening."""

    @inlineCallbacks
    def test_out_of_descriptors(self) -> Generator[Deferred[Any], Any, None]:
        """A listener that has no descriptor left says so once, and serves those who waited when there is one."""
        said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: dict[str, Any]) -> None:
            if event.get("log_namespace") == "egress.transports.accept_backoff":
                said.append(str(event["log_format"]))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        sides: list[Side] = []

        def make() -> Side:
            sides.append(Side())
            return sides[-1]

        bound = listening_socket()
        address = bound.getsockname()
        plains = [self.raw(address) for _ in range(3)]
        yield self.rest()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        # accept(2) gives the lowest free number, which this makes too high.
        with open(os.devnull, "rb") as lowest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
        self.engine.listen(bound, Taker(make))
        yield self.rest(0.25)
        self.assertEqual([], sides)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        yield self.until(lambda: len(sides) == len(plains))

        self.assertEqual(1, len(said))
        self.assertIn("no more connections can be accepted", said[0])

    @inlineCallbacks
    def test_accepted(self) -> Generator[Deferred[Any], Any, None]:
        """A factory that can do without Twisted's description of an address is given the kernel's."""
        peers: list[Any] = []

        class Curt(Taker):
            def accepted(self, peer: Any) -> Side | None:
                peers.append(peer)
                return self.buildProtocol(None) if len(peers) > 1 else None

        for host, rest in (("127.0.0.1", ()), ("::1", (0, 0))):
            taker = Curt(Side)
            bound = listening_socket(host)
            address = bound.getsockname()
            self.engine.listen(bound, taker)
            refused = self.raw(address)
            yield self.until(lambda: peers)
            plain = self.raw(address)
            yield self.until(lambda taker=taker: taker.side)  # type: ignore[misc]

            self.assertEqual([each.getsockname()[:2] + rest for each in (refused, plain)], peers)
            self.assertEqual(b"", refused.recv(1))
            assert taker.side is not None
            self.assertEqual((host, plain.getsockname()[1]), (taker.side.tcp.getPeer().host, peers[1][1]))
            peers.clear()

    @inlineCallbacks
    def test_stop_listening(self) -> Generator[Deferred[Any], Any, None]:
        """A port that is closed takes nobody; who was taken stays."""
        taker = Taker(Side)
        bound = listening_socket()
        address = bound.getsockname()
        port = self.engine.listen(bound, taker)
        self.assertTrue(verifyObject(IListeningPort, port))
        self.assertEqual(IPv4Address("TCP", *address), port.getHost())
        plain = self.raw(address)
        yield self.until(lambda: taker.side)
        for _ in range(2):
            yield cast(Deferred[Any], port.stopListening())

        self.assertRaises(ConnectionRefusedError, socket.create_connection, address)
        plain.send(b"still here")
        assert taker.side is not None
        yield self.until(taker.side.data.__len__)

    @inlineCallbacks
    def test_stop(self) -> Generator[Deferred[Any], Any, None]:
        """Stopping sends what was closed in order, resets the rest and tells every protocol."""
        plain, side = yield self.meet(Side)
        other, closed = yield self.meet(Side)
        closed.tcp.write(b"bye")
        closed.tcp.loseConnection()
        self.engine.stop()
        self.engine.stop()

        self.assertEqual(["made", "lost ConnectionAborted"], side.story())
        self.assertEqual(["made", "lost ConnectionDone"], closed.story())
        yield self.rest()
        self.assertRaises(ConnectionResetError, plain.recv, 1)
        self.assertEqual((b"bye", b""), (other.recv(9), other.recv(9)))
        self.assertRaises(RuntimeError, self.engine.listen, listening_socket(), Taker(Side))


class Watched(Pair):
    """A pair that says how far it is."""

    def is_met(self) -> bool:
        """Both sides are there."""
        return self.dialler.side is not None and self.taker.side is not None

    def is_over(self) -> bool:
        """The factory has been told of everything."""
        return self.dialler.told[-1] == "stop"


class ConnectorTests(EngineCase):
    """Dialling."""

    @inlineCallbacks
    def test_interfaces(self) -> Generator[Deferred[Any], Any, None]:
        """Everything provides what it says, over IPv6 as well."""
        for host in ("127.0.0.1", "::1"):
            bound = listening_socket(host)
            pair = Watched(Dialler(HalfSide), Taker(HalfSide))
            address = bound.getsockname()
            self.engine.listen(bound, pair.taker)
            connector = self.engine.connectTCP(host, address[1], pair.dialler)
            yield self.until(pair.is_met)
            client, server = pair.client.tcp, pair.server.tcp
            kind = IPv6Address if ":" in host else IPv4Address
            there = kind("TCP", *address)

            self.assertTrue(verifyObject(IReadDescriptor, self.engine))
            self.assertTrue(verifyObject(IConnector, connector))
            for each in (client, server):
                for interface in (ITCPTransport, IConsumer, IPushProducer, ISystemHandle):
                    self.assertTrue(verifyObject(interface, each))
                self.assertTrue(each.getTcpNoDelay())
                self.assertFalse(each.getTcpKeepAlive())
                each.setTcpKeepAlive(True)
                each.setTcpNoDelay(False)
                self.assertEqual((True, False), (each.getTcpKeepAlive(), each.getTcpNoDelay()))
            self.assertEqual((there, there, there), (client.getPeer(), server.getHost(), connector.getDestination()))
            self.assertEqual(client.getHost(), server.getPeer())
            self.assertRaises(RuntimeError, connector.connect)
            self.assertRaises(error.NotConnectingError, connector.stopConnecting)
            connector.disconnect()
            yield self.until(pair.is_over)

    def test_literals_only(self) -> None:
        """A name is never looked up here."""
        for host in ("localhost", "127.1", "", "1.2.3.4.5", "::1%", "example.org", "2130706433"):
            self.assertRaises(ValueError, self.engine.connectTCP, host, 80, Dialler(Side))
        for port in (0, -1, 65_536):
            self.assertRaises(ValueError, self.engine.connectTCP, "127.0.0.1", port, Dialler(Side))

    @inlineCallbacks
    def test_timeout(self) -> Generator[Deferred[Any], Any, None]:
        """An attempt that nobody answers is given up in time."""
        bound = listening_socket(backlog=0)
        self.addCleanup(bound.close)
        address = bound.getsockname()
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
            self.addCleanup(filler.close)
        dialler = Dialler(Side)
        self.engine.connectTCP(address[0], address[1], dialler, timeout=0.1)
        yield self.until(lambda: "stop" in dialler.told)

        self.assertEqual(["start", "connecting", "failed TimeoutError", "stop"], dialler.told)

    @inlineCallbacks
    def test_failures_come_later(self) -> Generator[Deferred[Any], Any, None]:
        """An attempt that fails at once, or cannot begin, is told of after `connectTCP` has returned."""
        dialler, bound = Dialler(Side), Dialler(Side)
        self.engine.connectTCP("255.255.255.255", 80, dialler)
        self.engine.connectTCP("127.0.0.1", 80, bound, bindAddress=("192.0.2.1", 0))
        self.assertEqual(["start", "connecting"], dialler.told)
        yield self.until(lambda: "stop" in dialler.told and "stop" in bound.told)

        self.assertEqual("failed ConnectBindError", bound.told[2])
        self.assertEqual(4, len(dialler.told))

    @inlineCallbacks
    def test_again(self) -> Generator[Deferred[Any], Any, None]:
        """A factory may try again when it is told of a failure, and stop before it is answered."""
        closed = listening_socket()
        address = closed.getsockname()
        closed.close()

        class Stubborn(Dialler):
            def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
                super().clientConnectionFailed(connector, reason)
                if len(self.told) < 5:
                    connector.connect()
                    connector.stopConnecting()

        dialler = Stubborn(Side)
        self.engine.connectTCP(address[0], address[1], dialler)
        yield self.until(lambda: "stop" in dialler.told)

        self.assertEqual(
            ["start", "connecting", "failed ConnectionRefusedError", "connecting", "failed UserError", "stop"],
            dialler.told,
        )

    @inlineCallbacks
    def test_keepalive(self) -> Generator[Deferred[Any], Any, None]:
        """Accepted connections are probed as their listening socket says, dialled ones once they live for some time."""
        self.patch(dialler, "_LATEST_SECONDS", 0.1)
        for seconds in (7, 0):
            pair, gone = Pair(Dialler(Side), Taker(Side)), Pair(Dialler(Side), Taker(Side))
            bound = listening_socket()
            set_keepalive(bound, seconds)
            address = bound.getsockname()
            self.engine.listen(bound, pair.taker)
            other = listening_socket()
            self.engine.listen(other, gone.taker)
            by_engine = dialler.EngineDialler(self.engine, seconds)
            by_engine.connectTCP(address[0], address[1], pair.dialler)
            by_engine.connectTCP(address[0], other.getsockname()[1], gone.dialler)
            yield self.until(lambda: pair.taker.side and pair.dialler.side and gone.dialler.side)  # noqa: B023
            gone.client.tcp.abortConnection()
            accepted, dialled = (each.tcp.getHandle() for each in (pair.server, pair.client))

            self.assertEqual((0, seconds), (options_of(dialled)[0], options_of(accepted)[1] if seconds else 0))
            yield self.rest(0.2)
            for connection in (accepted, dialled):
                is_kept, idle, _, _ = options_of(connection)
                self.assertEqual((bool(seconds), seconds), (bool(is_kept), idle if is_kept else 0))

    @inlineCallbacks
    def test_release(self) -> Generator[Deferred[Any], Any, None]:
        """A factory whose connection is released has stopped, and hears no more; the connection goes on."""
        bound = listening_socket()
        pair = Watched(Dialler(HalfSide), Taker(HalfSide))
        self.engine.listen(bound, pair.taker)
        connector = self.engine.connectTCP("127.0.0.1", bound.getsockname()[1], pair.dialler)
        yield self.until(pair.is_met)
        cast(Transport, pair.client.tcp).release()
        cast(Transport, pair.client.tcp).release()
        self.assertRaises(RuntimeError, connector.connect)
        pair.client.tcp.write(b"still")
        yield self.until(lambda: pair.server.data)
        pair.client.tcp.loseConnection()
        yield self.until(lambda: "lost ConnectionDone" in pair.client.told)

        self.assertEqual(["start", "connecting", "build", "stop"], pair.dialler.told)


class TlsTests(EngineCase):
    """Twisted's TLS runs on it, on both sides."""

    @inlineCallbacks
    def test_dialogue(self) -> Generator[Deferred[Any], Any, None]:
        """Bytes go both ways, more than fit in any buffer, and the end is orderly."""
        directory = Path(self.mktemp())
        directory.mkdir()
        authority = CertificateAuthority(directory)
        own = ssl.PrivateCertificate.loadPEM(authority.chain.read_bytes())
        trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(authority.path.read_bytes())])
        dialler, taker = Dialler(Side), Taker(Side)
        bound = listening_socket()
        address = bound.getsockname()
        self.engine.listen(bound, TLSMemoryBIOFactory(own.options(), False, taker))
        secure = TLSMemoryBIOFactory(ssl.optionsForClientTLS("localhost", trust), True, dialler)
        self.engine.connectTCP(address[0], address[1], cast("ClientFactory[Any]", secure))
        yield self.until(lambda: dialler.side and taker.side)
        client, server = dialler.side, taker.side
        assert client is not None and server is not None
        client.tcp.write(b"question")
        yield self.until(lambda: bytes(server.data) == b"question")
        server.tcp.write(b"x" * 3_000_000)
        server.tcp.loseConnection()
        yield self.until(lambda: "lost ConnectionDone" in client.told and "lost ConnectionDone" in server.told)

        self.assertEqual(["made", "data 3000000 bytes", "lost ConnectionDone"], client.told)
