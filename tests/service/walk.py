"""Walks the settings classes, for comparison with the example and the documentation."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from egress.config import input_type
from egress.model import Secret
from egress.policy.rate import RateSettings
from egress.policy.rules import DestinationsSettings
from egress.service.settings.settings import Settings

# A class, although its stub calls it a function.
Factory: Any = attrs.Factory

POLICIES: Mapping[str, type[attrs.AttrsInstance]] = {"destinations": DestinationsSettings, "rate": RateSettings}


@attrs.frozen
class Key:
    """One key of the configuration.

    Attributes:
        path: `limits.head_bytes`; `[]` stands behind arrays of tables.
        words: its type, as a writer of TOML knows it.
        default: as TOML spells it, "required" or "none".
    """

    path: str
    words: str
    default: str


def all_keys() -> Iterator[Key]:
    """Give every key of the file, those of the built-in policies as `destinations[].opaque`."""
    yield from _keys(Settings, "")
    for kind, cls in POLICIES.items():
        yield from _keys(cls, f"{kind}[].")


def _keys(cls: type[attrs.AttrsInstance], where: str) -> Iterator[Key]:
    attrs.resolve_types(cls)
    for field in attrs.fields(cls):
        inner = _table(field.type)
        path = f"{where}{field.name}"
        if inner is not None:
            yield from _keys(inner[0], f"{path}{inner[1]}.")
        elif get_origin(_member(field.type)) is not Mapping:
            yield Key(path, name_of(input_type(field)), _default(field))


def _member(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def _table(kind: Any) -> tuple[type[attrs.AttrsInstance], str] | None:
    member = _member(kind)
    if not (isinstance(member, type) and attrs.has(member)) or not member.__name__.endswith(("Settings", "Limits")):
        return None
    return member, "[]" if member is not kind else ""


def name_of(kind: Any) -> str:
    """Name a type as documentation does."""
    if kind in (str, Secret, int, float, bool):
        words = {str: "string", Secret: "string", int: "whole number", float: "number", bool: "true or false"}
        return words[kind]
    if get_origin(kind) is Mapping:
        return f"table of {name_of(get_args(kind)[1])}"
    if get_origin(kind) is Literal:
        return " or ".join(f'"{word}"' for word in get_args(kind))
    if get_origin(kind) is tuple:
        return f"array of {name_of(get_args(kind)[0])}"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(name_of(member) for member in get_args(kind) if member is not type(None))
    raise AssertionError(f"no words for {kind!r}")


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    if isinstance(field.default, Factory):
        # None of these looks at its instance: a default that depends on other keys could not be documented in a word.
        return toml(field.default.factory(None) if field.default.takes_self else field.default.factory())
    return toml(field.default)


def toml(value: object) -> str:
    """Spell a default as TOML does."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(toml(each) for each in value)}]"
    return str(value)
