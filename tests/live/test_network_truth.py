"""Protocols on the in-memory network receive the events of real sockets.

Each dialogue runs twice: over loopback with the real reactor, and over `Network`. What each side was told must be the
same, in the same order. How the two sides interleave, and how bytes are cut into pieces, is left to chance by TCP and
is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

from attrs import define, field
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import (
    IConnector,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface import implementer

from egress.testing.network import Network
from egress.transports.adapt import adapt

_QUIET_SECONDS = 0.01
_PATIENCE_SECONDS = 3.0


class Side(Protocol):
    """Writes down what it is told, and knows no half-close."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = bytearray()

    @property
    def tcp(self) -> Connection:
        """Its transport."""
        return cast(Connection, self.transport)

    def note(self, what: str) -> None:
        """Write something down."""
        self.told = [*self.story(), what]
        self.data.clear()

    def story(self) -> list[str]:
        """What it was told so far. Bytes are joined, however they were cut."""
        if not self.data:
            return list(self.told)
        shown = self.data.decode() if len(self.data) < 100 else f"{len(self.data)} bytes"
        return [*self.told, f"data {shown}"]

    def look(self) -> bool:
        """Write down whether nothing has come that was not read, and how the other side has ended."""
        stream = adapt(self.tcp)
        is_quiet, end = stream.is_quiet(), stream.find_end()
        self.note(f"{'quiet' if is_quiet else 'not quiet'}, {end}")
        return is_quiet

    def connectionMade(self) -> None:
        self.note("made")

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if data == b"break":
            raise ZeroDivisionError

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.note(f"lost {type(reason.value).__name__}")


@implementer(IHalfCloseableProtocol)
class HalfSide(Side):
    """The same, and half-close."""

    def readConnectionLost(self) -> None:
        self.note("eof")

    def writeConnectionLost(self) -> None:
        self.note("own end sent")


Story = dict[str, list[str]]


