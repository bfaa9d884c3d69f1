"""Comparing the scopes of rules."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.match import PortSet, Scope, listed, parse_host

NAMES = ("a.b.example", "b.example", "c.a.b.example", "example", "other.test")
HOSTS = ("**", "*.example", "*.b.example", "**.example", "**.b.example", "10.0.0.0/8", "10.1.0.0/16", "::/0", *NAMES)
PROBES = [*((name, None) for name in (*NAMES, "x.example", "x.b.example")), *(
    (text, ip_address(text)) for text in ("10.1.2.3", "10.9.9.9", "192.0.2.1", "2001:db8::1")
)]  # fmt: skip
ports = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=3).map(
    lambda ranges: PortSet.of([(first, first + more) for first, more in ranges])
)


class ScopeTests(SynchronousTestCase):
    """A scope is covered by another one only if that covers all of its requests."""

    @given(st.sampled_from(HOSTS), st.lists(st.sampled_from(HOSTS), min_size=1, max_size=3))
    def test_hosts(self, narrow: str, wide: list[str]) -> None:
        """Where hosts are said to be covered, no host is found that is not."""
        inner, outer = parse_host(narrow), [parse_host(text) for text in wide]
        if not Scope((inner,)).is_covered_by([Scope(tuple(outer))]):
            return
        for host, address in PROBES:
            if inner.match(host, address):
                self.assertTrue(any(pattern.match(host, address) for pattern in outer), (narrow, wide, host))

    def test_every_host_is_covered_by_itself(self) -> None:
        """What did not change has no excess."""
        for text in HOSTS:
            self.assertTrue(Scope((parse_host(text),)).is_covered_by([Scope((parse_host(text),))]), text)

    def test_below(self) -> None:
        """Names below a suffix are covered by what reaches below it."""
        table = {
            ("a.example", "*.example"): True,
            ("a.b.example", "*.example"): False,
            ("a.b.example", "**.example"): True,
            ("*.b.example", "**.example"): True,
            ("*.example", "**.example"): True,
            ("**.example", "*.example"): False,
            ("example", "**.example"): False,
            ("10.1.0.0/16", "10.0.0.0/8"): True,
            ("10.0.0.0/8", "10.1.0.0/16"): False,
            ("10.1.0.0/16", "**"): True,
            ("**", "**.example"): False,
        }
        for (narrow, wide), is_covered in table.items():
            found = Scope((parse_host(narrow),)).is_covered_by([Scope((parse_host(wide),))])
            self.assertEqual(is_covered, found, (narrow, wide))

    @given(ports, ports)
    def test_ports(self, narrow: PortSet, wide: PortSet) -> None:
        """Ports are covered exactly where each one is."""
        every = (parse_host("**"),)
        is_covered = all(wide.contains(port) for port in range(20) if narrow.contains(port))

        self.assertEqual(is_covered, Scope(every, narrow).is_covered_by([Scope(every, wide)]))

    def test_list(self) -> None:
        """A long list is cut short."""
        self.assertEqual("a, b, c, d and 2 more", listed(["a", "b", "c", "d", "e", "f"]))
