"""Port patterns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.match import PortSet, parse_port


class PortTests(SynchronousTestCase):
    """Ports and ranges."""

    def test_parse(self) -> None:
        """Numbers and ranges, both ends included."""
        self.assertEqual(parse_port(443), (443, 443))
        self.assertEqual(parse_port("8000-8100"), (8000, 8100))
        self.assertEqual(parse_port("1-65535"), (1, 65535))

    def test_refused(self) -> None:
        """Anything else is refused."""
        for item in (0, -1, 65536, "443", "0-1", "1-65536", "8100-8000", "a-b", "1-", "-1", "1 - 2", "1-2-3", ""):
            self.assertRaises(ValueError, parse_port, item)

    def test_text(self) -> None:
        """Ranges that touch become one."""
        self.assertEqual(str(PortSet.of([(443, 443), (8001, 8100), (8000, 8000), (80, 80)])), "80, 443, 8000-8100")

    @given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)).map(sorted), max_size=6))
    def test_agrees_with_a_scan(self, ranges: list[list[int]]) -> None:
        """A set holds what one of its ranges holds."""
        compiled = PortSet.of([(first, last) for first, last in ranges])

        for port in range(52):
            self.assertEqual(compiled.contains(port), any(first <= port <= last for first, last in ranges))
        self.assertEqual(PortSet.of(compiled.ranges()), compiled)
