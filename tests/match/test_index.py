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

    def assert_found(self, patterns: str, expected: dict[str, str]) -> None:
        """Assert which patterns are found for each host, in order."""
        index = HostIndex([(parse_host(pattern), pattern.upper()) for pattern in patterns.split()])
        for text, found in expected.items():
            host, address = canonical_host(text)
            entries = index.find(host, address)
            self.assertEqual(found.split(), [entry.pattern for entry in entries], text)
            self.assertEqual([each.upper() for each in found.split()], [entry.value for entry in entries])

    def test_order(self) -> None:
        """The patterns are found in the order of the list, whatever their kinds are."""
        self.assert_found(
            "**.example.com a.example.com ** *.example.com a.example.com",
            {
                "a.example.com": "**.example.com a.example.com ** *.example.com a.example.com",
                "b.example.com": "**.example.com ** *.example.com",
                "a.b.example.com": "**.example.com **",
                "example.com": "**",
                "192.0.2.1": "**",
            },
        )
        self.assert_found("*.b **.b", {"a.b": "*.b **.b", "a.a.b": "**.b", "b": ""})

    def test_suffixes(self) -> None:
        """A pattern of a longer suffix does not hide those of a shorter one."""
        self.assert_found(
            "**.com *.com **.b.com *.a.b.com",
            {
                "x.a.b.com": "**.com **.b.com *.a.b.com",
                "y.x.a.b.com": "**.com **.b.com",
                "a.b.com": "**.com **.b.com",
                "b.com": "**.com *.com",
                "c.b.com": "**.com **.b.com",
                "com": "",
            },
        )

    def test_nested_networks(self) -> None:
        """An address is in every network around it, up to the first and last address of each."""
        self.assert_found(
            "10.0.1.0/24 10.0.0.0/8 10.0.1.1 **",
            {
                "9.255.255.255": "**",
                "10.0.0.0": "10.0.0.0/8 **",
                "10.0.1.0": "10.0.1.0/24 10.0.0.0/8 **",
                "10.0.1.1": "10.0.1.0/24 10.0.0.0/8 10.0.1.1 **",
                "10.0.1.2": "10.0.1.0/24 10.0.0.0/8 **",
                "10.0.1.255": "10.0.1.0/24 10.0.0.0/8 **",
                "10.0.2.0": "10.0.0.0/8 **",
                "10.255.255.255": "10.0.0.0/8 **",
                "11.0.0.0": "**",
            },
        )

    def test_adjacent_networks(self) -> None:
        """Networks that follow each other without a gap, or end together, do not mix."""
        self.assert_found(
            "10.0.0.0/25 10.0.0.128/25 10.0.0.128/26 10.0.0.192/26 10.0.1.0/24",
            {
                "10.0.0.127": "10.0.0.0/25",
                "10.0.0.128": "10.0.0.128/25 10.0.0.128/26",
                "10.0.0.255": "10.0.0.128/25 10.0.0.192/26",
                "10.0.1.0": "10.0.1.0/24",
                "10.0.2.0": "",
            },
        )

    def test_ends_of_the_address_space(self) -> None:
        """The first and the last addresses are like all others, and the versions are apart."""
        self.assert_found(
            "0.0.0.0/0 255.255.255.255 ::/0 0.0.0.0 ffff::/16",
            {
                "0.0.0.0": "0.0.0.0/0 0.0.0.0",
                "0.0.0.1": "0.0.0.0/0",
                "255.255.255.255": "0.0.0.0/0 255.255.255.255",
                "::": "::/0",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "::/0 ffff::/16",
                "a": "",
            },
        )
