"""The descriptors that connections may use."""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.transports.accept_backoff import PAUSE_SECONDS, AcceptBackoff
from egress.transports.descriptor_ceiling import DescriptorCeiling


class CeilingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.some = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, self.some)
        self.next = os.dup(self.some)
        os.close(self.next)

    def test_reached(self) -> None:
        """The ceiling is reached if the next descriptor would be one of the reserve; asking for it opens none."""
        before = os.listdir("/proc/self/fd")

        self.assertTrue(DescriptorCeiling(self.next).is_reached(self.some))
        self.assertFalse(DescriptorCeiling(self.next + 1).is_reached(self.some))
        self.assertFalse(DescriptorCeiling().is_reached(self.some))

        self.assertEqual(before, os.listdir("/proc/self/fd"))

    def test_gaps(self) -> None:
        """A lower descriptor that is free again counts."""
        taken = [os.dup(self.some) for _ in range(10)]
        ceiling = DescriptorCeiling(taken[-1])
        self.assertTrue(ceiling.is_reached(self.some))

        os.close(taken.pop(3))

        self.assertFalse(ceiling.is_reached(self.some))
        for each in taken:
            os.close(each)

    def test_nothing_open(self) -> None:
        """Where no descriptor can be had at all it is reached."""
        closed = os.dup(self.some)
        os.close(closed)

        self.assertTrue(DescriptorCeiling().is_reached(closed))

    def test_listener(self) -> None:
        """A listener pauses at the ceiling, and accepts again below it."""
        clock, done = Clock(), list[str]()
        ceiling = DescriptorCeiling(self.next)
        backoff = AcceptBackoff(clock, lambda: done.append("stop"), lambda: done.append("restart"), ceiling)
        backoff.is_near = True

        self.assertFalse(backoff.may_accept(self.some))

        self.assertEqual((["stop"], 1), (done, backoff.pauses))
        clock.advance(PAUSE_SECONDS)
        self.assertEqual(["stop", "restart"], done)
        ceiling.set(None)
        self.assertTrue(backoff.may_accept(self.some))
        self.assertFalse(backoff.is_near)
