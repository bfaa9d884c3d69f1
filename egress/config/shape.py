"""Structures tables as attrs classes: a cattrs converter without conversions, with errors that name key paths."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import StructureHandlerNotFoundError

from egress.config.path import is_secret, is_showable, join, prefix
from egress.config.scalars import (
    Hook,
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

T = TypeVar("T")
_FAULTS = (ConfigError, ValueError, TypeError)


def structure(cls: type[T], table: Mapping[str, object], where: str = "") -> T:
    """Create an instance of an attrs class from a table.

    The type of a field is the type of the value in the document: str, int, float (integers are accepted), bool, Secret,
    an Enum (by value), Literal, another attrs class, `tuple[X, ...]`, `Mapping[str, X]`, a union of these, or object
    for any value. For a field with a converter, the annotation of the converter's first parameter is the type.

    A ValueError of a validator or converter becomes a ConfigError at the field's path, without its message where the
    value must not be shown. A ConfigError of a validator or converter is relative to the field's value, a ConfigError
    of `__attrs_post_init__` is relative to the table, and the message of either is always shown.

    Args:
        cls: the settings class.
        table: the table as read from TOML.
        where: the path of the table, which is prepended to the paths in errors.

    Raises:
        ConfigError: the first fault.
    """
    try:
        shaped: T = _converter.structure(table, cls)
    except ConfigError as error:
        raise ConfigError(prefix(where, error.where), error.problem, error.file)
    except Unfit as unfit:
        raise ConfigError(where, unfit.problem(""))
    return shaped


def _structure_member(key: str | int, raw: object, kind: Any) -> Any:
    """Structure the member `key` of a table or array."""
    try:
        return _converter.structure(raw, kind)
    except ConfigError as error:
        raise ConfigError(prefix(join("", key), error.where), error.problem, error.file)
    except Unfit as unfit:
        raise ConfigError(join("", key), unfit.problem(str(key)))


def _make_tuple(kind: Any) -> Hook:
    member = get_args(kind)[0]

    def take(raw: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(raw, list | tuple):
            raise Unfit(["an array"], raw)
        return tuple(_structure_member(index, item, member) for index, item in enumerate(raw))

    return take


def _make_mapping(kind: Any) -> Hook:
    _, member = get_args(kind)

    def take(raw: Any, _: Any) -> Mapping[str, Any]:
        if not isinstance(raw, Mapping):
            raise Unfit(["a table"], raw)
        return {key: _structure_member(key, value, member) for key, value in raw.items()}

    return take


def _make_union(kind: Any) -> Hook:
    # TOML has no null: None is the default of a missing key.
    members = [member for member in get_args(kind) if member is not type(None)]

    def take(raw: Any, _: Any) -> Any:
        faults: list[ConfigError | Unfit] = []
        for member in members:
            try:
                return _converter.structure(raw, member)
            except (ConfigError, Unfit) as error:
                faults.append(error)
        for fault in faults:
            # The type is right and the content is wrong: this is the intended member of the union.
            if isinstance(fault, ConfigError) or fault.words is not None:
                raise fault
        raise Unfit([name for fault in faults if isinstance(fault, Unfit) for name in fault.wanted], raw)

    return take


def _make_class(cls: type[attrs.AttrsInstance]) -> Hook:
    attrs.resolve_types(cls)
    fields = {field.alias or field.name: field for field in attrs.fields(cls) if field.init}
    # Computed once: a file may have thousands of rules, and a reload blocks the reactor.
    kinds = {key: input_type(field) for key, field in fields.items()}

    def take(raw: Any, _: Any) -> Any:
        if isinstance(raw, cls):
            return raw
        if not isinstance(raw, Mapping):
            raise Unfit(["a table"], raw)
        for key in raw:
            if key not in fields:
                known = ", ".join(sorted(fields)) or "none"
                raise ConfigError(join("", key), f"unknown key{suggest(key, fields)}; known here: {known}")
        values = {}
        for key, field in fields.items():
            if key in raw:
                values[key] = _structure_member(key, raw[key], kinds[key])
            elif field.default is attrs.NOTHING:
                raise ConfigError(join("", key), "is missing")
        try:
            return cls(**values)
        except _FAULTS as fault:
            raise _diagnose(cls, fields, values, fault)

    return take


def input_type(field: attrs.Attribute[Any]) -> Any:
    """Return the type of a field's value in the document."""
    if field.converter is None:
        return field.type if field.type is not None else object
    # attrs.Converter wraps a converter with the instance or the field as further arguments.
    converter = getattr(field.converter, "converter", field.converter)
    try:
        hints = typing.get_type_hints(converter)
    except (TypeError, NameError):
        return object
    hints.pop("return", None)
    return next(iter(hints.values()), object)


