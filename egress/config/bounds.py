"""Bounds of numbers in settings."""

from __future__ import annotations

from typing import Any

from attrs import Attribute


def between(low: float, high: float) -> Any:
    """Create an attrs validator for numbers from `low` to `high`, both included."""

    def check(_instance: object, attribute: Attribute[float], value: float) -> None:
        if not low <= value <= high:
            # Fifteen digits: no bound is formatted with an exponent.
            raise ValueError(f"{attribute.name} must be between {low:.15g} and {high:.15g}")

    return check
