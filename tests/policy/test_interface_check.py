"""Checks of the objects of plugins, and the sentences about their faults."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Attribute, Interface, Invalid, classImplements

from egress.policy.interface_check import _each, breaches

SECRET = "a-word-that-must-not-be-seen"


class IThing(Interface):
    """An interface with an attribute and two methods."""

    name: str = Attribute("A name.")

    def speak(word: str, loud: bool) -> None:
        """Take two arguments."""

    def hear() -> None:
        """Take none."""


@define(eq=False)
class Whole:
    """Has everything, and shows a secret."""

    name: str = SECRET

    def speak(self, word: str, loud: bool) -> None:
        """Do nothing."""

    def hear(self) -> None:
        """Do nothing."""


class WithMore(Whole):
    """Has arguments that a caller may leave out."""

    def speak(self, word: str, loud: bool, soft: bool = False) -> None:
        """Do nothing."""


@define(eq=False)
class Nameless:
    """Has no attribute and one method."""

    secret: str = SECRET

    def hear(self) -> None:
        """Do nothing."""


class Shy(Whole):
    """Takes fewer arguments."""

    def speak(self, word: str) -> None:  # type: ignore[override]
        """Do nothing."""


class Greedy(Whole):
    """Takes more arguments."""

    def hear(self, word: str) -> None:  # type: ignore[override]
        """Do nothing."""


class Undeclared(Whole):
    """Does not declare the interface."""


_claim: Any = classImplements
for _each_class in (WithMore, Nameless, Shy, Greedy):
    _claim(_each_class, IThing)


class BreachesTests(SynchronousTestCase):
    """`breaches`."""

    def assert_breaches(self, thing: object, expected: str) -> None:
        """Assert what is said about an object."""
        said = breaches(IThing, thing)
        self.assertEqual(expected, said)
        self.assertNotIn(SECRET, said)

    def test_provided(self) -> None:
        """Nothing is said about an object that provides the interface, or takes more than it must."""
        self.assert_breaches(WithMore(), "")

    def test_not_declared(self) -> None:
        """An object that does not declare the interface is refused, although it has every method."""
        for thing in (Undeclared(), object(), None, SECRET):
            self.assertTrue(breaches(IThing, thing).startswith("it does not declare IThing"), thing)
        self.assert_breaches(Undeclared(), "it does not declare IThing")

    def test_missing(self) -> None:
        """Every attribute and method that is missing is named once."""
        self.assert_breaches(Nameless(), "name is missing, speak is missing")

    def test_arguments(self) -> None:
        """A method that cannot be called as the interface says is named."""
        self.assert_breaches(Shy(), "speak does not take the arguments that it must")
        self.assert_breaches(Greedy(), "hear does not take the arguments that it must")

    def test_property_that_raises(self) -> None:
        """An attribute that cannot be read is missing."""

        class Raising(Whole):
            @property
            def name(self) -> str:
                raise AttributeError(SECRET)

            @name.setter
            def name(self, value: str) -> None:
                """Do nothing."""

        _claim(Raising, IThing)

        self.assert_breaches(Raising(), "name is missing")

    def test_other_errors(self) -> None:
        """An error of another kind is named by its type, and its text is not shown."""
        self.assertEqual(["Invalid"], [*_each(Invalid(SECRET))])
