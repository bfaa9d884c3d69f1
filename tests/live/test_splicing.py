"""Relays that splice through the shared pipe: no octet is lost or reaches another connection."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from egress.transports.engine import is_supported

if not is_supported():
    raise SkipTest("this system has no epoll")
if not hasattr(os, "splice"):
    raise SkipTest("this Python has no os.splice")

from egress.transports.engine.engine import Engine
from egress.transports.engine.pipe import PIPE_BYTES, Calls, CannotSplice, Pipe
from egress.transports.engine.relay import BULK_BYTES, RELAY_BYTES, RELAY_TURN_BYTES, Relay
from tests.live.joined import Bench, End

SMALL = 200_000
BLOCK = 300_000


@define
class Kernel:
    """The system's calls, which are counted, and some of which go wrong.

    Attributes:
        faults: by the name of a call, what happens instead of it or before it: an exception, or a smaller count. It is
            asked each time; None leaves the call alone.
    """

    faults: dict[str, Callable[[], BaseException | int | None]] = field(factory=dict)
    counts: dict[str, int] = field(factory=dict)
    opened: set[int] = field(factory=set)

    def pipe(self) -> Pipe:
        """Make a pipe of these calls."""
        return Pipe(Calls(self.open, self.resize, self.splice, self.read, self.close))

    def _ask(self, name: str) -> int | None:
        self.counts[name] = self.counts.get(name, 0) + 1
        fault = self.faults.get(name, lambda: None)()
        if isinstance(fault, BaseException):
            raise fault
        return fault

    def open(self, flags: int) -> tuple[int, int]:
        self._ask("open")
        ends = os.pipe2(flags)
        self.opened.update(ends)
        return ends

    def resize(self, descriptor: int, what: int, size: int) -> int:
        number = self._ask("resize")
        return fcntl.fcntl(descriptor, what, number or size)

    def splice(self, source: int, sink: int, most: int, *, flags: int) -> int:
        is_in = sink in self.opened
        number = self._ask("in" if is_in else "out")
        result = os.splice(source, sink, min(most, number or most), flags=flags)
        self._ask("after in" if is_in else "after out")
        return result

    def read(self, descriptor: int, most: int) -> bytes:
        number = self._ask("read")
        data = os.read(descriptor, min(most, number or most))
        self._ask("after read")
        return data

    def close(self, descriptor: int) -> None:
        self._ask("close")
        os.close(descriptor)
        self.opened.discard(descriptor)


def text(which: int, number: int) -> bytes:
    """Make bytes that are nobody else's, and that belong where they are."""
    return Random(which).randbytes(number)


