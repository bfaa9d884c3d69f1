"""A star within a text, without a regular expression, so that no pattern can make matching slow."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class Wildcard:
    """A text in which each star stands for any characters, or none.

    Attributes:
        first: what the text begins with.
        between: what must follow in this order, each anywhere behind the one before.
        last: what the text ends with; None where the pattern has no star and `first` is all.
    """

    first: str
    between: tuple[str, ...] = ()
    last: str | None = None

    @classmethod
    def parse(cls, pattern: str, unescape: Callable[[str], str] = str) -> Wildcard:
        """Compile a pattern.

        Args:
            pattern: the text with its stars.
            unescape: applied to each piece between stars.
        """
        first, *rest = map(unescape, pattern.split("*"))
        return cls(first, tuple(filter(None, rest[:-1])), rest[-1]) if rest else cls(first)

    def match(self, text: str) -> bool:
        """Whether it matches the whole text."""
        if self.last is None:
            return text == self.first
        end = len(text) - len(self.last)
        if end < len(self.first) or not (text.startswith(self.first) and text.endswith(self.last)):
            return False
        # The leftmost place for each piece leaves the most room for those behind it, so there is no need to go back.
        at = len(self.first)
        for piece in self.between:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True
