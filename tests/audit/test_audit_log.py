"""The audit log under load, on full disks and at its end."""

from __future__ import annotations

import errno
import json
from collections import Counter
from io import BytesIO

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.audit.audit_log import AuditLog
from egress.audit.encoder import LineEncoder
from egress.audit.refusal_folding import FOLD_SECONDS
from egress.audit.sink_queue import SinkQueue
from egress.audit.verification import verify
from egress.errors import Refused
from egress.interfaces import IAuditSink
from egress.model import Client
from tests.audit.fakes import EPOCH, MemorySink, Scene, TurnWriter, listen, make_event, make_request
from tests.audit.test_refusal_folding import refusal


class AuditLogTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """The audit log provides IAuditSink."""
        self.assertTrue(verifyObject(IAuditSink, Scene().audit_log))

    def test_batches(self) -> None:
        """Recording an event writes nothing; its line is written later, after the start line."""
        scene = Scene()
        scene.audit_log.start(config_generation=1)
        scene.audit_log.record(make_event())
        self.assertEqual([], scene.types())

        scene.settle(0.05)

        self.assertEqual(["start", "end"], scene.types())
        self.assertEqual(1, scene.sink.lines[0]["config_generation"])
        self.assertEqual([], scene.clock.getDelayedCalls())

    def test_records_before_the_start(self) -> None:
        """Events before the start are kept until the writers run."""
        scene = Scene()
        scene.audit_log.record(make_event())
        scene.settle()

        scene.audit_log.start()
        scene.settle()

        self.assertEqual(["start", "end"], scene.types())

    def test_a_turn_is_bounded(self) -> None:
        """A thousand events are formatted in several iterations of the reactor, in order."""
        scene = Scene(backlog_records=2000)
        scene.audit_log.start()
        for number in range(1000):
            scene.audit_log.record(make_event(request=make_request(request_id=f"r{number}")))

        seen: list[int] = []
        scene.clock.callLater(0.025, lambda: seen.append(len(scene.types())))

        scene.settle()

        self.assertLess(seen[0], 200)
        self.assertEqual(
            [f"r{number}" for number in range(1000)], [line["request_id"] for line in scene.sink.lines[1:]]
        )

    def test_flush(self) -> None:
        """A flush fires when everything accepted before it is written."""
        scene = Scene()
        scene.audit_log.start()
        scene.audit_log.record(make_event())

        flushed = scene.audit_log.flush()
        self.assertNoResult(flushed)
        scene.settle(0.05)

        self.successResultOf(flushed)
        self.assertEqual(["start", "end"], scene.types())

    def test_flush_of_a_hung_sink(self) -> None:
        """A flush does not wait for ever, and can be cancelled."""
        scene = Scene()
        scene.audit_log.start()
        scene.writers[0].is_hung = True
        scene.audit_log.record(make_event())

        flushed, cancelled = scene.audit_log.flush(), scene.audit_log.flush()
        cancelled.addErrback(lambda failure: None)
        cancelled.cancel()
        scene.settle(4.5)
        self.assertNoResult(flushed)
        scene.settle(1.0)

        self.successResultOf(flushed)

    def test_stop(self) -> None:
        """A stop writes everything and the stop line, closes the sink and leaves no timer; later events are lost."""
        scene = Scene()
        scene.audit_log.start()
        scene.audit_log.record(make_event())

        stopped = scene.audit_log.stop(signal="SIGTERM")
        scene.settle(0.1)

        self.successResultOf(stopped)
        self.assertEqual(["start", "end", "stop"], scene.types())
        self.assertEqual("SIGTERM", scene.sink.lines[-1]["signal"])
        self.assertTrue(scene.sink.is_closed)
        scene.audit_log.record(make_event())
        scene.audit_log.note("stop")
        self.successResultOf(scene.audit_log.stop())
        self.assertEqual([], scene.clock.getDelayedCalls())
        self.assertEqual(2, scene.audit_log.lost)

    def test_stop_with_a_hung_sink(self) -> None:
        """A sink that hangs does not keep the supervisor from ending; the log has the number of lines not written."""
        scene = Scene()
        said = listen(self)
        scene.audit_log.start()
        scene.writers[0].is_hung = True

        stopped = scene.audit_log.stop()
        scene.settle(7.0)

        self.successResultOf(stopped)
        self.assertEqual(2, scene.audit_log.lost)
        self.assertTrue(any("ends without its last" in text for text in said))
        self.assertEqual([], scene.clock.getDelayedCalls())

    def test_stop_without_start(self) -> None:
        """An audit log that never started lets go of its sinks."""
        scene = Scene()

        self.successResultOf(scene.audit_log.stop())

        self.assertTrue(scene.sink.is_closed)

    def test_notes(self) -> None:
        """A note of an unknown type or with the audit log's own keys is a mistake of the caller."""
        scene = Scene()
        for kind, facts in (("begin", {}), ("start", {"seq": 1}), ("start", {"timestamp": 1})):
            with self.assertRaises(ValueError):
                scene.audit_log.note(kind, **facts)

    def test_a_record_that_cannot_be_formatted(self) -> None:
        """An event that cannot be formatted is counted and logged; the events around it are written."""
        scene = Scene()
        scene.audit_log.start()
        broken = make_event()
        broken.client = Client("c", None)  # type: ignore[arg-type]
        for record in (make_event(), broken, make_event()):
            scene.audit_log.record(record)

        scene.settle()

        self.assertEqual({"start": 1, "end": 2, "loss": 1}, Counter(scene.types()))
        self.assertEqual(1, scene.audit_log.lost)
        self.assertEqual(1, len(self.flushLoggedErrors()))