class PipeTests(SynchronousTestCase):
    """The pipe alone, between two socket pairs."""

    def setUp(self) -> None:
        """Make both pairs."""
        self.kernel = Kernel()
        self.pipe = self.kernel.pipe()
        self.addCleanup(self.pipe.close)
        ends = [*socket.socketpair(), *socket.socketpair()]
        for each in ends:
            each.setblocking(False)
            self.addCleanup(each.close)
        self.near, self.source, self.sink, self.far = ends

    def test_move(self) -> None:
        """What is filled in is poured out, and what is not poured is read."""
        self.near.send(b"first and second")
        self.assertEqual(16, self.pipe.splice_in(self.source.fileno(), 100))
        self.kernel.faults["out"] = lambda: 5
        self.pipe.splice_out(self.sink.fileno())
        self.assertEqual(b"first", self.far.recv(100))

        self.assertEqual(b" and second", self.pipe.drain())
        self.assertEqual(b"", self.pipe.drain())
        self.assertEqual(1, self.kernel.counts["open"])

    def test_nothing(self) -> None:
        """A source without bytes, and one that has ended, put nothing in."""
        with self.assertRaises(BlockingIOError):
            self.pipe.splice_in(self.source.fileno(), 100)
        self.near.close()

        self.assertEqual(0, self.pipe.splice_in(self.source.fileno(), 100))
        self.assertEqual(b"", self.pipe.drain())
        self.assertEqual(1, self.kernel.counts["open"])

    def test_what_is_left_goes_nowhere(self) -> None:
        """Whatever breaks a move off, and wherever, the next one finds nothing of it."""
        for name, call in (("after in", "fill"), ("out", "pour"), ("after out", "pour"), ("after read", "read")):
            for fault in (OSError(errno.EIO, "no"), KeyboardInterrupt(), MemoryError(), ZeroDivisionError()):
                self.near.send(b"secret")
                before = self.kernel.counts.get("open", 0)
                self.kernel.faults[name] = lambda fault=fault: fault  # type: ignore[misc]
                with self.assertRaises(type(fault)):
                    self.pipe.splice_in(self.source.fileno(), 100)
                    if call == "pour":
                        self.pipe.splice_out(self.sink.fileno())
                    self.pipe.drain()
                self.kernel.faults.clear()
                if name == "after out":
                    self.assertEqual(b"secret", self.far.recv(100))
                self.near.send(b"public")
                self.assertEqual(6, self.pipe.splice_in(self.source.fileno(), 100))
                self.assertEqual(b"public", self.pipe.drain())

                self.assertEqual(max(before, 1) + 1, self.kernel.counts["open"], (name, call))
                self.assertEqual(2, len(self.kernel.opened))

    def test_move_that_was_not_finished(self) -> None:
        """Who fills twice loses what was there, rather than having it poured for somebody else."""
        self.near.send(b"secret")
        self.pipe.splice_in(self.source.fileno(), 100)
        self.near.send(b"public")
        self.pipe.splice_in(self.source.fileno(), 100)

        self.assertEqual(b"public", self.pipe.drain())

    def test_read_in_pieces(self) -> None:
        """What is left is read however little comes at a time; a pipe that holds too little is an error."""
        self.near.send(b"in pieces")
        self.pipe.splice_in(self.source.fileno(), 100)
        self.kernel.faults["read"] = lambda: 2

        self.assertEqual(b"in pieces", self.pipe.drain())
        self.near.send(b"too little")
        self.pipe.splice_in(self.source.fileno(), 100)
        os.read(min(self.kernel.opened), 100)
        with self.assertRaises(OSError):
            self.pipe.drain()

    def test_unfit(self) -> None:
        """Without the call, without descriptors, and for what the kernel refuses, nothing is taken."""
        for name, number in (("open", errno.EMFILE), ("in", errno.EINVAL), ("in", errno.ENOSYS), ("in", errno.EPERM)):
            self.kernel.faults[name] = lambda number=number: OSError(number, "no")  # type: ignore[misc]
            with self.assertRaises(CannotSplice):
                self.pipe.splice_in(self.source.fileno(), 100)
            self.kernel.faults.clear()
        with self.assertRaises(CannotSplice):
            Pipe(Calls(splice=None)).splice_in(self.source.fileno(), 100)
        self.near.send(b"all of it")
        self.pipe.splice_in(self.source.fileno(), 100)
        self.kernel.faults["out"] = lambda: OSError(errno.EINVAL, "no")
        with self.assertRaises(CannotSplice):
            self.pipe.splice_out(self.sink.fileno())

        self.assertEqual(b"all of it", self.pipe.drain())

    def test_size(self) -> None:
        """It is as large as it may be, and does with less where it may not."""
        with self.assertRaises(BlockingIOError):
            self.pipe.splice_in(self.source.fileno(), 1)
        size = fcntl.fcntl(min(self.kernel.opened), 1032)
        self.pipe.close()
        self.kernel.faults["resize"] = lambda: PermissionError(errno.EPERM, "no")
        self.near.send(b"still")

        self.assertGreater(size, 0)
        self.assertLessEqual(size, PIPE_BYTES)
        self.assertEqual(5, self.pipe.splice_in(self.source.fileno(), 100))

    def test_close(self) -> None:
        """Closing leaves no descriptor behind, and can be repeated."""
        with self.assertRaises(BlockingIOError):
            self.pipe.splice_in(self.source.fileno(), 1)
        self.pipe.close()
        self.pipe.close()

        self.assertEqual(set(), self.kernel.opened)


