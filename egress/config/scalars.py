"""Structure hooks of scalars. No value is converted to another type."""

from __future__ import annotations

import datetime
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, get_args

from egress.config.path import show
from egress.errors import ConfigError
from egress.model import Secret

Hook = Callable[[Any, Any], Any]


class Unfit(Exception):
    """A value of the wrong type, or a word that is not allowed.

    The caller knows the value's key, and therefore whether the value may be shown.

    Attributes:
        wanted: descriptions of the types or words that are allowed.
        raw: the value.
        words: the allowed words, where the type is right and the word is not; else None.
    """

    def __init__(self, wanted: Iterable[str], raw: object, words: Iterable[str] | None = None) -> None:
        self.wanted = tuple(wanted)
        self.raw = raw
        self.words = None if words is None else tuple(words)

    def problem(self, key: str) -> str:
        """Describe the fault of the value at `key`, the last key of its path."""
        if self.words is not None:
            return f"must be {_either(self.wanted)}, not {show(key, self.raw)}{suggest(self.raw, self.words)}"
        hint = ""
        if isinstance(self.raw, str) and set(self.wanted) & {"a whole number", "a number", "true or false"}:
            hint = "; write it without quotes"
        elif "an array" in self.wanted:
            is_table = isinstance(self.raw, Mapping)
            hint = "; write its header in two brackets: [[...]]" if is_table else "; put it in brackets: [...]"
        return f"must be {_either(self.wanted)}, not {_name(self.raw)}{hint}"


def _either(names: tuple[str, ...]) -> str:
    if len(names) < 3:
        return " or ".join(names)
    return "one of " + ", ".join(names[:-1]) + " or " + names[-1]


def suggest(word: object, known: Iterable[str]) -> str:
    """Return a hint with the known word that is closest to a mistyped one, or ""."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1) if isinstance(word, str) else []
    return f" (did you mean {close[0]!r}?)" if close and close[0] != word else ""


def _name(value: object) -> str:
    """Return the name of a value's type in terms of TOML."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, datetime.date | datetime.time):
        return "a date or time"
    return "something else"


def take_exactly(kind: type, wanted: str) -> Hook:
    """Create the hook of a type. The hook accepts values of exactly this type."""

    def take(raw: Any, _: Any) -> Any:
        # bool is a subclass of int, and `port = true` is not a port.
        if type(raw) is not kind:
            raise Unfit([wanted], raw)
        return raw

    return take


def take_float(raw: Any, _: Any) -> float:
    """Structure a float; integers are accepted."""
    if type(raw) not in (int, float):
        raise Unfit(["a number"], raw)
    try:
        number = float(raw)
    except OverflowError:
        number = math.inf
    # TOML has nan and inf; a deadline of either would never fire.
    if not math.isfinite(number):
        raise ConfigError("", "must be a finite number")
    return number


def take_secret(raw: Any, _: Any) -> Secret:
    """Structure a Secret from a string."""
    if type(raw) is not str:
        raise Unfit(["a string"], raw)
    return Secret(raw)


def take_anything(raw: Any, _: Any) -> Any:
    """Return the value without a check."""
    return raw


def make_enum(kind: type[Enum]) -> Hook:
    """Create the hook of an Enum, whose members are written as their values."""
    return _among([(member.value, member) for member in kind])


def make_literal(kind: Any) -> Hook:
    """Create the hook of a Literal."""
    return _among([(value, value) for value in get_args(kind)])


def _among(pairs: list[tuple[Any, Any]]) -> Hook:
    wanted = [show("", value) for value, _ in pairs]

    def take(raw: Any, _: Any) -> Any:
        for value, result in pairs:
            if type(raw) is type(value) and raw == value:
                return result
        if type(raw) not in {type(value) for value, _ in pairs}:
            raise Unfit(wanted, raw)
        raise Unfit(wanted, raw, [str(value) for value, _ in pairs])

    return take
