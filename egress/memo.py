"""A bounded memo: results of pure computations, kept by their arguments."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """A dict with a bounded number of entries. A full memo is emptied before the next entry.

    Emptying costs one recomputation for each entry that is still in use. Tracking the order of use would slow every
    hit. `get` is the dict's own method: a hit costs one hash and one comparison.

    The owner of a memo bounds the size of its keys and values, and keeps secrets out of both.

    Attributes:
        limit: the largest number of entries.
    """

    __slots__ = ("limit",)

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("a memo keeps one entry at least")
        super().__init__()
        self.limit = limit

    def keep(self, key: K, value: V) -> V:
        """Add or replace an entry.

        Returns:
            `value`, so that a function can keep and return it in one statement.
        """
        if len(self) >= self.limit and key not in self:
            self.clear()
        self[key] = value
        return value