@define(eq=False)
class Tunnel:
    """One joined pair, what its ends have sent, and how far they have been checked."""

    number: int
    ends: tuple[End, End]
    relays: tuple[Relay, Relay]
    sent: tuple[bytearray, bytearray] = field(factory=lambda: (bytearray(), bytearray()))
    texts: tuple[bytes, bytes] = (b"", b"")

    @property
    def is_whole(self) -> bool:
        """Nobody has reset it."""
        return all(end.tcp.connected and end.plain.fileno() >= 0 for end in self.ends)

    def send(self, which: int, number: int) -> None:
        """Have one end send a little more of its text."""
        text, sent = self.texts[which], self.sent[which]
        sent += text[len(sent) : len(sent) + self.ends[which].send(text[len(sent) : len(sent) + number])]

    def check(self) -> None:
        """Each end has a beginning of what the other sent, and of nothing else."""
        for which, end in enumerate(self.ends):
            assert self.texts[1 - which].startswith(end.got), f"tunnel {self.number} has foreign bytes"


class SplicingCase(SynchronousTestCase):
    """Has a bench whose system calls can go wrong."""

    def setUp(self) -> None:
        """Make it."""
        self.kernel = Kernel()
        self.bench = self.make()

    def make(self, budget_bytes: int = 1 << 26) -> Bench:
        """Make one, with a budget."""
        made = Bench(lambda hand: Engine(hand, budget_bytes, self.kernel.pipe()))
        self.addCleanup(made.stop)
        return made

    def fill(self, end: End, data: bytes) -> int:
        """Send until the kernel takes no more."""
        sent = 0
        while sent < len(data) and (number := end.send(data[sent : sent + (1 << 20)])):
            sent += number
        return sent

    def deliver(self, one: End, other: End, data: bytes) -> None:
        """Send all of it, and read it at the other end."""
        sent = 0
        for _ in range(5000):
            sent += one.send(data[sent : sent + (1 << 20)])
            self.bench.hand.turn(0)
            other.read()
            if len(other.got) == len(data):
                break
        self.assertEqual(data, bytes(other.got))
        other.got.clear()


