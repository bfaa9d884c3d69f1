"""What the engine does for protocols that take long: smaller reads, after those of all others."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from egress.transports.engine import is_supported

if not is_supported():
    raise SkipTest("this system has no epoll")

from egress.transports.engine.engine import TURN_BYTES, Engine
from egress.transports.engine.reading import FIRST_READ_BYTES, LARGEST_READ_BYTES, READ_SECONDS
from tests.live.joined import Bench, End
from tests.live.test_network_truth import HalfSide

BLOCK = bytes(1 << 20)
# What a turn's bulk budget is in seconds of protocols' work.
TURN_SECONDS = TURN_BYTES / (2 * 1024 * 1024 * 1024)


class CostlySide(HalfSide):
    """A protocol that spends time on each octet, on the clock of the bench.

    Attributes:
        bench: has the clock.
        seconds: that an octet takes.
        sizes: of the reads.
    """

    def __init__(self, bench: Bench, seconds: float) -> None:
        super().__init__()
        self.bench = bench
        self.seconds = seconds
        self.sizes: list[int] = []
        self.on_read: Callable[[], None] = lambda: None

    def dataReceived(self, data: bytes) -> None:
        """Let the clock go on."""
        self.sizes.append(len(data))
        self.on_read()
        self.bench.hand.rightNow += self.seconds * len(data)


class CostTests(SynchronousTestCase):
    """Reads follow what they cost."""

    def setUp(self) -> None:
        self.bench = Bench(Engine)
        self.addCleanup(self.bench.stop)

    def end(self, seconds: float) -> tuple[End, CostlySide]:
        """Make a connection whose octets cost that much."""
        side = CostlySide(self.bench, seconds)
        return self.bench.end(lambda: side), side

    def fill(self, end: End) -> None:
        """Send until the kernel takes no more."""
        while end.send(BLOCK):
            pass
        self.assertTrue(select.select([end.tcp.getHandle()], [], [], 2)[0])

    def test_cheap(self) -> None:
        """Reads begin small, and double to the largest while they are full and cost little."""
        end, side = self.end(0.0)
        for _ in range(8):
            self.fill(end)
            self.bench.engine.doRead()

        sizes = list(dict.fromkeys(side.sizes))
        self.assertEqual([FIRST_READ_BYTES << shift for shift in range(4)], sizes[:4])
        self.assertEqual(LARGEST_READ_BYTES, max(sizes))

    def test_costly(self) -> None:
        """A read that costs too much makes the next one as small as it may be to cost what it should."""
        end, side = self.end(READ_SECONDS / 4096)
        for _ in range(8):
            self.fill(end)
            self.bench.engine.doRead()

        self.assertEqual([FIRST_READ_BYTES, 4096], side.sizes[:2])
        # From then on it costs as much as it should, so that it is neither smaller nor more than once larger.
        self.assertLessEqual(max(side.sizes[1:]), FIRST_READ_BYTES)

    def test_recovery(self) -> None:
        """A peer that was costly for once has large reads again."""
        end, side = self.end(READ_SECONDS / 1024)
        self.fill(end)
        self.bench.engine.doRead()
        side.seconds = 0.0
        for _ in range(12):
            self.fill(end)
            self.bench.engine.doRead()

        self.assertEqual(2048, side.sizes[1])
        self.assertEqual(LARGEST_READ_BYTES, max(side.sizes))

    def test_turns_are_bounded(self) -> None:
        """Thirty costly connections take no more of a turn than one does, and all of them go on."""
        made = [self.end(READ_SECONDS / 2048) for _ in range(30)]
        for _ in range(40):
            for end, _ in made:
                self.fill(end)
            self.bench.engine.doRead()
        before = [len(side.sizes) for _, side in made]
        for _ in range(40):
            for end, _ in made:
                self.fill(end)
            began = self.bench.hand.seconds()
            self.bench.engine.doRead()

            self.assertLessEqual(self.bench.hand.seconds() - began, TURN_SECONDS + 2 * READ_SECONDS)

        self.assertTrue(all(len(side.sizes) > count for (_, side), count in zip(made, before, strict=True)))

    def test_costly_and_little(self) -> None:
        """A connection whose reads are costly waits for all others, also if it sends little."""
        end, side = self.end(READ_SECONDS / 1024)
        other = self.bench.end()
        order: list[str] = []
        for _ in range(5):
            end.send(bytes(1500))
            self.assertTrue(select.select([end.tcp.getHandle()], [], [], 2)[0])
            other.send(b"x")
            self.assertTrue(select.select([other.tcp.getHandle()], [], [], 2)[0])
            count, heard = len(side.sizes), len(other.side.data)

            def note(heard: int = heard) -> None:
                order.append("late" if len(other.side.data) > heard else "early")

            side.on_read = note
            self.bench.engine.doRead()
            self.assertEqual(count + 1, len(side.sizes))

        self.assertEqual(["late"] * 4, order[1:])

    def test_small_reads_are_not_timed(self) -> None:
        """What each request has costs no call of the clock."""
        end, _ = self.end(1.0)
        calls: list[None] = []
        seconds = self.bench.engine.seconds

        def counted() -> float:
            calls.append(None)
            return float(seconds())

        self.bench.engine.seconds = counted
        end.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.send(bytes(1024))
        self.assertTrue(select.select([end.tcp.getHandle()], [], [], 2)[0])
        self.bench.engine.doRead()

        self.assertEqual([], calls)
