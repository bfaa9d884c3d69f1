"""Texts with stars."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.match.wildcard import Wildcard


class WildcardTests(SynchronousTestCase):
    """`Wildcard`."""

    def test_matches(self) -> None:
        """A star is any number of characters; a text without a star is the whole text."""
        for pattern, text, expected in (
            ("", "", True),
            ("", "a", False),
            ("ab", "ab", True),
            ("ab", "abc", False),
            ("ab", "AB", False),
            ("*", "", True),
            ("*", "a/b", True),
            ("a*", "a", True),
            ("a*", "ba", False),
            ("*a", "a", True),
            ("*a", "ab", False),
            ("a*c", "abc", True),
            ("a*b*c", "a-b-c", True),
            ("a*b*c", "a-c-b", False),
            ("a*bb*c", "abc", False),
        ):
            self.assertEqual(expected, Wildcard.parse(pattern).match(text), (pattern, text))

    def test_pieces_do_not_overlap(self) -> None:
        """A character of the text belongs to one piece of the pattern."""
        for pattern, text in (
            ("ab*ba", "aba"),
            ("a*a", "a"),
            ("ab*b*c", "abc"),
            ("a*bc*c", "abc"),
            ("*aba*aba*", "ababa"),
        ):
            self.assertFalse(Wildcard.parse(pattern).match(text), (pattern, text))

    def test_text(self) -> None:
        """The text of a pattern has one star for each run of stars, and is the pattern's canonical form."""
        for pattern, text in (("", ""), ("a", "a"), ("*", "*"), ("**", "*"), ("a***b**", "a*b*"), ("*a*", "*a*")):
            self.assertEqual(text, Wildcard.parse(pattern).text)
            self.assertEqual(Wildcard.parse(text), Wildcard.parse(pattern))

    def test_unescape(self) -> None:
        """Pieces are decoded after the division: a decoded star is a character, and matches itself alone."""
        wildcard = Wildcard.parse("%*%*%", lambda piece: piece.replace("%", "*"))

        self.assertTrue(wildcard.match("*a*b*"))
        self.assertFalse(wildcard.match("aa*b*"))
        self.assertFalse(wildcard.match("*a-b*"))
        self.assertFalse(wildcard.match("*a*bb"))

    def test_hostile_length(self) -> None:
        """Many stars and a long text take no time worth measuring."""
        self.assertFalse(Wildcard.parse("*".join("a" * 50) + "*b").match("a" * 8000))

    @given(st.text("a*", max_size=6), st.text("ab", max_size=8))
    def test_agrees_with_a_regular_expression(self, pattern: str, text: str) -> None:
        """A star within a text stands for any characters."""
        expression = ".*".join(map(re.escape, pattern.split("*")))
        self.assertEqual(Wildcard.parse(pattern).match(text), re.fullmatch(expression, text) is not None)
