"""Structure hooks of scalars, and the texts of their faults. `test_shape` has whole tables."""

from __future__ import annotations

import datetime
import math
from enum import Enum
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.config.scalars import (
    Unfit,
    make_enum,
    make_literal,
    suggest,
    take_anything,
    take_exactly,
    take_float,
    take_secret,
)
from egress.errors import ConfigError
from egress.model import Secret

SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.none())


class Mode(Enum):
    """Members of two types."""

    ON = True
    WORD = "word"


class HookTests(SynchronousTestCase):
    """Which values the hooks accept."""

    @given(SCALARS)
    def test_exactly(self, raw: object) -> None:
        """A hook of a type returns values of exactly that type, and no value is converted."""
        for kind in (bool, int, float, str):
            hook = take_exactly(kind, "a word for it")
            if type(raw) is kind:
                self.assertIs(raw, hook(raw, None))
            else:
                fault = self.assertRaises(Unfit, hook, raw, None)
                self.assertEqual((("a word for it",), raw, None), (fault.wanted, fault.raw, fault.words))

    @given(SCALARS)
    def test_float(self, raw: Any) -> None:
        """A number is a finite float or an integer; every other value is refused."""
        if type(raw) not in (int, float):
            self.assertEqual(("a number",), self.assertRaises(Unfit, take_float, raw, None).wanted)
        elif not math.isfinite(raw):
            self.assertRaises(ConfigError, take_float, raw, None)
        else:
            number = take_float(raw, None)
            self.assertIs(float, type(number))
            self.assertEqual(float(raw), number)

    def test_endless_numbers(self) -> None:
        """Numbers without end, and integers beyond every float, are refused."""
        for raw in (math.inf, -math.inf, math.nan, 10**400, -(10**400)):
            error = self.assertRaises(ConfigError, take_float, raw, None)
            self.assertEqual(("", "must be a finite number"), (error.where, error.problem))

    def test_secret(self) -> None:
        """A secret is a string, and the fault of another value does not show the value."""
        self.assertEqual(Secret("hunter2"), take_secret("hunter2", None))
        fault = self.assertRaises(Unfit, take_secret, 4711, None)
        self.assertNotIn("4711", fault.problem("password"))

    def test_anything(self) -> None:
        """Every value is accepted."""
        raw = object()
        self.assertIs(raw, take_anything(raw, None))

    def test_enum(self) -> None:
        """A member is written as its value, of the value's type: `true` is not 1."""
        hook = make_enum(Mode)
        for raw, member in ((True, Mode.ON), ("word", Mode.WORD)):
            self.assertIs(member, hook(raw, None))
        for wrong in (1, 1.0, None):
            self.assertIsNone(self.assertRaises(Unfit, hook, wrong, None).words)
        self.assertEqual(("True", "word"), self.assertRaises(Unfit, hook, "x", None).words)

    def test_literal(self) -> None:
        """Each word of a Literal is itself; another value of its type is an unknown word."""
        hook = make_literal(Literal["auto", 1])
        self.assertEqual(["auto", 1], [hook("auto", None), hook(1, None)])
        for raw, words in (("x", ("auto", "1")), (2, ("auto", "1")), (True, None), (1.0, None)):
            fault = self.assertRaises(Unfit, hook, raw, None)
            self.assertEqual((('"auto"', "1"), words), (fault.wanted, fault.words), raw)


class UnfitTests(SynchronousTestCase):
    """`Unfit.problem`."""

    def test_types(self) -> None:
        """The type of the value is named as TOML names it."""
        for raw, name in (
            (True, "true or false"),
            ("x", "a string"),
            (1, "a whole number"),
            (1.5, "a number"),
            ({}, "a table"),
            ([], "an array"),
            ((), "an array"),
            (datetime.date(2026, 1, 1), "a date or time"),
            (datetime.datetime(2026, 1, 1), "a date or time"),
            (datetime.time(1), "a date or time"),
            (None, "something else"),
        ):
            self.assertEqual(f"must be a path, not {name}", Unfit(["a path"], raw).problem("key"))

    def test_several(self) -> None:
        """What is allowed is a list with `or` before its last member."""
        for wanted, text in (
            (["a"], "a"),
            (["a", "b"], "a or b"),
            (["a", "b", "c"], "one of a, b or c"),
            (["a", "b", "c", "d"], "one of a, b, c or d"),
        ):
            self.assertEqual(f"must be {text}, not a table", Unfit(wanted, {}).problem("key"))

    def test_quotes(self) -> None:
        """Quotes are named as the fault only where a string stands in the place of another scalar."""
        hint = "; write it without quotes"
        for wanted in (["a whole number"], ["a number"], ["true or false"], ["a table", "a number"]):
            self.assertTrue(Unfit(wanted, "1").problem("key").endswith(f"not a string{hint}"), wanted)
            self.assertNotIn(hint, Unfit(wanted, {}).problem("key"))
        self.assertNotIn(hint, Unfit(["a table"], "1").problem("key"))

    def test_brackets(self) -> None:
        """A value in the place of an array is to be put in brackets, a table in two."""
        for wanted, raw, end in (
            (["an array"], "x", "not a string; put it in brackets: [...]"),
            (["an array"], 1, "not a whole number; put it in brackets: [...]"),
            (["an array"], {}, "not a table; write its header in two brackets: [[...]]"),
            (["a table"], [], "not an array"),
        ):
            self.assertTrue(Unfit(wanted, raw).problem("key").endswith(end), raw)

    def test_words(self) -> None:
        """An unknown word is shown with the closest known one, unless the key or the word may be a secret's."""
        fault = Unfit(['"red"', '"blue"'], "rde", ["red", "blue"])
        self.assertEqual('must be "red" or "blue", not "rde" (did you mean \'red\'?)', fault.problem("colour"))
        self.assertIn("not (value not shown)", fault.problem("password"))
        self.assertNotIn("hunter2", Unfit(['"red"'], "joe:hunter2@red", ["red"]).problem("colour"))


class SuggestTests(SynchronousTestCase):
    """`suggest`."""

    def test_suggestions(self) -> None:
        """A close word is suggested whatever its case; a distant word, the word itself and other types have none."""
        for word, hint in (
            ("host", " (did you mean 'hosts'?)"),
            ("HOSTS", " (did you mean 'hosts'?)"),
            ("prots", " (did you mean 'ports'?)"),
            ("hosts", ""),
            ("zzz", ""),
            ("", ""),
            (1, ""),
        ):
            self.assertEqual(hint, suggest(word, ["hosts", "ports"]), word)

    @given(st.text(max_size=8), st.lists(st.text(min_size=1, max_size=8), max_size=4))
    def test_any_words(self, word: str, known: list[str]) -> None:
        """A suggestion is a known word, and not the word that was written."""
        others = [f" (did you mean {each!r}?)" for each in known if each != word]

        self.assertIn(suggest(word, known), ["", *others])