def _diagnose(
    cls: type[attrs.AttrsInstance], fields: Mapping[str, attrs.Attribute[Any]], values: dict[str, Any], fault: Exception
) -> ConfigError:
    """Find the field whose converter or validator raised, after the class has failed to construct."""
    for key, field in fields.items():
        if key in values and callable(field.converter) and not isinstance(field.converter, attrs.Converter):
            try:
                field.converter(values[key])
            except _FAULTS as found:
                return _at_field(key, values[key], found)
    try:
        with attrs.validators.disabled():
            instance = cls(**values)
    except _FAULTS:
        return _at_table(fault)
    for key, field in fields.items():
        if field.validator is not None:
            try:
                field.validator(instance, field, getattr(instance, field.name))
            except _FAULTS as found:
                return _at_field(key, values.get(key), found)
    return _at_table(fault)


def _at_field(key: str, value: object, fault: Exception) -> ConfigError:
    if isinstance(fault, ConfigError):
        return ConfigError(prefix(join("", key), fault.where), fault.problem, fault.file)
    if is_secret(key) or not _all_showable(value):
        return ConfigError(join("", key), "is not valid (its value is not shown)")
    return ConfigError(join("", key), _message(fault).removeprefix(f"'{key}' ").removeprefix(f"{key} "))


def _at_table(fault: Exception) -> ConfigError:
    return fault if isinstance(fault, ConfigError) else ConfigError("", _message(fault))


def _message(fault: Exception) -> str:
    # The validators of attrs pass the attribute and the value as further arguments of the exception.
    return " ".join(str(fault.args[0]).split()) if fault.args else "is not valid"


def _all_showable(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(not is_secret(str(key)) and _all_showable(member) for key, member in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(_all_showable(member) for member in value)
    return is_showable(value)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_tuple(kind: Any) -> bool:
    arguments = get_args(kind)
    return get_origin(kind) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) in (Mapping, dict)


def _make_converter() -> Converter:
    converter = Converter(detailed_validation=False, forbid_extra_keys=True)
    factories: list[tuple[Callable[[Any], bool], Callable[[Any], Hook]]] = [
        (attrs.has, _make_class),
        (_is_mapping, _make_mapping),
        (_is_tuple, _make_tuple),
        (_is_union, _make_union),
        (lambda kind: isinstance(kind, type) and issubclass(kind, Enum), make_enum),
        (lambda kind: get_origin(kind) is Literal, make_literal),
        (lambda kind: kind in (object, Any), lambda _: take_anything),
    ]
    # Any other type is a fault of a settings class. cattrs would convert values to it, which hides errors.
    converter.register_structure_hook_factory(lambda _: True, _refuse)
    for predicate, make in factories:
        converter.register_structure_hook_factory(predicate, make)
    for kind, hook in {
        str: take_exactly(str, "a string"),
        int: take_exactly(int, "a whole number"),
        bool: take_exactly(bool, "true or false"),
        float: take_float,
        Secret: take_secret,
    }.items():
        converter.register_structure_hook(kind, hook)
    # cattrs has a hook for bytes that precedes the factories.
    converter.register_structure_hook(bytes, lambda _, kind: _refuse(kind))
    return converter


def _refuse(kind: Any) -> Hook:
    raise StructureHandlerNotFoundError(f"a settings class cannot have a field of type {kind!r}", kind)


_converter = _make_converter()
