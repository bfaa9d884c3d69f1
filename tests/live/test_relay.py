"""Joined connections on the engine: every byte, each half-close, each reset, and the faults that relays have had."""

from __future__ import annotations

import select
import socket
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.transports.engine import is_supported

if not is_supported():
    raise SkipTest("this system has no epoll")

from egress.transports.engine.engine import Engine
from egress.transports.engine.pipe import Calls, Pipe
from egress.transports.engine.relay import RELAY_BYTES, RELAY_TURN_BYTES
from egress.transports.engine.transport import Transport
from egress.transports.protocol_relay import ProtocolRelay
from tests.live.joined import Bench, End, join
from tests.live.test_network_truth import HalfSide, Side, Source

# Kernel buffers of this size are filled by little data. Smaller than a loopback segment, they would make TCP wait.
SMALL = 100_000
MUCH = 3_000_000


def fill(end: End, total: int = 1 << 30) -> int:
    """Send until the kernel takes no more, and say how much."""
    sent = 0
    while sent < total and (number := end.send(bytes(min(total - sent, 1 << 20)))):
        sent += number
    return sent


def stall(bench: Bench, end: End) -> int:
    """Send until nothing more passes, and say how much."""
    total = quiet = 0
    while quiet < 5:
        sent = fill(end)
        total += sent
        quiet = 0 if sent else quiet + 1
        bench.turns(3)
    return total


class RelayCase(SynchronousTestCase):
    """Has a bench.

    Attributes:
        calls: of the pipe, by which much is moved.
    """

    calls = Calls()

    def setUp(self) -> None:
        """Make it."""
        self.bench = self.make()

    def make(self, budget_bytes: int = 64 * 1024 * 1024) -> Bench:
        """Make one, with a budget."""
        made = Bench(lambda hand: Engine(hand, budget_bytes, Pipe(self.calls)))
        self.addCleanup(made.stop)
        return made


class BytesTests(RelayCase):
    """Every byte, in order, and counted."""

    def test_every_byte(self) -> None:
        """What either side sends arrives at the other, however it is cut and however slowly it is read."""
        for seed, budget_bytes in enumerate((64 * 1024 * 1024, 1)):
            chance = Random(seed)
            bench = self.make(budget_bytes)
            one, other, up, down = bench.pair(SMALL)
            sources = [(one, chance.randbytes(4_000_000)), (other, chance.randbytes(3_000_000))]
            offsets = [0, 0]
            for _ in range(20_000):
                for index, (end, data) in enumerate(sources):
                    at = offsets[index]
                    if at < len(data):
                        offsets[index] += end.send(data[at : at + chance.randint(1, 300_000)])
                for end in (one, other):
                    if chance.random() < 0.5:
                        end.read(chance.randint(1, 200_000))
                bench.hand.turn(0)
                if len(other.got) == 4_000_000 and len(one.got) == 3_000_000:
                    break

            self.assertEqual((sources[1][1], sources[0][1]), (bytes(one.got), bytes(other.got)))
            self.assertEqual((4_000_000, 3_000_000, 0), (up.moved, down.moved, bench.engine.buffered))
            self.assertEqual((["made"], ["made"]), (one.side.story(), other.side.story()))

    def test_what_was_written_goes_first(self) -> None:
        """What a protocol wrote before, gone or not, and what it writes meanwhile keep their places."""
        one, other = self.bench.end(), self.bench.end(buffer_bytes=SMALL)
        other.tcp.write(b"a" * MUCH)
        one.send(b"b" * 10)
        join(one.tcp, other.tcp)
        self.bench.turns()
        other.tcp.write(b"c" * 10)
        self.bench.until(lambda: len(other.got) == MUCH + 20, other)

        self.assertEqual(b"a" * MUCH + b"c" * 10 + b"b" * 10, bytes(other.got))

    def test_early_bytes_and_end(self) -> None:
        """What came before the join, and a FIN after it, are passed on, whether they were noticed or not."""
        for number in (0, 10):
            one, other = self.bench.end(), self.bench.end()
            one.tcp.pauseProducing()
            one.send(b"early")
            one.finish()
            self.bench.turns(number)
            join(one.tcp, other.tcp)
            self.bench.until(lambda other=other: other.is_ended, other)  # type: ignore[misc]

            self.assertEqual(b"early", bytes(other.got))
            self.assertEqual(["made", "eof"], one.side.story())

    def test_end_that_was_told(self) -> None:
        """A FIN that the protocol heard of before the join is passed on all the same."""
        one, other = self.bench.end(), self.bench.end()
        one.finish()
        self.bench.until(lambda: "eof" in one.side.told)
        join(one.tcp, other.tcp)
        self.bench.until(lambda: other.is_ended, other)
        other.send(b"still")
        self.bench.until(lambda: one.got, one)

        self.assertEqual(["made", "eof"], one.side.story())

    def test_join_while_reading(self) -> None:
        """A protocol may make way while it is given bytes; it gets none that come after."""
        joined: list[object] = []

        class Guide(HalfSide):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                other.tcp.write(data)
                joined.append(join(one.tcp, other.tcp))

        bench = self.bench
        one, other = bench.end(Guide), bench.end()
        sent = fill(one, 1_000_000)
        bench.until(lambda: len(other.got) == sent, other)

        self.assertEqual(1, len(joined))
        self.assertEqual(2, len(one.side.story()))

    def test_urgent(self) -> None:
        """What comes before and after urgent data passes, though each read stops there; the urgent octet does not."""
        one, other, _up, _down = self.bench.pair()
        alone = self.bench.end()
        for end in (one, alone):
            end.send(b"before")
            end.plain.send(b"!", socket.MSG_OOB)
            end.send(b"after")
        self.bench.until(lambda: len(other.got) == 11, other)
        self.bench.until(lambda: len(alone.side.data) == 11)

        self.assertEqual((b"beforeafter", b"beforeafter"), (bytes(other.got), bytes(alone.side.data)))

    def test_one_way(self) -> None:
        """One direction may be relayed while the protocol has the other."""
        one, other = self.bench.end(), self.bench.end()
        one.tcp.relay_to(other.tcp)
        one.send(b"there")
        other.send(b"here")
        self.bench.until(lambda: other.got and other.side.data, other)

        self.assertEqual((b"there", ["made", "data here"]), (bytes(other.got), other.side.story()))


