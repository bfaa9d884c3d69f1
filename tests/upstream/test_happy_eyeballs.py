"""The order of dialling. `test_direct_endpoint` has whole dials."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.model import Address
from egress.upstream.happy_eyeballs import interleave


class InterleaveTests(SynchronousTestCase):
    """The order of dialling."""

    @given(st.lists(st.ip_addresses(), min_size=1, max_size=12, unique=True))
    def test_order(self, addresses: list[Address]) -> None:
        """Nothing is lost or added, the first stays first, families keep their order and take turns while both last."""
        order = interleave(tuple(addresses))

        self.assertEqual(sorted(map(str, order)), sorted(map(str, addresses)))
        self.assertIs(order[0], addresses[0])
        for version in (4, 6):
            self.assertEqual(
                [address for address in order if address.version == version],
                [address for address in addresses if address.version == version],
            )
        fours = sum(address.version == 4 for address in order)
        both = 2 * min(fours, len(order) - fours)
        for one, other in pairwise(order[:both]):
            self.assertNotEqual(one.version, other.version)
