"""The order of addresses of two families."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.model import Address
from egress.upstream.dns.address_order import find_source, sort_addresses


def sort(destinations: list[str], sources: dict[str, str]) -> list[str]:
    """Sort addresses for a machine that reaches each of them from an address."""

    def source_of(address: Address) -> Address | None:
        return ip_address(sources[str(address)]) if str(address) in sources else None

    return [str(each) for each in sort_addresses(tuple(map(ip_address, destinations)), source_of)]


class OrderTests(SynchronousTestCase):
    """RFC 6724 section 10.2, as far as names have addresses of two families."""

    def test_examples(self) -> None:
        """The destinations of each example, and the source of each, come in the order of the RFC."""
        for what, wanted, sources in (
            ("matching scope", ["2001:db8:1::1", "198.51.100.121"], ["2001:db8:1::2", "169.254.13.78"]),
            ("matching scope", ["198.51.100.121", "2001:db8:1::1"], ["198.51.100.117", "fe80::1"]),
            ("higher precedence", ["2001:db8:1::1", "10.1.2.3"], ["2001:db8:1::2", "10.1.2.4"]),
            ("matching label", ["198.51.100.121", "2002:c633:6401::1"], ["198.51.100.117", "fe80::2"]),
            ("unusable", ["198.51.100.121", "2001:db8:1::1"], ["198.51.100.117"]),
            ("unusable", ["2001:db8:1::1", "198.51.100.121"], ["2001:db8:1::2"]),
            ("unique local source", ["198.51.100.121", "2001:db8:1::1"], ["10.0.0.1", "fd00::2"]),
            ("Teredo", ["198.51.100.121", "2001::1"], ["198.51.100.117", "2001::2"]),
            ("smaller scope", ["fe80::1", "2001:db8:1::1", "10.1.2.3"], ["fe80::2", "2001:db8:1::2", "10.1.2.4"]),
        ):
            with self.subTest(f"{what}: {wanted}"):
                known = dict(zip(wanted, sources, strict=False))

                self.assertEqual(wanted, sort(wanted, known))
                self.assertEqual(wanted, sort(wanted[::-1], known))

    def test_the_servers_order_stays(self) -> None:
        """Addresses that nothing tells apart stay as the name server gave them, to share its load."""
        four, six = ["198.51.100.9", "198.51.100.1"], ["2001:db8::9", "2001:db8::1"]
        sources = dict.fromkeys(four, "198.51.100.117") | dict.fromkeys(six, "2001:db8:1::2")

        self.assertEqual([*six, *four], sort([*four, *six], sources))

    def test_one_family(self) -> None:
        """Addresses of one family are not sorted, and nobody asks for their sources."""

        def never(address: Address) -> None:
            raise AssertionError(address)

        addresses = (ip_address("198.51.100.9"), ip_address("127.0.0.1"))

        self.assertEqual(addresses, sort_addresses(addresses, never))
        self.assertEqual((), sort_addresses((), never))

    @given(st.lists(st.ip_addresses(), max_size=8), st.integers())
    def test_nothing_is_lost(self, addresses: list[Address], seed: int) -> None:
        """The result has the addresses and no others."""

        def source_of(address: Address) -> Address | None:
            return address if (int(address) ^ seed) % 3 else None

        self.assertEqual(sorted(map(str, addresses)), sorted(map(str, sort_addresses(tuple(addresses), source_of))))


class SourceTests(SynchronousTestCase):
    """What the kernel says."""

    def test_loopback(self) -> None:
        """Loopback is reached from loopback."""
        self.assertEqual(ip_address("127.0.0.1"), find_source(ip_address("127.0.0.1")))

    def test_no_way(self) -> None:
        """An address that nobody can send to has no source."""
        self.assertIsNone(find_source(ip_address("255.255.255.255")))
