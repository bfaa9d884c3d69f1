"""Fairness of the engine's turns: a limited share for bulk connections, and all work of the others."""

from __future__ import annotations

import select
import socket

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from egress.transports.engine import is_supported

if not is_supported():
    raise SkipTest("this system has no epoll")

from egress.transports.engine.engine import READ_BYTES, Engine
from egress.transports.engine.pipe import Calls, Pipe
from egress.transports.engine.relay import BULK_BYTES, RELAY_BYTES, RELAY_TURN_BYTES, Relay
from tests.live.joined import Bench, End
from tests.live.test_network_truth import HalfSide, Side, Taker

BLOCK = bytes(1 << 20)


def fill(end: End) -> None:
    """Send until the kernel takes no more."""
    while end.send(BLOCK):
        pass


def empty(end: End) -> None:
    """Read all that has come."""
    end.read()
    while end.got:
        end.got.clear()
        end.read()


class Crowd:
    """Joined connections that all have much to move, one way, and whose sinks take it.

    Args:
        bench: has them.
        number: of pairs.
    """

    def __init__(self, bench: Bench, number: int) -> None:
        self.bench = bench
        self.relays: list[Relay] = []
        self.ends: list[tuple[End, End]] = []
        for _ in range(number):
            near, far, up, _ = bench.pair()
            self.ends.append((near, far))
            self.relays.append(up)
        self.supply()

    def supply(self) -> None:
        """Have the sources full and the sinks empty."""
        for near, far in self.ends:
            empty(far)
            fill(near)

    def turn(self) -> list[int]:
        """Take one turn, and say how much each has moved in it."""
        self.supply()
        before = [relay.moved for relay in self.relays]
        self.bench.engine.doRead()
        return [relay.moved - moved for relay, moved in zip(self.relays, before, strict=True)]


class TurnTests(SynchronousTestCase):
    """Who is served in a turn, and how much."""

    calls = Calls()

    def make(self, turn_bytes: int) -> Bench:
        """Make a bench whose engine's turns are as large as that."""
        made = Bench(lambda hand: Engine(hand, pipe=Pipe(self.calls), turn_bytes=turn_bytes))
        self.addCleanup(made.stop)
        return made

    def await_bytes(self, ready: socket.SocketType) -> None:
        """Wait until the kernel has brought something."""
        self.assertTrue(select.select([ready], [], [], 2)[0])

    def test_bulk_is_bounded(self) -> None:
        """However many have much to move, a turn moves no more than its own measure and what one of them may exceed."""
        crowd = Crowd(self.make(2 * RELAY_TURN_BYTES), 12)
        moved = [crowd.turn() for _ in range(20)]

        # The first time it is not known yet who has much: that is found out by a read of each.
        self.assertLessEqual(sum(moved[0]), 2 * RELAY_TURN_BYTES + RELAY_BYTES + 12 * BULK_BYTES)
        for each in moved[1:]:
            self.assertLessEqual(sum(each), 3 * RELAY_TURN_BYTES)
            self.assertGreater(sum(each), 0)

    def test_shares_go_round(self) -> None:
        """Nobody has a second share before all who have much to move have had one."""
        crowd = Crowd(self.make(1), 5)
        crowd.turn()
        served = [[index for index, moved in enumerate(crowd.turn()) if moved] for _ in range(20)]

        self.assertEqual({1}, {len(each) for each in served})
        order = [index for (index,) in served]
        self.assertEqual(set(range(5)), set(order[:5]))
        self.assertEqual(order[:5] * 4, order)

    def test_message_goes_first(self) -> None:
        """A small message goes through in the turn in which it has come, also if others had much to move before."""
        bench = self.make(1)
        crowd = Crowd(bench, 8)
        one, other, _, _ = bench.pair()
        crowd.turn()
        for number in range(1, 6):
            crowd.supply()
            one.send(b"ping")
            self.await_bytes(one.tcp.getHandle())
            moved = sum(relay.moved for relay in crowd.relays)
            bench.engine.doRead()
            self.await_bytes(other.plain)
            other.read()

            self.assertEqual(b"ping" * number, bytes(other.got))
            self.assertLessEqual(sum(relay.moved for relay in crowd.relays) - moved, RELAY_TURN_BYTES)

    def test_stranger_goes_first(self) -> None:
        """So does a new connection, and what it says first."""
        bench = self.make(1)
        crowd = Crowd(bench, 8)
        taker = Taker(Side)
        listening = socket.create_server(("127.0.0.1", 0))
        bench.engine.listen(listening, taker)
        crowd.turn()
        with socket.create_connection(listening.getsockname()) as plain:
            plain.send(b"hello")
            self.await_bytes(listening)
            crowd.turn()
            assert taker.side is not None, "it was accepted"
            crowd.turn()

            self.assertEqual(["made", "data hello"], taker.side.story())

    def test_sinks_that_have_room_again(self) -> None:
        """Who goes on because its sink has taken something waits for its share like everybody else."""
        bench = self.make(1)
        crowd = Crowd(bench, 6)
        for _ in range(100):
            for near, _ in crowd.ends:
                fill(near)
            bench.hand.turn(0)
        for _, far in crowd.ends:
            empty(far)
        for _ in range(10):
            before = [relay.moved for relay in crowd.relays]
            bench.engine.doRead()
            after = [relay.moved for relay in crowd.relays]

            self.assertLessEqual(sum(after) - sum(before), RELAY_TURN_BYTES)

    def test_protocols_have_shares(self) -> None:
        """A protocol that much is said to reads little in a turn, too, and all of it in the end."""
        bench = self.make(1)
        peers = [bench.end(HalfSide) for _ in range(6)]
        sent = 0
        for each in peers:
            while number := each.send(BLOCK):
                sent += number
        sides = [each.side for each in peers]
        read = 0
        for _ in range(20):
            bench.engine.doRead()
            before, read = read, sum(len(side.data) for side in sides)
            # The kernel may bring more to those whose sockets were empty: then it shows once more that it is much.
            self.assertLessEqual(read - before, 6 * READ_BYTES)
            self.assertGreater(read, before)
        bench.until(lambda: sum(len(side.data) for side in sides) == sent)

        self.assertEqual({0}, {byte for side in sides for byte in side.data})

    def test_stop(self) -> None:
        """Who waits for a share when the engine stops is told of the end once, and nothing else."""
        bench = self.make(1)
        crowd = Crowd(bench, 6)
        crowd.turn()
        bench.engine.stop()
        self.assertEqual([], bench.hand.getDelayedCalls())

        for near, far in crowd.ends:
            self.assertEqual(["made", "lost ConnectionAborted"], near.side.story())
            self.assertEqual(["made", "lost ConnectionAborted"], far.side.story())


class TurnWithoutSpliceTests(TurnTests):
    """The same, where the system has no splice."""

    calls = Calls(splice=None)
