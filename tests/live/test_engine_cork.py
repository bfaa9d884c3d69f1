"""Corking: small writes of a turn are sent together, with no other effect."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IPullProducer
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer

from egress.transports.engine import is_supported

if not is_supported():
    raise SkipTest("this system has no epoll")

from egress.transports.engine.transport import Transport
from tests.live.joined import Bench, End, join
from tests.live.test_network_truth import HalfSide, Side

LARGE = bytes(range(256)) * 256


class Acting(HalfSide):
    """Does something when it is told "go"."""

    act: Callable[[Transport], object]

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data == b"go":
            assert isinstance(self.transport, Transport)
            self.act(self.transport)


@implementer(IPullProducer)
@define(eq=False)
class Pull:
    """Counts how often it is asked.

    Attributes:
        asked: so often.
    """

    asked: int = 0

    def resumeProducing(self) -> None:
        """Be asked."""
        self.asked += 1

    def stopProducing(self) -> None:
        """Stop."""


class CorkTests(SynchronousTestCase):
    """What is written within an event is sent after the events of the turn, in order, whatever follows."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.addCleanup(self.bench.stop)

    def make(self, act: Callable[[Transport], object], buffer_bytes: int = 0) -> End:
        """Make a connection whose protocol acts on a word."""

        def make() -> Side:
            side = Acting()
            side.act = act
            return side

        return self.bench.end(make, buffer_bytes)

    def go(self, end: End, until: Callable[[], object]) -> None:
        """Give the word, and take turns until something is so."""
        end.send(b"go")
        self.until(end, until)

    def until(self, end: End, done: Callable[[], object]) -> None:
        """Take turns, and read, until something is so."""
        for _ in range(500):
            if done():
                return
            self.bench.hand.turn()
            if not end.is_reset:
                end.read()
        self.fail(f"it did not come to that: {len(end.got)} bytes, {end.side.story()}")

    def test_in_order(self) -> None:
        """Small and large writes of one event arrive in the order in which they were made."""
        pieces = [b"a", b"b" * 9000, b"c" * 9000, LARGE, b"d", LARGE, b"e"]

        def act(tcp: Transport) -> None:
            for piece in pieces:
                tcp.write(piece)

        end = self.make(act)
        whole = b"".join(pieces)

        self.go(end, lambda: len(end.got) >= len(whole))

        self.assertEqual(whole, bytes(end.got))

    def test_nothing_before_the_end_of_the_events(self) -> None:
        """The kernel is asked once for all small writes of an event, and only after it."""
        seen: list[object] = []

        def act(tcp: Transport) -> None:
            for _ in range(10):
                tcp.write(b"x")
            end.read()
            seen.append((bytes(end.got), tcp.is_flushed))

        end = self.make(act)
        self.go(end, lambda: len(end.got) == 10)

        self.assertEqual([(b"", False)], seen)
        self.assertTrue(end.tcp.is_flushed)

    def test_ends(self) -> None:
        """A close, a FIN and a reset after a write do not overtake it."""
        for word in ("loseConnection", "loseWriteConnection", "abortConnection"):

            def act(tcp: Transport, word: str = word) -> None:
                tcp.write(b"bye")
                getattr(tcp, word)()

            end = self.make(act)
            end.send(b"go")
            for _ in range(100):
                if not (end.is_ended or end.is_reset):
                    self.bench.hand.turn()
                    end.read()
            self.assertEqual(word == "abortConnection", end.is_reset)
            if not end.is_reset:  # what was sent before a reset may be lost on its way
                self.assertEqual(b"bye", bytes(end.got), word)

    def test_outside_of_a_turn(self) -> None:
        """Who writes when no event is served writes at once."""
        end = self.make(lambda _: None)
        self.until(end, lambda: end.side.transport is not None)
        end.tcp.write(b"now")

        self.assertTrue(end.tcp.is_flushed)

    def test_no_room(self) -> None:
        """What the kernel does not take after all is kept, a close waits for it, and every byte arrives."""
        asked: list[bool] = []

        def act(tcp: Transport) -> None:
            tcp.write(b"x" * 5000)
            asked.append(tcp.is_flushed)

        end = self.make(act, 4096)
        count = 0
        while not asked or end.tcp.unsent is None:
            count += 1
            self.assertLess(count, 2000, "the kernel's room has an end")
            end.send(b"go")
            self.bench.hand.turn()
        end.tcp.loseConnection()
        self.until(end, lambda: end.is_ended)

        self.assertEqual(len(asked) * 5000, len(end.got))
        self.assertEqual([False] * len(asked), asked)

    def test_pull_producer(self) -> None:
        """Whoever is registered after a write is asked again once that is gone."""
        producer = Pull()

        def act(tcp: Transport) -> None:
            tcp.write(b"x")
            tcp.registerProducer(producer, False)
            self.assertEqual(1, producer.asked)

        end = self.make(act)
        self.go(end, lambda: producer.asked >= 2)
        self.assertEqual(b"x", bytes(end.got))
        end.tcp.unregisterProducer()

    def test_relay_behind(self) -> None:
        """What is relayed in the same turn comes after what was written."""
        far = self.bench.end()

        def act(tcp: Transport) -> None:
            tcp.write(b"200 ")
            join(tcp, far.tcp)

        near = self.make(act)
        self.until(near, lambda: near.side.transport is not None and far.side.transport is not None)
        far.tcp.pauseProducing()
        far.send(b"early")
        far.finish()
        self.go(near, lambda: near.is_ended)

        self.assertEqual(b"200 early", bytes(near.got))

    def test_lost_before(self) -> None:
        """A write to a connection that was reset meanwhile ends in its loss, once."""

        def act(tcp: Transport) -> None:
            tcp.write(b"x")
            end.reset()
            end.is_reset = True

        end = self.make(act)
        self.go(end, lambda: any(word.startswith("lost") for word in end.side.story()))

        self.assertEqual(["made", "data go", "lost ConnectionLost"], end.side.story())

    def test_stop(self) -> None:
        """An engine that is stopped within an event sends what was written before."""

        def act(tcp: Transport) -> None:
            tcp.write(b"last")
            tcp.loseConnection()
            self.bench.engine.stop()

        end = self.make(act)
        end.send(b"go")
        for _ in range(100):
            if self.bench.engine.is_running:
                self.bench.hand.turn()
        end.plain.setblocking(True)
        end.read()

        self.assertEqual(b"last", bytes(end.got))