class LossTests(SynchronousTestCase):
    def test_full_disk_and_recovery(self) -> None:
        """Lines wait while the disk is full and are then written, none lost, each on its own."""
        scene = Scene()
        scene.audit_log.start()
        scene.sink.room = 1000
        for number in range(10):
            scene.audit_log.record(make_event(request=make_request(request_id=f"r{number}")))
        scene.settle()
        self.assertEqual(1000, len(scene.sink.files[0]))

        scene.sink.room = None
        scene.settle()

        self.assertEqual(["start"] + ["end"] * 10, scene.types())
        self.assertEqual(0, scene.audit_log.lost)

    def test_losses_are_counted_and_said(self) -> None:
        """Lost lines are counted, and a `loss` line takes their place as soon as the sink works again."""
        scene = Scene(backlog_records=10)
        said = listen(self)
        scene.audit_log.start()
        scene.settle(0.05)
        scene.sink.room = 0
        for _ in range(5):
            for _ in range(5):
                scene.audit_log.record(make_event())
            scene.settle()
        self.assertEqual(15, scene.audit_log.lost)
        # The failure, and the first loss.
        self.assertEqual(2, len([text for text in said if "No space left" in text]), said)

        scene.sink.room = None
        scene.settle()
        scene.audit_log.record(make_event())
        scene.settle()

        self.assertEqual(["start"] + ["end"] * 10 + ["loss", "end"], scene.types())
        loss = scene.sink.lines[11]
        self.assertEqual((15, "memory", "2026-09-21T14:13:22"), (loss["count"], loss["sink"], str(loss["since"])[:19]))
        self.assertTrue(said[-1].endswith("works again; 15 lines lost so far"), said)
        self.assertEqual([], scene.clock.getDelayedCalls())

    def test_octets_are_bounded(self) -> None:
        """The backlog is bounded in octets as well."""
        scene = Scene(backlog_bytes=5_000)
        scene.audit_log.start()
        scene.sink.room = 0
        for _ in range(50):
            scene.audit_log.record(make_event())
        scene.settle()

        self.assertGreater(scene.audit_log.lost, 40)

    def test_flood_before_formatting(self) -> None:
        """Events beyond the backlog are lost and counted at once, and memory stays bounded."""
        scene = Scene(backlog_records=100)
        for _ in range(150):
            scene.audit_log.record(make_event())

        self.assertEqual(50, scene.audit_log.lost)
        scene.audit_log.start()
        scene.settle()
        self.assertEqual(50, next(line["count"] for line in scene.sink.lines if line["event"] == "loss"))

    def test_flush_fires_for_lost_lines(self) -> None:
        """A flush does not wait for lost lines."""
        scene = Scene(backlog_records=4)
        scene.audit_log.start()
        scene.settle(0.05)
        scene.sink.room = 0
        for _ in range(8):
            scene.audit_log.record(make_event())
        scene.settle(0.1)
        flushed = scene.audit_log.flush()
        scene.settle(0.1)
        self.assertNoResult(flushed)

        scene.sink.room = None
        scene.settle(0.2)

        self.successResultOf(flushed)

    def test_two_sinks_fail_apart(self) -> None:
        """A sink that fails takes nothing from the other one."""
        clock, sinks = Clock(), [MemorySink(), MemorySink()]
        queues = [SinkQueue(sink, False, 10, 1 << 20, lambda: EPOCH) for sink in sinks]
        audit_log = AuditLog(clock, queues, LineEncoder("first"), 10, spawn=lambda queue: TurnWriter(queue, clock))
        audit_log.start()
        sinks[0].room, sinks[0].fault = 0, errno.EPIPE
        for _ in range(30):
            audit_log.record(make_event())
            clock.pump([0.025] * 4)

        self.assertEqual(31, len(sinks[1].lines))
        self.assertEqual((21, 0), (queues[0].lost, queues[1].lost))


