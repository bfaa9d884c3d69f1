"""Validators of settings that several tables have in common: names and paths."""

from __future__ import annotations

from attrs import Attribute

NAME_LIMIT = 64
"""The largest number of characters of a name."""

NAME_RULE = f"must be 1 to {NAME_LIMIT} printable ASCII characters, with no space at either end"
"""The requirements of `is_name`, for errors."""


def is_name(text: str) -> bool:
    """Whether a text may be a name, so that responses, logs and the audit log can show it unchanged."""
    return 0 < len(text) <= NAME_LIMIT and text.isascii() and text.isprintable() and text == text.strip()


def check_name(_instance: object, _attribute: Attribute[str], value: str) -> None:
    """Check a name (validator for attrs).

    Raises:
        ValueError: `is_name` is false.
    """
    if not is_name(value):
        raise ValueError(NAME_RULE)


def check_path(_instance: object, _attribute: Attribute[str], value: str) -> None:
    """Check a path (validator for attrs).

    Raises:
        ValueError: the path holds a NUL.
    """
    if "\0" in value:
        raise ValueError("no path holds a NUL")
