"""Via: how a request that comes back is known."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.via import Via

VIA = Via(b"egress-1a2b")

# A value, and whether it names the proxy.
VALUES: list[tuple[bytes, bool]] = [
    (b"", False),
    (b"1.1 egress", False),
    (b"1.1 egress-1a2c", False),
    (b"1.1 egress-1a2b", True),
    (b"1.0 EGRESS-1A2B", True),
    (b"HTTP/1.1 fred (a, \\) b), 1.1 egress-1a2b (c), 1.1 last", True),
]


class ViaTests(SynchronousTestCase):
    """The pseudonym in requests."""

    def test_values(self) -> None:
        """It is found in any place and case."""
        for value, is_named in VALUES:
            self.assertEqual(VIA.is_in(value), is_named, value)

    def test_pseudonym(self) -> None:
        """Each process has its own, which says nothing of the machine."""
        first, second = Via.make(), Via.make()

        self.assertRegex(first.pseudonym, rb"\Aegress-[0-9a-f]{16}\Z")
        self.assertNotEqual(first.pseudonym, second.pseudonym)
        self.assertNotIn(socket.gethostname().encode(), first.line_11)
        self.assertTrue(first.is_in(first.line_11))
        self.assertFalse(first.is_in(second.line_11))

    def test_octets(self) -> None:
        """The fields are prepared for both versions, with and without the end of the head."""
        self.assertEqual(VIA.line_11, b"Via: 1.1 egress-1a2b\r\n")
        self.assertEqual(VIA.end_10, b"Via: 1.0 egress-1a2b\r\n\r\n")
        self.assertEqual((VIA.line_11 + b"\r\n", VIA.line_10 + b"\r\n"), (VIA.end_11, VIA.end_10))

    @given(st.lists(st.sampled_from([b"1.1 a", b"1.0 b.example:80 (c)", b"HTTP/2 d"])), st.integers(0, 5))
    def test_any_row(self, others: list[bytes], place: int) -> None:
        """Whatever other proxies the request has passed, this one is found."""
        self.assertTrue(VIA.is_in(b", ".join([*others[:place], b"1.1 egress-1a2b", *others[place:]])))
        self.assertFalse(VIA.is_in(b", ".join(others)))