class StrictTests(SynchronousTestCase):
    def test_continue(self) -> None:
        """By default, losses stop nobody."""
        scene = Scene(is_strict=False, backlog_records=4)
        scene.sink.room = 0
        scene.audit_log.start()
        for _ in range(20):
            scene.audit_log.record(make_event())
        scene.settle()

        self.assertTrue(scene.audit_log.is_accepting)

    def test_refuse_and_recover(self) -> None:
        """With on_loss = refuse nothing new is accepted from the first failure on, until the sink works again."""
        scene = Scene(is_strict=True)
        scene.audit_log.start()
        scene.settle()
        self.assertTrue(scene.audit_log.is_accepting)

        scene.sink.room = 0
        scene.audit_log.record(make_event())
        scene.settle(0.1)
        self.assertFalse(scene.audit_log.is_accepting)
        scene.settle(3)
        self.assertFalse(scene.audit_log.is_accepting)

        scene.sink.room = None
        scene.settle(0.5)
        self.assertTrue(scene.audit_log.is_accepting)
        self.assertEqual(["start", "end"], scene.types())

    def test_a_slow_sink_is_given_half_the_backlog(self) -> None:
        """A pipe without room is not a failure until half the backlog waits; the other half is for open requests."""
        scene = Scene(is_strict=True, backlog_records=20)
        scene.audit_log.start()
        scene.settle()
        scene.sink.room, scene.sink.fault = 0, errno.EAGAIN

        answers = []
        for _ in range(12):
            scene.audit_log.record(make_event())
            scene.settle(0.1)
            answers.append(scene.audit_log.is_accepting)

        self.assertEqual([True] * 10 + [False] * 2, answers)
        scene.sink.room = None
        scene.settle(0.2)
        self.assertTrue(scene.audit_log.is_accepting)
        self.assertEqual(0, scene.audit_log.lost)

    def test_held_records_count(self) -> None:
        """Events that wait to be formatted are part of the backlog."""
        scene = Scene(is_strict=True, backlog_records=20)
        for _ in range(11):
            scene.audit_log.record(make_event())

        self.assertFalse(scene.audit_log.is_accepting)


class ReopenTests(SynchronousTestCase):
    def test_reopen(self) -> None:
        """Both files have a `reopen` line, and no line is lost or doubled."""
        scene = Scene()
        scene.audit_log.start()
        scene.audit_log.record(make_event())
        scene.settle()

        scene.audit_log.reopen()
        scene.audit_log.record(make_event())
        scene.settle()

        old = [json.loads(line)["event"] for line in scene.sink.files[0].splitlines()]
        self.assertEqual((["start", "end", "reopen"], ["reopen", "end"]), (old, scene.types()))

    def test_reopen_fails(self) -> None:
        """A file that cannot be opened anew leaves the old one in use."""
        scene = Scene()
        scene.audit_log.start()
        scene.sink.reopening = errno.EACCES
        scene.audit_log.reopen()
        scene.audit_log.record(make_event())
        scene.settle()

        self.assertEqual(["start", "end"], scene.types())
        self.assertEqual(1, len(scene.sink.files))

    def test_reopen_cures_a_full_disk(self) -> None:
        """Lines that wait because the old file is full go to the new one; an incomplete line in the old one is lost."""
        scene = Scene()
        scene.audit_log.start()
        scene.settle()
        scene.sink.room = 100
        for _ in range(5):
            scene.audit_log.record(make_event())
        scene.settle()
        switch = scene.sink.switch

        def switch_to_a_disk_with_room() -> None:
            switch()
            scene.sink.room = None

        self.patch(scene.sink, "switch", switch_to_a_disk_with_room)
        scene.audit_log.reopen()
        scene.settle()

        self.assertEqual(["reopen"] + ["end"] * 4 + ["loss"], scene.types())
        self.assertEqual(1, scene.audit_log.lost)


