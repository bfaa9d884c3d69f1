"""Networks, and IPv4 addresses embedded in IPv6 addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.match import NetworkSet, embedded_ipv4, parse_network

EMBEDDED = [
    ("::ffff:192.0.2.33", ["192.0.2.33"]),
    ("::192.0.2.33", ["192.0.2.33"]),
    ("::ffff:0:192.0.2.33", ["192.0.2.33"]),
    ("64:ff9b::192.0.2.33", ["192.0.2.33"]),
    ("64:ff9b::1:c000:221", []),
    ("2002:c000:221::1", ["192.0.2.33"]),
    ("2001:0:c000:221:8000:63bf:3fff:fdd2", ["192.0.2.33", "192.0.2.45"]),
    ("2001:db8::5efe:192.0.2.33", ["192.0.2.33"]),
    ("2001:db8::200:5efe:192.0.2.33", ["192.0.2.33"]),
    ("2001:db8::1", []),
    ("2606:4700::c000:221", []),
    ("192.0.2.33", []),
]


class NetworkTests(SynchronousTestCase):
    """Networks."""

    def test_parse(self) -> None:
        """An address is a network of its own."""
        self.assertEqual(parse_network("10.0.0.0/8"), ip_network("10.0.0.0/8"))
        self.assertEqual(parse_network("10.1.2.3"), ip_network("10.1.2.3/32"))
        self.assertEqual(parse_network("2001:db8::1"), ip_network("2001:db8::1/128"))
        for text in ("example.com", "10.0.0.1/8", "10.0.0.0/33", "", "/8", "::/129", "10.0.0.0/+8"):
            self.assertRaises(ValueError, parse_network, text)

    def test_embedded(self) -> None:
        """The IPv4 addresses inside are found."""
        for text, expected in EMBEDDED:
            self.assertEqual([str(inner) for inner in embedded_ipv4(ip_address(text))], expected, text)

    def test_local_nat64(self) -> None:
        """In the local-use prefix every layout of RFC 6052 section 2.2 is considered."""
        for text in (
            "64:ff9b:1:c000:2:2100::",
            "64:ff9b:1:aac0:0:221::",
            "64:ff9b:1:aabb:c0:2:2100:0",
            "64:ff9b:1:aabb::192.0.2.33",
        ):
            self.assertIn(IPv4Address("192.0.2.33"), embedded_ipv4(IPv6Address(text)), text)

    @given(
        st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=8),
        st.lists(st.integers(0, 2**32 - 1), max_size=8),
    )
    def test_set_agrees_with_ipaddress(self, parts: list[tuple[int, int]], probes: list[int]) -> None:
        """A set holds what one of its networks holds, at its edges too."""
        networks = [ip_network((value >> (32 - n) << (32 - n), n)) for value, n in parts]
        edges = [int(network[place]) + step for network in networks for place in (0, -1) for step in (-1, 0, 1)]

        compiled = NetworkSet.of(networks)

        for value in probes + [edge for edge in edges if 0 <= edge < 2**32]:
            address = IPv4Address(value)
            self.assertEqual(compiled.contains(address), any(address in network for network in networks))
