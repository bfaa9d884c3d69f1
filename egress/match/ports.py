"""Port patterns: numbers and ranges."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from attrs import frozen

_range = re.compile(r"([0-9]{1,5})-([0-9]{1,5})", re.ASCII).fullmatch


def parse_port(item: int | str) -> tuple[int, int]:
    """Parse a port or a range of ports.

    Args:
        item: a number, or "8000-8100" with both ends included.

    Returns:
        The first and the last port.

    Raises:
        ValueError: the item is neither.
    """
    if isinstance(item, str):
        found = _range(item)
        if found is None:
            raise ValueError('a port is a number without quotes, and a range is written "8000-8100"')
        first, last = int(found[1]), int(found[2])
    else:
        first = last = item
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        raise ValueError("a port is a number from 1 to 65535")
    if first > last:
        raise ValueError("the range is upside down; write the smaller port first")
    return first, last


@frozen
class PortSet:
    """A set of ports.

    Attributes:
        bounds: ascending: the first port of a range and the first port after the range, alternately.
    """

    bounds: tuple[int, ...]

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> PortSet:
        """Compile a set.

        Args:
            ranges: first and last port of each, as `parse_port` returns them.
        """
        bounds: list[int] = []
        for first, last in sorted(ranges):
            if bounds and first <= bounds[-1]:
                bounds[-1] = max(bounds[-1], last + 1)
            else:
                bounds += (first, last + 1)
        return cls(tuple(bounds))

    def contains(self, port: int) -> bool:
        """Whether the set contains the port."""
        return bisect_right(self.bounds, port) & 1 == 1

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the ranges, first and last port of each, ascending and disjoint."""
        return tuple((first, end - 1) for first, end in zip(self.bounds[::2], self.bounds[1::2], strict=True))

    def __str__(self) -> str:
        return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges())
