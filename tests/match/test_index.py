"""The index of host patterns."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.hostname import canonical_host
from egress.match import HostIndex, parse_host

_label = st.sampled_from(["a", "b", "c"])
_name = st.lists(_label, min_size=1, max_size=4).map(".".join)
_pattern = st.one_of(
    st.tuples(st.sampled_from(["", "*.", "**."]), _name).map("".join),
    st.just("**"),
    st.integers(0, 8).map(lambda bits: f"10.0.0.0/{32 - bits}"),
    st.integers(0, 255).map(lambda last: f"10.0.0.{last}"),
    st.tuples(st.integers(0, 255), st.integers(0, 8)).map(lambda t: f"10.0.0.{t[0] >> t[1] << t[1]}/{32 - t[1]}"),
    st.sampled_from(["0.0.0.0/0", "::/0", "2001:db8::/32", "2001:db8::/127", "2001:db8::1", "255.255.255.255"]),
)
_host = st.one_of(
    _name,
    st.integers(0, 255).map(lambda last: f"10.0.0.{last}"),
    st.sampled_from(["9.255.255.255", "10.0.1.0", "2001:db8::1", "2001:db8::2", "::", "0.0.0.0", "255.255.255.255"]),
)


class HostIndexTests(SynchronousTestCase):
    """Many patterns at once."""

    @settings(max_examples=400)
    @given(st.lists(_pattern, max_size=12), st.lists(_host, min_size=1, max_size=8))
    def test_agrees_with_a_scan(self, patterns: list[str], hosts: list[str]) -> None:
        """The index finds what trying one pattern after the other finds, in the same order."""
        parsed = [parse_host(pattern) for pattern in patterns]
        index = HostIndex([(pattern, place) for place, pattern in enumerate(parsed)])

        for text in hosts:
            host, address = canonical_host(text)
            expected = [(i, p.text, i) for i, p in enumerate(parsed) if p.match(host, address)]
            found = [(entry.order, entry.pattern, entry.value) for entry in index.find(host, address)]
            self.assertEqual(found, expected)

    def test_empty(self) -> None:
        """An index of nothing finds nothing."""
        index: HostIndex[None] = HostIndex([])
        self.assertEqual(index.find("example.com"), ())
        self.assertEqual(index.find("10.0.0.1", canonical_host("10.0.0.1")[1]), ())
