"""The reports of sinks that fail, lose lines and recover."""

from __future__ import annotations

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from egress.audit.sink_monitor import LOG_SECONDS, SinkMonitor
from egress.audit.sink_queue import SinkQueue
from tests.audit.fakes import EPOCH, MemorySink, Scene, listen, make_event


def full_disk() -> OSError:
    """Make the error of a full disk."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def make_queue(name: str = "memory") -> SinkQueue:
    """Make the queue of a sink in memory, with room for four lines."""
    queue = SinkQueue(MemorySink(), False, 4, 1 << 20, lambda: EPOCH)
    queue.name = name
    return queue


class SinkMonitorTests(SynchronousTestCase):
    """`SinkMonitor`, with queues whose state a test sets."""

    def setUp(self) -> None:
        self.said = listen(self)
        self.queue = make_queue()
        self.monitor = SinkMonitor([self.queue], is_strict=False)

    def check(self, now: float) -> list[str]:
        """Check, and take the new reports."""
        self.said.clear()
        self.monitor.check(now)
        return [*self.said]

    def test_sink_that_works(self) -> None:
        """Nothing is reported of a sink that works, whether or not lines wait."""
        self.queue.submit([b"{}"] * 4)

        self.assertEqual([], self.check(0.0))
        self.assertFalse(self.monitor.is_failing)

    def test_failure(self) -> None:
        """A failure is reported with the lines that are lost and that wait, and not again for ten seconds."""
        self.queue.submit([b"{}"] * 3)
        self.queue.failure = full_disk()

        said = "audit log, memory: cannot be written: No space left on device; 0 lines lost so far, 3 waiting"
        self.assertEqual([said], self.check(5.0))
        self.assertTrue(self.monitor.is_failing)
        self.assertEqual([], self.check(5.0 + LOG_SECONDS - 0.25))
        self.assertEqual([said], self.check(5.0 + LOG_SECONDS))
        self.assertEqual([], self.check(5.0 + 2 * LOG_SECONDS - 0.25))

    def test_unexpected_exception(self) -> None:
        """An exception that is no error of the system is shown with its type."""
        self.queue.failure = ZeroDivisionError("x")

        (said,) = self.check(0.0)

        self.assertIn("failed: ZeroDivisionError('x'); 0 lines lost", said)

    def test_slow_sink(self) -> None:
        """A sink that loses lines and has no failure is too slow."""
        self.queue.lose(2)

        said = (
            "audit log, memory: is too slow; 2 lines lost so far, 0 waiting; "
            "new requests are served without a line ([audit] on_loss)"
        )
        self.assertEqual([said], self.check(0.0))
        self.assertTrue(self.monitor.is_failing)

    def test_first_loss(self) -> None:
        """The first loss is reported within the ten seconds after a failure, a further loss is not."""
        self.queue.failure = full_disk()
        self.check(0.0)
        self.queue.lose(1)

        (said,) = self.check(1.0)

        self.assertTrue(said.endswith("; new requests are served without a line ([audit] on_loss)"), said)
        self.queue.lose(1)
        self.assertEqual([], self.check(2.0))
        self.assertEqual([], self.check(1.0 + LOG_SECONDS - 0.25))
        (said,) = self.check(1.0 + LOG_SECONDS)
        self.assertIn("; 2 lines lost so far", said)

    def test_strict(self) -> None:
        """Where new requests are refused, the report of a loss says so."""
        self.monitor = SinkMonitor([self.queue], is_strict=True)
        self.queue.lose(1)

        (said,) = self.check(0.0)

        self.assertTrue(said.endswith("; new requests are refused ([audit] on_loss)"), said)

    def test_recovery(self) -> None:
        """A recovery is reported once, when half of the backlog is free."""
        self.queue.submit([b"{}"] * 3)
        self.queue.failure = full_disk()
        self.check(0.0)
        self.queue.failure = None
        self.assertEqual([], self.check(1.0))
        self.assertTrue(self.monitor.is_failing)

        self.queue.work()

        self.assertEqual(["audit log, memory: works again; 0 lines lost so far"], self.check(2.0))
        self.assertFalse(self.monitor.is_failing)
        self.assertEqual([], self.check(3.0))

    def test_recovery_after_a_loss(self) -> None:
        """Lines that were lost before the recovery are part of its report, and are not reported as new afterwards."""
        self.queue.lose(3)
        self.check(0.0)
        self.queue.work()

        self.assertEqual(["audit log, memory: works again; 3 lines lost so far"], self.check(1.0))
        self.assertEqual([], self.check(2 * LOG_SECONDS))
        self.assertFalse(self.monitor.is_failing)

    def test_failures_in_turns(self) -> None:
        """A sink that fails again within ten seconds is known to fail without a report; a new loss is reported."""
        self.queue.lose(1)
        self.check(0.0)
        self.queue.work()
        self.check(1.0)

        self.queue.failure = full_disk()
        self.assertEqual([], self.check(2.0))
        self.assertTrue(self.monitor.is_failing)
        self.queue.lose(1)

        (said,) = self.check(3.0)
        self.assertIn("([audit] on_loss)", said)

    def test_effect_of_an_earlier_loss(self) -> None:
        """A failure after a recovery does not name the effect of a loss that is over."""
        self.queue.lose(1)
        self.check(0.0)
        self.queue.work()
        self.check(1.0)
        self.queue.failure = full_disk()

        (said,) = self.check(LOG_SECONDS)

        self.assertNotIn("on_loss", said)

    def test_warnings(self) -> None:
        """Each warning of a queue is reported once, in order, and is no failure."""
        self.queue.warnings.extend(["one", "two"])

        self.assertEqual(["audit log, memory: one", "audit log, memory: two"], self.check(0.0))
        self.assertEqual([], self.check(0.0))
        self.assertFalse(self.monitor.is_failing)

    def test_sinks_apart(self) -> None:
        """Each sink has its own reports, and one that fails is enough for `is_failing`."""
        other = make_queue("other")
        self.monitor = SinkMonitor([self.queue, other], is_strict=False)
        other.failure = full_disk()
        (said,) = self.check(0.0)
        self.assertTrue(said.startswith("audit log, other: "), said)
        self.assertTrue(self.monitor.is_failing)

        self.queue.failure = full_disk()
        (said,) = self.check(1.0)
        self.assertTrue(said.startswith("audit log, memory: "), said)

        other.failure = None
        self.check(2.0)
        self.assertTrue(self.monitor.is_failing)


class FirstLossTests(SynchronousTestCase):
    """What is said when lines are lost."""

    def test_said_at_once(self) -> None:
        """The first loss is said at once, with what happens to requests, and again after a recovery."""
        for is_strict, effect in ((False, "served without a line"), (True, "refused")):
            scene = Scene(is_strict=is_strict, backlog_records=4)
            said = listen(self)
            scene.audit_log.start()
            scene.settle()
            for _ in range(2):
                scene.sink.room = 0
                scene.audit_log.record(make_event())
                scene.settle()
                self.assertNotIn("on_loss", said[-1])
                self.assertFalse(scene.audit_log.is_whole)
                for _ in range(5):
                    scene.audit_log.record(make_event())
                scene.settle()
                self.assertIn("No space left on device", said[-1])
                self.assertTrue(said[-1].endswith(f"; new requests are {effect} ([audit] on_loss)"), said[-1])
                scene.sink.room = None
                scene.settle()
                self.assertIn("works again", said[-1])
                self.assertTrue(scene.audit_log.is_whole)
                scene.settle(20)

    def test_the_log_is_not_flooded(self) -> None:
        """A sink that fails for a minute is reported a few times, not thousands of times."""
        scene = Scene(backlog_records=4)
        said = listen(self)
        scene.audit_log.start()
        scene.sink.room = 0
        for _ in range(60):
            for _ in range(20):
                scene.audit_log.record(make_event())
            scene.settle()

        self.assertLess(len(said), 10)
        self.assertGreater(len(said), 3)