class FoldingTests(SynchronousTestCase):
    """Requests that were not admitted, in the whole audit log."""

    def test_flood(self) -> None:
        """A flood of refusals has one line, and one more each ten seconds; allowed requests have all of theirs."""
        scene = Scene()
        scene.audit_log.start()
        for number in range(1_000):
            scene.audit_log.record(refusal(number))
        for _ in range(5):
            scene.audit_log.record(make_event())
        scene.settle()
        self.assertEqual(["start", "refused"] + ["end"] * 5, scene.types())

        scene.settle(FOLD_SECONDS)

        self.assertEqual("repeated", scene.types()[-1])
        self.assertEqual((999, 999), (scene.sink.lines[-1]["count"], scene.audit_log.repeated))
        scene.settle(FOLD_SECONDS * 3)
        self.assertEqual([], scene.clock.getDelayedCalls())
        self.assertEqual(0, scene.audit_log.lost)

    def test_admitted_requests(self) -> None:
        """A request that was admitted has its own line whatever became of it, however often."""
        scene = Scene()
        scene.audit_log.start()
        for _ in range(10):
            scene.audit_log.record(make_event("refused", refused=Refused("server_name_refused", "It differs.")))
            scene.audit_log.record(make_event(refused=Refused("connection_refused", "It failed.")))
        scene.settle()

        self.assertEqual({"start": 1, "refused": 10, "end": 10}, Counter(scene.types()))

    def test_stop(self) -> None:
        """What was counted is written before the stop line, in a chain too; nothing is left to do."""
        scene = Scene(is_chained=True)
        scene.audit_log.start()
        for number in range(10):
            scene.audit_log.record(refusal(number))

        stopped = scene.audit_log.stop()
        scene.settle()

        self.successResultOf(stopped)
        self.assertEqual(["start", "refused", "repeated", "stop"], scene.types())
        self.assertEqual(4, verify(BytesIO(scene.sink.files[0]), "a").lines)
        self.assertEqual([], scene.clock.getDelayedCalls())

    def test_rotation(self) -> None:
        """What was counted before a rotation is in the old file, and what came after it in the new one."""
        scene = Scene(is_chained=True)
        scene.audit_log.start()
        for number in range(10):
            scene.audit_log.record(refusal(number))

        scene.audit_log.reopen()
        scene.audit_log.record(refusal(10))
        scene.audit_log.stop()
        scene.settle()

        old, new = ([json.loads(line)["event"] for line in data.splitlines()] for data in scene.sink.files)
        self.assertEqual(["start", "refused", "repeated", "reopen"], old)
        self.assertEqual(["reopen", "repeated", "stop"], new)

    def test_flush(self) -> None:
        """A flush writes what was counted."""
        scene = Scene()
        scene.audit_log.start()
        for number in range(3):
            scene.audit_log.record(refusal(number))

        flushed = scene.audit_log.flush()
        scene.settle(0.1)

        self.successResultOf(flushed)
        self.assertEqual(["start", "refused", "repeated"], scene.types())

    def test_full_disk(self) -> None:
        """While the disk is full a flood takes no room from other lines, and is counted on; nothing of it is lost."""
        scene = Scene(backlog_records=64)
        scene.audit_log.start()
        scene.settle()
        scene.sink.room = 0
        for _ in range(5):
            for number in range(100):
                scene.audit_log.record(refusal(number))
            scene.settle(FOLD_SECONDS)
        scene.sink.room = None
        scene.settle(FOLD_SECONDS * 2)

        counts = [line["count"] for line in scene.sink.lines if line["event"] == "repeated"]
        self.assertEqual(499, sum(counts))
        self.assertLessEqual(len(counts), 5)
        self.assertEqual(0, scene.audit_log.lost)

    def test_a_record_that_cannot_be_formatted(self) -> None:
        """A refusal that cannot be formatted is counted as lost, and logged; the proxy goes on."""
        scene = Scene()
        scene.audit_log.start()
        broken = refusal(0)
        broken.client = Client("c", None)  # type: ignore[arg-type]
        scene.audit_log.record(broken)
        scene.audit_log.record(refusal(1))
        scene.settle()

        self.assertEqual({"start": 1, "refused": 1, "loss": 1}, Counter(scene.types()))
        self.assertEqual(1, len(self.flushLoggedErrors()))