class EndTests(RelayCase):
    """FINs and resets."""

    def test_half_close(self) -> None:
        """Each side's FIN comes after its bytes, ends one direction only, and is told once; then both are closed."""
        for first in (0, 1):
            *ends, _up, _down = self.bench.pair(SMALL)
            near, far = ends[first], ends[1 - first]
            sent = fill(near)
            near.finish()
            self.bench.until(lambda far=far: far.is_ended, far)  # type: ignore[misc]
            self.assertEqual(sent, len(far.got))
            self.assertFalse(near.is_ended)
            answered = fill(far)
            far.finish()
            self.bench.until(lambda near=near: near.is_ended, near)  # type: ignore[misc]
            self.bench.turns()

            self.assertEqual(answered, len(near.got))
            self.assertEqual(["made", "eof", "lost ConnectionDone"], near.side.story())
            self.assertEqual(["made", "own end sent", "eof", "lost ConnectionDone"], far.side.story())
            self.assertEqual(0, self.bench.engine.buffered)

    def test_no_half_close(self) -> None:
        """Protocols that know no half-close hear of the loss only; FINs are passed on all the same."""
        one, other = self.bench.end(Side), self.bench.end(Side)
        join(one.tcp, other.tcp)
        one.finish()
        self.bench.until(lambda: other.is_ended, other)
        other.send(b"answer")
        other.finish()
        self.bench.until(lambda: one.is_ended, one)
        self.bench.turns()

        self.assertEqual(b"answer", bytes(one.got))
        for end in (one, other):
            self.assertEqual(["made", "lost ConnectionDone"], end.side.story())

    def test_both_end_in_one_turn(self) -> None:
        """Two FINs in the same batch of events are both passed on."""
        one, other, _up, _down = self.bench.pair()
        one.send(b"1")
        other.send(b"2")
        one.finish()
        other.finish()
        self.bench.until(lambda: one.is_ended and other.is_ended, one, other)
        self.bench.turns()

        self.assertEqual((b"2", b"1"), (bytes(one.got), bytes(other.got)))
        for end in (one, other):
            self.assertEqual("lost ConnectionDone", end.side.told[-1])

    def test_reset(self) -> None:
        """A reset of either side resets the other, and both protocols are told once."""
        for first in (0, 1):
            *ends, _up, _down = self.bench.pair()
            near, far = ends[first], ends[1 - first]
            near.reset()
            self.bench.until(lambda far=far: far.is_reset, far)  # type: ignore[misc]

            self.assertEqual(["made", "lost ConnectionLost"], near.side.story())
            self.assertEqual(["made", "lost ConnectionAborted"], far.side.story())

    def test_reset_after_half_close(self) -> None:
        """A reset ends the other side too where one direction was over, whichever it was."""
        for first in (0, 1):
            *ends, _up, _down = self.bench.pair()
            near, far = ends[first], ends[1 - first]
            near.finish()
            self.bench.until(lambda far=far: far.is_ended, far)  # type: ignore[misc]
            ends[0].reset()
            self.bench.until(lambda ends=ends: not ends[1].tcp.connected)  # type: ignore[misc]

            self.assertEqual("lost ConnectionAborted", ends[1].side.told[-1])

    def test_reset_of_a_stalled_sink(self) -> None:
        """What was kept for a sink goes with it."""
        one, other, _up, _down = self.bench.pair(SMALL)
        stall(self.bench, one)
        self.assertGreater(self.bench.engine.buffered, 0)
        other.reset()
        self.bench.until(lambda: not one.tcp.connected)

        self.assertEqual(0, self.bench.engine.buffered)

    def test_both_reset_in_one_turn(self) -> None:
        """Two resets in the same batch of events end both, once."""
        one, other, _up, _down = self.bench.pair()
        one.reset()
        other.reset()
        self.bench.until(lambda: not one.tcp.connected and not other.tcp.connected)

        for end in (one, other):
            self.assertEqual(2, len(end.side.story()))

    def test_protocols_can_still_end_it(self) -> None:
        """An abort or a close by either protocol ends both connections alike."""
        for act, how, is_reset in (("abortConnection", "Aborted", True), ("loseConnection", "Done", False)):
            one, other, _up, _down = self.bench.pair()
            getattr(one.tcp, act)()
            self.bench.until(lambda other=other: other.is_reset or other.is_ended, other)  # type: ignore[misc]
            self.bench.turns()

            self.assertIs(is_reset, other.is_reset)
            for end in (one, other):
                self.assertEqual(f"lost Connection{how}", end.side.told[-1])

    def test_close_sends_what_was_kept(self) -> None:
        """When one side is closed in order, the other gets what was moved before."""
        one, other, up, _down = self.bench.pair(SMALL)
        stall(self.bench, one)
        moved = up.moved
        one.tcp.loseConnection()
        self.bench.until(lambda: other.is_ended, other)

        self.assertEqual(moved, len(other.got))

    def test_stop(self) -> None:
        """Stopping the engine ends joined connections."""
        one, other, _up, _down = self.bench.pair(SMALL)
        stall(self.bench, one)
        self.bench.engine.stop()

        for end in (one, other):
            self.assertEqual(["made", "lost ConnectionAborted"], end.side.story())
        self.assertEqual(0, self.bench.engine.buffered)


