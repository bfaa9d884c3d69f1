"""Texts with stars."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.match.wildcard import Wildcard


class WildcardTests(SynchronousTestCase):
    """`Wildcard`."""

    def test_hostile_length(self) -> None:
        """Many stars and a long text take no time worth measuring."""
        self.assertFalse(Wildcard.parse("*".join("a" * 50) + "*b").match("a" * 8000))

    @given(st.text("a*", max_size=6), st.text("ab", max_size=8))
    def test_agrees_with_a_regular_expression(self, pattern: str, text: str) -> None:
        """A star within a text stands for any characters."""
        expression = ".*".join(map(re.escape, pattern.split("*")))
        self.assertEqual(Wildcard.parse(pattern).match(text), re.fullmatch(expression, text) is not None)
