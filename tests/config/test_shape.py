"""Tables into attrs classes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

from attrs import Attribute, field, frozen
from attrs.validators import ge
from cattrs.errors import StructureHandlerNotFoundError
from twisted.trial.unittest import SynchronousTestCase

from egress.config import structure
from egress.errors import ConfigError
from egress.model import Secret


class Colour(Enum):
    """An Enum, written as its value."""

    RED = "red"
    BLUE = "blue"


def ports_of(words: tuple[int | str, ...]) -> frozenset[int]:
    """Convert what TOML can hold into what the program wants."""
    ports = set()
    for index, word in enumerate(words):
        if word == "any":
            raise ConfigError(f"[{index}]", "ranges are written with both ends")
        ports.add(int(word))
    return frozenset(ports)


def _check_url(_instance: object, _attribute: Attribute[str], value: str) -> None:
    if value and not value.startswith("http://"):
        raise ValueError(f"{value} is no URL")


@frozen
class Rule:
    """A nested class."""

    name: str
    hosts: tuple[str, ...] = ()
    ports: frozenset[int] = field(default=frozenset({80}), converter=ports_of)
    mode: Literal["enforce", "audit"] = "enforce"


@frozen
class Everything:
    """One field of each type."""

    rule: tuple[Rule, ...] = ()
    single: Rule | None = None
    colour: Colour = Colour.RED
    count: int = field(default=1, validator=ge(1))
    seconds: float = 1.0
    is_on: bool = False
    label: str | None = None
    raw: tuple[Mapping[str, object], ...] = ()
    weights: Mapping[str, int] = field(factory=dict)
    anything: object = None
    password: Secret | None = None
    token: Literal["a", "b"] = "a"
    url: str = field(default="", validator=_check_url)

    def __attrs_post_init__(self) -> None:
        if self.count == 13:
            raise ConfigError("count", "13 is unlucky")
        if self.count == 14:
            raise ValueError("14 is no better")


class StructureTests(SynchronousTestCase):
    """What fits is taken as it is."""

    def test_everything(self) -> None:
        """Every kind of field takes what its type says."""
        made = structure(
            Everything,
            {
                "rule": [{"name": "a", "hosts": ["x", "y"], "ports": [1, "2"], "mode": "audit"}],
                "single": {"name": "b"},
                "colour": "blue",
                "count": 3,
                "seconds": 2,
                "is_on": True,
                "label": "here",
                "raw": [{"kind": "k", "deep": {"er": 1}}],
                "weights": {"a": 1},
                "anything": [1, "x"],
                "password": "hunter2",
                "url": "http://x/",
            },
        )

        self.assertEqual((Rule("a", ("x", "y"), (1, "2"), "audit"),), made.rule)
        self.assertEqual("b", made.single.name if made.single else None)
        self.assertIs(Colour.BLUE, made.colour)
        self.assertEqual((3, 2.0, True, "here"), (made.count, made.seconds, made.is_on, made.label))
        self.assertIsInstance(made.seconds, float)
        self.assertEqual(({"kind": "k", "deep": {"er": 1}},), made.raw)
        self.assertEqual({"a": 1}, made.weights)
        self.assertEqual([1, "x"], made.anything)
        self.assertEqual("hunter2", made.password.reveal() if made.password else None)

    def test_defaults(self) -> None:
        """An empty table gives the defaults."""
        self.assertEqual(Everything(), structure(Everything, {}))

    def test_unknown_type_is_a_programming_error(self) -> None:
        """A settings class with a field that would need conversion cannot be used at all."""

        @frozen
        class Odd:
            raw: bytes = b""

        self.assertRaises(StructureHandlerNotFoundError, structure, Odd, {"raw": "x"})


class FaultTests(SynchronousTestCase):
    """What does not fit is refused, with its path and what would fit."""

    def assert_fault(self, table: Mapping[str, Any], where: str, *words: str) -> str:
        """Structure a bad table and look at the error.

        Returns:
            The problem.
        """
        error = self.assertRaises(ConfigError, structure, Everything, table, "top")
        self.assertEqual(where, error.where)
        for word in words:
            self.assertIn(word, error.problem)
        self.assertNotIn("\n", str(error))
        return str(error.problem)

    def test_unknown_key(self) -> None:
        """An unknown key is an error that lists those known and suggests the nearest."""
        self.assert_fault(
            {"rule": [{"name": "a", "host": ["x"]}]}, "top.rule[0].host", "unknown", "'hosts'", "mode, name"
        )
        self.assert_fault({"zzz": 1}, "top.zzz", "unknown key; known here: anything, colour")

    def test_missing_key(self) -> None:
        """A missing key is named."""
        self.assert_fault({"rule": [{"name": "a"}, {}]}, "top.rule[1].name", "is missing")

    def test_nothing_is_converted(self) -> None:
        """A value of another type is an error, however easily it could be converted."""
        for table, where, words in (
            ({"count": "3"}, "top.count", "must be a whole number, not a string; write it without quotes"),
            ({"count": 3.0}, "top.count", "must be a whole number, not a number"),
            ({"count": True}, "top.count", "must be a whole number, not true or false"),
            ({"seconds": True}, "top.seconds", "must be a number, not true or false"),
            ({"seconds": "1"}, "top.seconds", "must be a number, not a string"),
            ({"is_on": 1}, "top.is_on", "must be true or false, not a whole number"),
            ({"is_on": "true"}, "top.is_on", "must be true or false, not a string; write it without quotes"),
            ({"label": 1}, "top.label", "must be a string, not a whole number"),
            ({"colour": 1}, "top.colour", 'must be "red" or "blue", not a whole number'),
            ({"rule": {"name": "a"}}, "top.rule", "must be an array, not a table"),
            ({"rule": ["a"]}, "top.rule[0]", "must be a table, not a string"),
            ({"rule": [{"name": "a", "hosts": "x"}]}, "top.rule[0].hosts", "must be an array, not a string; put it in"),
            ({"rule": [{"name": "a", "hosts": ["x", 1]}]}, "top.rule[0].hosts[1]", "must be a string, not a whole"),
            (
                {"rule": [{"name": "a", "ports": [1.5]}]},
                "top.rule[0].ports[0]",
                "must be a whole number or a string, not",
            ),
            ({"raw": [1]}, "top.raw[0]", "must be a table"),
            ({"weights": {"a": "x"}}, "top.weights.a", "must be a whole number"),
            ({"single": "x"}, "top.single", "must be a table"),
            ({"single": {}}, "top.single.name", "is missing"),
            ({"password": 1}, "top.password", "must be a string"),
        ):
            self.assert_fault(table, where, words)

    def test_unknown_word(self) -> None:
        """A word that is none of those allowed is shown with the nearest one."""
        self.assert_fault({"colour": "rde"}, "top.colour", '"red" or "blue"', '"rde"', "did you mean 'red'?")
        self.assert_fault({"rule": [{"name": "a", "mode": "Audit"}]}, "top.rule[0].mode", "did you mean 'audit'?")

    def test_endless_numbers(self) -> None:
        """nan and inf, which TOML can spell, are not durations."""
        for number in (float("nan"), float("inf"), -float("inf"), 10**400):
            self.assert_fault({"seconds": number}, "top.seconds", "finite")

    def test_validator(self) -> None:
        """A validator's ValueError gets the key's path."""
        self.assert_fault({"count": 0}, "top.count", "must be >= 1: 0")

    def test_converter(self) -> None:
        """A converter's error gets the key's path, and a path of its own is kept behind it."""
        self.assert_fault({"rule": [{"name": "a", "ports": ["x"]}]}, "top.rule[0].ports", "invalid literal")
        self.assert_fault({"rule": [{"name": "a", "ports": [1, "any"]}]}, "top.rule[0].ports[1]", "both ends")

    def test_whole_table(self) -> None:
        """What only the whole table shows is relative to the table."""
        self.assert_fault({"count": 13}, "top.count", "unlucky")
        self.assert_fault({"count": 14}, "top", "no better")

    def test_secrets_are_not_echoed(self) -> None:
        """Neither a secret's value nor one that may hold credentials stands in an error."""
        for table in (
            {"token": "hunter2"},
            {"url": "ftp://joe:hunter2@host/"},
            {"colour": "joe:hunter2@host"},
            {"rule": [{"name": "a", "mode": "http://hunter2"}]},
        ):
            error = self.assertRaises(ConfigError, structure, Everything, table)
            self.assertNotIn("hunter2", str(error))
        self.assertNotIn("hunter2", repr(structure(Everything, {"password": "hunter2"})))

    def test_other_values_of_validators_are_shown(self) -> None:
        """Where nothing is secret the validator's own sentence is shown."""
        self.assert_fault({"url": "gopher"}, "top.url", "gopher is no URL")
