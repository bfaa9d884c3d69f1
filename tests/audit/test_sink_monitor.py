"""The reports of sinks that fail, lose lines and recover."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.audit.fakes import Scene, listen, make_event


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