class FaultTests(RelayCase):
    """The faults that relays have had."""

    def test_refused(self) -> None:
        """The engine moves octets between its own transports only, and each is relayed to one sink."""

        class Wrapped(Transport):
            """Like the engine's, but who knows."""

        bench = self.bench
        one, other, up, _down = bench.pair()
        third = bench.end()
        fourth = bench.end()
        plain = socket.socket()
        self.addCleanup(plain.close)
        foreign = Wrapped(bench.engine, plain, plain.fileno(), ("192.0.2.1", 1))
        self.assertIsInstance(fourth.tcp.relay_to(foreign), ProtocolRelay)
        with self.assertRaises(RuntimeError):
            fourth.tcp.relay_to(third.tcp)
        with self.assertRaises(RuntimeError):
            one.tcp.relay_to(third.tcp)
        with self.assertRaises(RuntimeError):
            third.tcp.relay_to(other.tcp)
        with self.assertRaises(RuntimeError):
            one.tcp.registerProducer(Source(one.side), True)
        one.send(b"intact")
        bench.until(lambda: other.got, other)

        self.assertTrue(verifyObject(IPushProducer, up))
        self.assertEqual(b"intact", bytes(other.got))

    def test_lost_before(self) -> None:
        """Who is joined to a connection that is gone is closed."""
        for first in (0, 1):
            ends = [self.bench.end(), self.bench.end()]
            transports = [end.tcp for end in ends]
            ends[first].reset()
            self.bench.until(lambda which=transports[first]: not which.connected)  # type: ignore[misc]
            join(*transports)
            left = ends[1 - first]
            self.bench.until(lambda left=left: left.is_ended, left)  # type: ignore[misc]

    def test_descriptor_is_not_reused_within_a_turn(self) -> None:
        """When a joined pair ends in a turn, neither number belongs to another connection before the turn is over."""
        numbers: list[int] = []

        class Opens(HalfSide):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                with socket.socket() as fresh:
                    numbers.append(fresh.fileno())

        bench = self.bench
        ends = [bench.end(Opens) for _ in range(4)]
        old = {end.tcp.getHandle().fileno() for end in ends}
        for one, other in (ends[:2], ends[2:]):
            join(one.tcp, other.tcp)
        for end in ends:
            end.send(b"in the same batch")
        ends[0].reset()
        ends[3].reset()
        free = {end.plain.fileno() for end in (ends[1], ends[2])}
        bench.until(lambda: len(numbers) == 4)

        self.assertFalse((old | free) & set(numbers))

    def test_exceptions(self) -> None:
        """A protocol that fails to hear of the end takes nobody with it but the connection it is joined to."""

        class FailsAtEof(HalfSide):
            def readConnectionLost(self) -> None:
                raise ZeroDivisionError

        class FailsAtLoss(HalfSide):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                raise ZeroDivisionError

        bench = self.bench
        near, far, _up, _down = bench.pair()
        for make in (FailsAtEof, FailsAtLoss):
            one, other = bench.end(make), bench.end()
            join(one.tcp, other.tcp)
            if make is FailsAtEof:
                one.finish()
            else:
                one.reset()
            bench.until(lambda other=other: "lost ConnectionAborted" in other.side.told)  # type: ignore[misc]
        near.send(b"well")
        bench.until(lambda: far.got, far)

        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertTrue(far.tcp.connected)

    def test_exception_when_both_are_over(self) -> None:
        """The same where the second FIN is the one that a protocol fails to hear of: nothing is left open."""

        class Fails(HalfSide):
            def readConnectionLost(self) -> None:
                raise ZeroDivisionError

        one, other = self.bench.end(Fails), self.bench.end()
        join(one.tcp, other.tcp)
        other.finish()
        self.bench.until(lambda: one.is_ended, one)
        one.finish()
        self.bench.until(lambda: other.side.told[-1].startswith("lost"))
        self.bench.until(lambda: one.side.told[-1].startswith("lost"))

        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class ShareTests(RelayCase):
    """Many connections share one buffer, one budget and one turn."""

    def test_budget(self) -> None:
        """Sinks that stall hold no more than their half of the budget, however many; others go on at full speed."""
        budget_bytes = 2 * RELAY_BYTES + 2
        bench = self.make(budget_bytes)
        stalled = [bench.pair(SMALL) for _ in range(30)]
        kept = 0
        for _ in range(10):
            for near, *_ in stalled:
                fill(near)
            bench.turns(2)
            kept = max(kept, bench.engine.buffered)
        self.assertTrue(bench.engine.is_budget_low)
        one, other, _up, _down = bench.pair()
        sent = 0
        for _ in range(200):
            sent += fill(one, 100_000)
            bench.turns(1)
            other.read()
        bench.until(lambda: len(other.got) == sent, other)
        for near, far, up, _ in stalled:
            near.finish()
            bench.until(lambda far=far: far.is_ended, far)  # type: ignore[misc]
            self.assertEqual(up.moved, len(far.got))

        self.assertLessEqual(kept, budget_bytes // 2)
        self.assertEqual(0, bench.engine.buffered)
        self.assertFalse(bench.engine.is_budget_low)

    def test_slow_sink_is_kept_little_for(self) -> None:
        """A sink that has once been slow has nothing kept for it from then on; what waits does so in the kernel."""
        bench = self.bench
        one, other, up, _down = bench.pair(SMALL)
        sent = stall(bench, one)
        # Of what was kept first the kernel may have taken all meanwhile, if it was little.
        self.assertIsNotNone(other.tcp.unsent)
        kept = []
        for _ in range(50):
            sent += fill(one, 200_000)
            other.read(30_000)
            bench.turns(2)
            kept.append(bench.engine.buffered)
        self.assertEqual(0, kept[-1])
        bench.until(lambda: len(other.got) == sent, other)

        self.assertEqual(sent, up.moved)

    def test_scarce_and_then_quiet(self) -> None:
        """What is left in the source's socket for want of room is sent when there is some, unprompted."""
        bench = self.make(1)
        one, other, up, _down = bench.pair(SMALL)
        sent = 0
        while up.moved == sent:
            sent += one.send(bytes(30_000))
            bench.turns(5)
        self.assertEqual(0, bench.engine.buffered)
        bench.until(lambda: len(other.got) == sent, other)

        self.assertEqual(sent, up.moved)

    def test_turns(self) -> None:
        """A small message passes within two turns, however much others have to move."""
        bench = self.bench
        bulk = [bench.pair() for _ in range(4)]
        one, other, _up, _down = bench.pair()
        loads = [fill(near) for near, *_ in bulk]
        one.send(b"ping")
        # The kernel may take its time.
        select.select([one.tcp.getHandle()], [], [], 2)
        bench.hand.turn()
        bench.hand.turn()
        select.select([other.plain], [], [], 2)
        other.read()

        self.assertEqual(b"ping", bytes(other.got))
        self.assertLessEqual(max(up.moved for _, _, up, _ in bulk), 2 * RELAY_TURN_BYTES)
        for (near, far, up, _), load in zip(bulk, loads, strict=True):
            for _ in range(5):
                moved = up.moved
                bench.hand.turn()
                self.assertLessEqual(up.moved - moved, 2 * RELAY_TURN_BYTES)
            near.finish()
            bench.until(lambda far=far: far.is_ended, far)  # type: ignore[misc]
            self.assertEqual(load, len(far.got))


class Dialogue(RuleBasedStateMachine):
    """Whatever the two ends do, each gets a beginning of what the other sent, and all of it in the end."""

    calls = Calls()

    def __init__(self) -> None:
        super().__init__()
        self.sent = [bytearray(), bytearray()]
        self.is_finished = [False, False]

    @initialize(budget_bytes=st.sampled_from((1, 2 * RELAY_BYTES + 1, 1 << 26)), small=st.booleans())
    def begin(self, budget_bytes: int, small: bool) -> None:
        """Join a pair."""
        self.bench = Bench(lambda hand: Engine(hand, budget_bytes, Pipe(self.calls)))
        *self.ends, up, down = self.bench.pair(SMALL if small else 0)
        self.relays = up, down

    @rule(which=st.integers(0, 1), number=st.sampled_from((1, 700, 70_000, 2_000_000)))
    def send(self, which: int, number: int) -> None:
        """One end sends."""
        if not self.is_finished[which]:
            data = Random(len(self.sent[which])).randbytes(number)
            self.sent[which] += data[: self.ends[which].send(data)]

    @rule(which=st.integers(0, 1), number=st.sampled_from((1, 3000, 300_000)))
    def read(self, which: int, number: int) -> None:
        """One end reads."""
        self.ends[which].read(number)

    @rule(which=st.integers(0, 1))
    def finish(self, which: int) -> None:
        """One end sends a FIN."""
        if not self.is_finished[which]:
            self.is_finished[which] = True
            self.ends[which].finish()

    @rule(number=st.integers(1, 4))
    def turn(self, number: int) -> None:
        """The engine has its turn."""
        for _ in range(number):
            self.bench.hand.turn(0)

    @invariant()
    def is_in_order(self) -> None:
        """Nothing is lost, repeated or moved."""
        if hasattr(self, "ends"):
            for which, end in enumerate(self.ends):
                assert self.sent[1 - which].startswith(end.got)
                assert not end.is_reset

    def teardown(self) -> None:
        """All of it arrives, with its end if there was one."""
        if not hasattr(self, "ends"):
            return
        try:
            for which, end in enumerate(self.ends):
                self.bench.until(lambda end=end, which=which: len(end.got) == len(self.sent[1 - which]), *self.ends)  # type: ignore[misc]
                if self.is_finished[1 - which]:
                    self.bench.until(lambda end=end: end.is_ended, *self.ends)  # type: ignore[misc]
            assert [relay.moved for relay in self.relays] == [len(sent) for sent in self.sent]
            assert self.bench.engine.buffered == 0
        finally:
            self.bench.stop()


class DialogueWithoutSplice(Dialogue):
    """The same where the system has no splice."""

    calls = Calls(splice=None)


class DialogueTests(SynchronousTestCase):
    """Any dialogue."""

    def test_any(self) -> None:
        """Whatever two ends do in whatever order, what one sent the other gets."""
        limits = settings(max_examples=30, stateful_step_count=40, deadline=None)
        run_state_machine_as_test(Dialogue, settings=limits)
        run_state_machine_as_test(DialogueWithoutSplice, settings=limits)


class BytesWithoutSpliceTests(BytesTests):
    """Every byte, where the system has no splice."""

    calls = Calls(splice=None)


class EndWithoutSpliceTests(EndTests):
    """FINs and resets, where the system has no splice."""

    calls = Calls(splice=None)


class ShareWithoutSpliceTests(ShareTests):
    """Shares, where the system has no splice."""

    calls = Calls(splice=None)