@implementer(IPushProducer)
@define(eq=False)
class Source:
    """A producer that writes down what it is told."""

    side: Side

    def pauseProducing(self) -> None:
        """Note it."""
        self.side.note("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.side.note("resume")

    def stopProducing(self) -> None:
        """Note it."""
        self.side.note("stop")


class Dialler(ClientFactory[Side]):
    """Builds one side, and writes down what becomes of the attempt."""

    noisy = False

    def __init__(self, make: Callable[[], Side | None]) -> None:
        self.make = make
        self.told: list[str] = []
        self.side: Side | None = None

    def doStart(self) -> None:
        self.told.append("start")

    def doStop(self) -> None:
        self.told.append("stop")

    def startedConnecting(self, connector: IConnector) -> None:
        self.told.append("connecting")

    def buildProtocol(self, addr: object) -> Side | None:
        self.told.append("build")
        self.side = self.make()
        return self.side

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.told.append(f"failed {type(reason.value).__name__}")

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        self.told.append(f"lost {type(reason.value).__name__}")


class Taker(Factory[Side]):
    """Builds the other side."""

    noisy = False

    def __init__(self, make: Callable[[], Side | None]) -> None:
        self.make = make
        self.side: Side | None = None

    def buildProtocol(self, addr: object) -> Side | None:
        self.side = self.make()
        return self.side


@define
class Pair:
    """Both sides of one dialogue."""

    dialler: Dialler
    taker: Taker
    connector: IConnector = field(init=False)

    @property
    def client(self) -> Side:
        """The side that dialled."""
        assert self.dialler.side is not None
        return self.dialler.side

    @property
    def server(self) -> Side:
        """The side that was dialled."""
        assert self.taker.side is not None
        return self.taker.side

    def start(self, reactor: IReactorTCP, port: int) -> None:
        """Dial."""
        self.connector = reactor.connectTCP("127.0.0.1", port, self.dialler)

    def story(self) -> Story:
        """What everybody was told so far."""
        told = {"factory": list(self.dialler.told)}
        for name, side in (("client", self.dialler.side), ("server", self.taker.side)):
            if side is not None:
                told[name] = side.story()
        return told


Step = Callable[[Pair], object]


class TruthTests(TestCase):
    """Real sockets and simulated ones tell the same story."""

    timeout = 60

    def setUp(self) -> None:
        """The comparison is with the epoll reactor: others differ in what they tell of a reset."""
        if not isinstance(real_reactor, EPollReactor):
            raise SkipTest("the reactor is not the epoll reactor")

    @inlineCallbacks
    def same_story(
        self,
        *steps: Step,
        client: Callable[[], Side | None] = HalfSide,
        server: Callable[[], Side | None] = HalfSide,
        listens: bool = True,
        expected_error: type[Exception] | None = None,
    ) -> Generator[Deferred[Any], Any, None]:
        """Run a dialogue on both networks and compare after each step.

        Args:
            steps: what the sides do; after each, everything that follows from it happens.
            client: makes the protocol that dials.
            server: makes the one that is dialled.
            listens: False lets the client dial a port where nobody listens.
            expected_error: what a protocol raises in the last step.
        """
        simulated = self.in_memory(Pair(Dialler(client), Taker(server)), steps, listens, expected_error)
        truth = yield self.on_loopback(Pair(Dialler(client), Taker(server)), steps, listens, simulated)
        if expected_error is not None:
            self.assertEqual(len(self.flushLoggedErrors(expected_error)), 1)
        self.assertEqual(simulated, truth)

    def in_memory(
        self, pair: Pair, steps: Sequence[Step], listens: bool, expected_error: type[Exception] | None
    ) -> list[Story]:
        """Tell the story after each step, on the in-memory network."""
        network = Network()
        if listens:
            network.listen("127.0.0.1", 1000, pair.taker)
        pair.start(network.reactor, 1000)
        network.settle()
        stories = [pair.story()]
        for step in steps:
            step(pair)
            if expected_error is not None and step is steps[-1]:
                self.assertRaises(expected_error, network.settle)
            network.settle()
            stories.append(pair.story())
        return stories

    @inlineCallbacks
    def on_loopback(
        self, pair: Pair, steps: Sequence[Step], listens: bool, expected: Sequence[Story]
    ) -> Generator[Deferred[Any], Any, list[Story]]:
        """Tell the story after each step, on real sockets."""
        reactor = cast(IReactorTCP, real_reactor)
        clock = cast(IReactorTime, real_reactor)
        listening = cast(Any, reactor).listenTCP(0, pair.taker, interface="127.0.0.1")
        port: int = listening.getHost().port
        if not listens:
            yield listening.stopListening()
        pair.start(reactor, port)
        stories = []
        for step, story in zip((lambda _: None, *steps), expected, strict=True):
            step(pair)
            deadline = clock.seconds() + _PATIENCE_SECONDS
            while pair.story() != story and clock.seconds() < deadline:
                yield deferLater(clock, 0.001)
            # What is not expected has its chance to come, too.
            yield deferLater(clock, _QUIET_SECONDS)
            stories.append(pair.story())
        for side in (pair.dialler.side, pair.taker.side):
            if side is not None and side.transport is not None and side.tcp.connected:
                side.tcp.abortConnection()
        if listens:
            yield listening.stopListening()
        yield deferLater(clock, _QUIET_SECONDS)
        return stories

    def test_look_at_octets(self) -> Deferred[None]:
        """A look tells of octets that were not read, and only of those."""
        return self.same_story(
            lambda p: p.server.look(),
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.write(b"x"),
            lambda p: (p.server.look(), p.server.look()),
            lambda p: p.server.tcp.resumeProducing(),
            lambda p: p.server.look(),
        )

    def test_look_at_an_end(self) -> Deferred[None]:
        """A look tells of a FIN before it is read, and after."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.loseWriteConnection(),
            lambda p: p.server.look(),
            lambda p: p.server.tcp.resumeProducing(),
            lambda p: p.server.look(),
        )

    def test_look_behind_octets(self) -> Deferred[None]:
        """A look tells of a FIN behind octets that were not read."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: (p.client.tcp.write(b"x"), p.client.tcp.loseWriteConnection()),
            lambda p: p.server.look(),
        )

    def test_look_at_a_reset_behind_octets(self) -> Deferred[None]:
        """And of a reset."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.write(b"x"),
            lambda p: p.client.tcp.abortConnection(),
            lambda p: p.server.look(),
        )

    def test_look_at_a_close(self) -> Deferred[None]:
        """A look tells that the own side is closing."""
        return self.same_story(
            lambda p: (p.server.tcp.loseConnection(), p.server.look()),
            lambda p: p.server.look(),
        )

    def test_client_half_closes(self) -> Deferred[None]:
        """A FIN follows the data before it, and the other direction stays open."""
        return self.same_story(
            lambda p: (p.client.tcp.write(b"question"), p.client.tcp.loseWriteConnection()),
            lambda p: p.server.tcp.write(b"answer"),
            lambda p: p.server.tcp.loseConnection(),
            lambda p: p.client.tcp.loseConnection(),
        )

    def test_server_half_closes(self) -> Deferred[None]:
        """A server may be the first to end."""
        return self.same_story(
            lambda p: (p.server.tcp.write(b"greeting"), p.server.tcp.loseWriteConnection()),
            lambda p: p.client.tcp.write(b"late"),
            lambda p: p.client.tcp.loseConnection(),
        )

    def test_both_half_close(self) -> Deferred[None]:
        """Two half-closes leave both transports connected until they are told to close."""
        return self.same_story(
            lambda p: p.client.tcp.loseWriteConnection(),
            lambda p: p.server.tcp.loseWriteConnection(),
            lambda p: p.server.tcp.loseConnection(),
            lambda p: p.client.tcp.loseConnection(),
        )

    def test_half_close_without_interface(self) -> Deferred[None]:
        """To a protocol that knows no half-close, a FIN is the end."""
        return self.same_story(
            lambda p: (p.client.tcp.write(b"x"), p.client.tcp.loseWriteConnection()),
            client=Side,
            server=Side,
        )

    def test_half_close_met_by_plain_protocol(self) -> Deferred[None]:
        """Who half-closes towards such a protocol loses the answer."""
        return self.same_story(
            lambda p: (p.client.tcp.write(b"x"), p.client.tcp.loseWriteConnection()),
            server=Side,
        )

    def test_close(self) -> Deferred[None]:
        """loseConnection sends what was written before."""
        return self.same_story(
            lambda p: (p.client.tcp.write(b"last words"), p.client.tcp.loseConnection()),
            lambda p: p.server.tcp.loseConnection(),
        )

    def test_write_after_lose(self) -> Deferred[None]:
        """What is written after loseConnection, before the buffer is flushed, is sent too."""
        return self.same_story(
            lambda p: (p.client.tcp.write(b"a"), p.client.tcp.loseConnection(), p.client.tcp.write(b"b")),
            lambda p: p.client.tcp.write(b"c"),
        )

    def test_write_after_lose_write(self) -> Deferred[None]:
        """The same holds for loseWriteConnection; once the FIN is sent, nothing more is."""
        return self.same_story(
            lambda p: (p.client.tcp.write(b"a"), p.client.tcp.loseWriteConnection(), p.client.tcp.write(b"b")),
            lambda p: p.client.tcp.write(b"c"),
        )

    def test_lose_waits_for_producer(self) -> Deferred[None]:
        """loseConnection waits until the producer is unregistered."""
        return self.same_story(
            lambda p: (p.client.tcp.registerProducer(Source(p.client), True), p.client.tcp.loseConnection()),
            lambda p: p.client.tcp.write(b"still going"),
            lambda p: p.client.tcp.unregisterProducer(),
        )

    def test_lose_write_and_producer(self) -> Deferred[None]:
        """loseWriteConnection does not wait for a producer."""
        return self.same_story(
            lambda p: (p.client.tcp.registerProducer(Source(p.client), True), p.client.tcp.loseWriteConnection()),
            lambda p: p.client.tcp.write(b"late"),
            lambda p: p.client.tcp.unregisterProducer(),
        )

    def test_pull_producer(self) -> Deferred[None]:
        """A pull producer is asked at once, and again whenever its bytes are gone."""
        return self.same_story(
            lambda p: p.client.tcp.registerProducer(Source(p.client), False),
            lambda p: p.client.tcp.write(b"one"),
            lambda p: p.client.tcp.write(b"two"),
            lambda p: p.client.tcp.unregisterProducer(),
        )

    def test_producer_after_loss(self) -> Deferred[None]:
        """A producer registered on a lost connection is stopped at once."""
        return self.same_story(
            lambda p: p.client.tcp.loseConnection(),
            lambda p: p.client.tcp.registerProducer(Source(p.client), True),
        )

    def test_producer_at_loss(self) -> Deferred[None]:
        """The producer is stopped before the protocol hears of the loss."""
        return self.same_story(
            lambda p: p.client.tcp.registerProducer(Source(p.client), True),
            lambda p: p.server.tcp.abortConnection(),
        )

    def test_back_pressure(self) -> Deferred[None]:
        """A producer is paused when the reader does not read, and resumed when it does."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: (p.client.tcp.registerProducer(Source(p.client), True), p.client.tcp.write(b"x" * 20_000_000)),
            lambda p: p.server.tcp.resumeProducing(),
        )

    def test_paused_hears_nothing(self) -> Deferred[None]:
        """A paused transport hears neither data nor their end."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: (p.client.tcp.write(b"unheard"), p.client.tcp.loseConnection()),
            lambda p: p.server.note("resumes"),
            lambda p: p.server.tcp.resumeProducing(),
        )

    def test_abort(self) -> Deferred[None]:
        """An abort reads as a lost connection; the aborting side hears ConnectionAborted, once."""
        return self.same_story(
            lambda p: (p.client.tcp.abortConnection(), p.client.tcp.abortConnection(), p.client.tcp.loseConnection()),
            lambda p: p.server.tcp.loseConnection(),
        )

    def test_abort_by_server(self) -> Deferred[None]:
        """The same from the other side."""
        return self.same_story(
            lambda p: p.server.tcp.abortConnection(),
        )

    def test_abort_drops_unsent(self) -> Deferred[None]:
        """What was written and not sent is dropped by an abort."""
        return self.same_story(
            lambda p: (p.client.tcp.write(b"dropped"), p.client.tcp.abortConnection()),
        )

    def test_abort_after_data(self) -> Deferred[None]:
        """Data sent before a RST are still read."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.write(b"before"),
            lambda p: p.client.tcp.abortConnection(),
            lambda p: p.server.note("resumes"),
            lambda p: p.server.tcp.resumeProducing(),
        )

    def test_abort_while_paused(self) -> Deferred[None]:
        """A transport that neither reads nor writes does not notice a RST until it does either."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.abortConnection(),
            lambda p: p.server.note("writes"),
            lambda p: p.server.tcp.write(b"anyone there"),
        )

    def test_abort_while_paused_and_writing(self) -> Deferred[None]:
        """With bytes to send, a paused transport notices a RST at once."""
        return self.same_story(
            lambda p: (p.server.tcp.pauseProducing(), p.client.tcp.pauseProducing()),
            lambda p: p.server.tcp.write(b"x" * 20_000_000),
            lambda p: p.client.tcp.abortConnection(),
        )

    def test_abort_after_half_close(self) -> Deferred[None]:
        """A RST after both ends' FIN, or after one's, is noticed as real transports notice it."""
        return self.same_story(
            lambda p: p.client.tcp.loseWriteConnection(),
            lambda p: p.client.tcp.abortConnection(),
            lambda p: p.server.tcp.write(b"x"),
        )

    def test_abort_in_answer_to_half_close(self) -> Deferred[None]:
        """Who has half-closed and reads on hears of a RST."""
        return self.same_story(
            lambda p: p.client.tcp.loseWriteConnection(),
            lambda p: p.server.tcp.abortConnection(),
        )

    def test_close_with_unread_data(self) -> Deferred[None]:
        """Closing with bytes unread: the other side hears the end."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.write(b"unread"),
            lambda p: p.server.tcp.loseConnection(),
            lambda p: p.client.tcp.write(b"more"),
            lambda p: p.client.tcp.write(b"and more"),
        )

    def test_close_with_unread_data_and_an_answer(self) -> Deferred[None]:
        """Closing with bytes unread: what was answered before is read."""
        return self.same_story(
            lambda p: p.server.tcp.pauseProducing(),
            lambda p: p.client.tcp.write(b"unread"),
            lambda p: (p.server.tcp.write(b"go away"), p.server.tcp.loseConnection()),
        )

    def test_writing_to_the_closed(self) -> Deferred[None]:
        """The first write to a closed peer is lost unnoticed, a later one fails."""
        return self.same_story(
            lambda p: p.server.tcp.loseConnection(),
            lambda p: p.client.tcp.write(b"first"),
            lambda p: p.client.note("writes again"),
            lambda p: p.client.tcp.write(b"second"),
        )

    def test_own_close_in_half_closed(self) -> Deferred[None]:
        """loseConnection after loseWriteConnection is immediate."""

        def returns_at_once(pair: Pair) -> None:
            pair.client.tcp.loseConnection()
            pair.client.note("returned")

        return self.same_story(
            lambda p: p.client.tcp.loseWriteConnection(),
            returns_at_once,
        )

    def test_no_protocol_at_server(self) -> Deferred[None]:
        """A factory that builds nothing closes the connection."""
        return self.same_story(
            server=lambda: None,
        )

    def test_no_protocol_at_client(self) -> Deferred[None]:
        """The same on the dialling side."""
        return self.same_story(
            client=lambda: None,
        )

    def test_refused(self) -> Deferred[None]:
        """Nobody listens."""
        return self.same_story(
            listens=False,
        )

    def test_stop_connecting(self) -> Deferred[None]:
        """An attempt can be given up."""
        return self.same_story(
            lambda p: p.connector.disconnect(),
        )

    def test_exception(self) -> Deferred[None]:
        """A protocol that raises loses its connection, with the exception as the reason; the other side hears a FIN."""
        return self.same_story(
            lambda p: p.client.tcp.write(b"break"),
            expected_error=ZeroDivisionError,
        )

    def test_second_half_close_after_both(self) -> Deferred[None]:
        """Asking for another half-close once both directions have ended meets the hang-up: the connection is lost."""
        return self.same_story(
            lambda p: p.client.tcp.loseWriteConnection(),
            lambda p: p.server.tcp.loseWriteConnection(),
            lambda p: p.client.tcp.loseWriteConnection(),
        )