class SplicingTests(SplicingCase):
    """What is spliced, and when."""

    def test_bulk(self) -> None:
        """Much is spliced, and arrives; then little is read, with no call for the pipe."""
        one, other, up, _down = self.bench.pair()
        data = text(1, 6_000_000)
        self.deliver(one, other, data)
        self.assertGreater(self.kernel.counts["out"], 2)
        self.deliver(one, other, b"last")
        spliced = self.kernel.counts["in"]
        for _ in range(20):
            self.deliver(one, other, b"little")

        self.assertEqual(spliced, self.kernel.counts["in"])
        self.assertEqual(len(data) + 4 + 120, up.moved)

    def test_little(self) -> None:
        """Without bulk there is not even a pipe."""
        one, other, _up, _down = self.bench.pair()
        for _ in range(20):
            self.deliver(one, other, b"little")
            self.deliver(other, one, b"more")

        self.assertEqual({}, self.kernel.counts)

    def test_ends(self) -> None:
        """A FIN after bulk comes after its last byte; a reset is a reset."""
        for is_reset in (False, True):
            one, other, _up, _down = self.bench.pair()
            self.deliver(one, other, text(1, 3_000_000))
            sent = self.fill(one, text(2, 2_000_000))
            if is_reset:
                one.reset()
                self.bench.until(lambda other=other: other.is_reset, other)  # type: ignore[misc]
                self.assertEqual(["made", "lost ConnectionLost"], one.side.story())
            else:
                one.finish()
                self.bench.until(lambda other=other: other.is_ended, other)  # type: ignore[misc]
                self.assertEqual(text(2, 2_000_000)[:sent], bytes(other.got))
                self.assertEqual(["made", "eof"], one.side.story())

    def test_reset_of_a_sink(self) -> None:
        """A sink that is gone ends its source, and what was meant for it reaches nobody."""
        one, other, _up, _down = self.bench.pair()
        third, fourth, _, _ = self.bench.pair()
        self.deliver(one, other, text(1, 3_000_000))
        self.deliver(third, fourth, text(3, 3_000_000))
        self.kernel.faults["out"] = lambda: OSError(errno.EPIPE, "no")
        self.fill(one, text(2, 3_000_000))
        self.bench.until(lambda: not one.tcp.connected)
        self.kernel.faults.clear()
        self.deliver(third, fourth, text(4, 3_000_000))

        self.assertEqual("lost ConnectionLost", other.side.told[-1])
        self.assertEqual(2, len(self.kernel.opened))

    def test_urgent(self) -> None:
        """Urgent data looks like an end or like an empty socket to splice: it is neither."""
        data = text(2, 400_000)
        for is_finished in (True, False):
            one, other, _up, _down = self.bench.pair()
            self.deliver(one, other, text(1, 3_000_000))
            one.send(data)
            one.plain.send(b"!", socket.MSG_OOB)
            one.send(data)
            if is_finished:
                one.finish()
                self.bench.until(lambda other=other: other.is_ended, other)  # type: ignore[misc]
            self.bench.until(lambda other=other: len(other.got) >= 800_000, other)  # type: ignore[misc]

            self.assertEqual(data + data, bytes(other.got))

    def test_refused_for_one(self) -> None:
        """A socket that cannot be spliced, at either end, is read and written from then on."""
        for name in ("in", "out"):
            one, other, up, _down = self.bench.pair()
            self.kernel.counts.clear()
            self.kernel.faults[name] = lambda: OSError(errno.EINVAL, "no")
            self.deliver(one, other, text(1, 6_000_000))

            self.assertEqual(1, self.kernel.counts[name])
            self.assertEqual(6_000_000, up.moved)
            self.assertEqual(0, self.bench.engine.buffered)
            self.kernel.faults.clear()

    def test_sinks_that_take_less(self) -> None:
        """What the sink does not take is kept, counted, and sent in its place."""
        one, other, up, _down = self.bench.pair()
        self.deliver(one, other, text(1, 3_000_000))
        chance = Random(1)
        self.kernel.faults["out"] = lambda: chance.choice((None, 1, 4096, 100_000, BlockingIOError()))
        self.kernel.faults["in"] = lambda: chance.choice((None, 70_000, 300_000))
        self.kernel.faults["read"] = lambda: chance.choice((None, 1000, 100_000))
        for number in range(5):
            self.deliver(one, other, text(number, 4_000_000))

        self.assertGreater(self.kernel.counts["read"], 3)
        self.assertEqual(23_000_000, up.moved)
        self.assertEqual(0, self.bench.engine.buffered)

    def test_budget(self) -> None:
        """Sinks that take less than was expected have no more kept than relays may keep."""
        budget_bytes = 4 * RELAY_BYTES
        self.bench = bench = self.make(budget_bytes)
        pairs = [bench.pair(SMALL) for _ in range(10)]
        kept = 0
        self.kernel.faults["out"] = BlockingIOError
        for _ in range(30):
            for near, far, _, _ in pairs:
                self.fill(near, bytes(400_000))
                far.read(30_000)
            bench.turns(2)
            kept = max(kept, bench.engine.buffered)

        self.assertIn("read", self.kernel.counts)
        self.assertGreater(kept, 0)
        self.assertLessEqual(kept, budget_bytes // 2)

    def test_share(self) -> None:
        """One turn of the engine gives each direction no more than its share."""
        one, other, up, _down = self.bench.pair()
        self.deliver(one, other, text(1, 3_000_000))
        for _ in range(20):
            self.fill(one, bytes(1 << 22))
            moved = up.moved
            self.bench.engine.doRead()
            self.assertLessEqual(up.moved - moved, RELAY_TURN_BYTES)
            other.read(BULK_BYTES)

    def test_stop(self) -> None:
        """The engine closes the pipe when it stops."""
        one, other, _up, _down = self.bench.pair()
        self.deliver(one, other, text(1, 3_000_000))
        self.assertEqual(2, len(self.kernel.opened))
        self.bench.engine.stop()

        self.assertEqual(set(), self.kernel.opened)


class IsolationTests(SplicingCase):
    """Many tunnels, one pipe, and everything that can go wrong."""

    def make_fault(self, name: str, chance: Random, odds: float) -> Callable[[], Any]:
        """Choose what goes wrong with one call, and how often. Counts are cut, so that a little data is many moves."""
        errors: list[Callable[[], BaseException]] = [
            lambda: OSError(errno.EPIPE, "no"),
            lambda: OSError(errno.EIO, "no"),
            lambda: OSError(errno.ECONNRESET, "no"),
            ZeroDivisionError,
        ]
        if not name.startswith("after"):
            # With these the kernel promises that it has moved nothing.
            errors += [lambda: OSError(errno.EINVAL, "no"), BlockingIOError]
        least, most = {"in": (BULK_BYTES, 2 * BULK_BYTES), "out": (1, 2 * BULK_BYTES), "read": (1000, BULK_BYTES)}.get(
            name, (0, 0)
        )

        def fault() -> Any:
            if chance.random() < odds:
                return chance.choice(errors)()
            return chance.randint(least, most) if most else None

        return fault

    def test_faults_at_every_call(self) -> None:
        """Whichever call goes wrong, no tunnel gets a foreign byte, and those that stand get all of their own."""
        names = ("open", "resize", "in", "after in", "out", "after out", "read", "after read", "close")
        texts = [text(number, 2_000_000) for number in range(12)]
        counts = {"out": 0, "read": 0, "open": 0}
        whole = 0
        for seed in range(30):
            chance = Random(seed)
            self.kernel = kernel = Kernel()
            self.bench = bench = self.make(chance.choice((1 << 26, 6 * RELAY_BYTES)))
            tunnels = []
            for number in range(6):
                one, other, up, down = bench.pair(chance.choice((0, SMALL)))
                tunnels.append(
                    Tunnel(number, (one, other), (up, down), texts=(texts[2 * number], texts[2 * number + 1]))
                )
            for name in names:
                odds = chance.choice((0.0, 0.01, 0.1)) if name != "in" else 0.005
                kernel.faults[name] = self.make_fault(name, chance, odds)
            for _ in range(120):
                tunnel = chance.choice(tunnels)
                if not tunnel.is_whole:
                    continue
                tunnel.send(chance.randrange(2), chance.choice((100, BLOCK, 1_000_000)))
                if chance.random() < 0.005:
                    tunnel.ends[chance.randrange(2)].reset()
                for each in tunnels:
                    if each.is_whole and chance.random() < 0.5:
                        each.ends[chance.randrange(2)].read(chance.choice((1000, BLOCK, 1 << 20)))
                bench.hand.turn(0)
                tunnel.check()
            kernel.faults.clear()
            for tunnel in tunnels:
                if tunnel.is_whole:
                    self.finish(tunnel)
                    whole += tunnel.is_whole
                tunnel.check()
            self.flushLoggedErrors(ZeroDivisionError, OSError)
            for name in counts:
                counts[name] += kernel.counts.get(name, 0)
            bench.stop()

        self.assertGreater(min(counts.values()), 60, counts)
        self.assertGreater(whole, 10)

    def finish(self, tunnel: Tunnel) -> None:
        """Read what is left of a tunnel that stands: it is all there."""
        for _ in range(500):
            if all(len(end.got) == len(tunnel.sent[1 - which]) for which, end in enumerate(tunnel.ends)):
                return
            self.bench.hand.turn()
            for end in tunnel.ends:
                end.read()
            if not tunnel.is_whole:
                return  # a reset was under way
        raise AssertionError(f"bytes of tunnel {tunnel.number} are missing")
