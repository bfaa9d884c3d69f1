"""How long an origin says that it keeps its idle connection."""

from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.keep_alive import find_idle_seconds


class IdleSecondsTests(SynchronousTestCase):
    """Values of Keep-Alive."""

    def test_read(self) -> None:
        """The timeout is found in what servers send, the least of several counts, and anything else says nothing."""
        for values, expected in {
            (b"timeout=5",): 5,
            (b"timeout=5, max=100",): 5,
            (b"max=100,timeout=15",): 15,
            (b'Timeout = "20"',): 20,
            (b"timeout=30, timeout=3",): 3,
            (b"timeout=30", b"timeout=4"): 4,
            (b"timeout=0",): 0,
            (b"timeout=999999999",): 999_999_999,
            (): inf,
            (b"",): inf,
            (b"max=5",): inf,
            (b"timeout",): inf,
            (b"timeout=",): inf,
            (b"timeout=-1",): inf,
            (b"timeout=x",): inf,
            (b"notimeout=5",): inf,
            (b"timeout=1234567890",): inf,
        }.items():
            self.assertEqual(expected, find_idle_seconds(values), values)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=3))
    def test_anything(self, values: list[bytes]) -> None:
        """Whatever an origin sends, there is a number of seconds, and no error."""
        self.assertGreaterEqual(find_idle_seconds(values), 0)
