"""Texts with stars, matched without regular expressions, so that no pattern makes matching slow."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class Wildcard:
    """A pattern in which each star matches any number of characters, including zero.

    Attributes:
        first: the prefix of the text.
        between: texts that follow in this order, at any distance.
        last: the suffix of the text; None where the pattern has no star and `first` is the whole text.
    """

    first: str
    between: tuple[str, ...] = ()
    last: str | None = None

    @classmethod
    def parse(cls, pattern: str, unescape: Callable[[str], str] = str) -> Wildcard:
        """Compile a pattern.

        Args:
            pattern: the pattern as written.
            unescape: decodes each piece between stars.
        """
        first, *rest = map(unescape, pattern.split("*"))
        return cls(first, tuple(filter(None, rest[:-1])), rest[-1]) if rest else cls(first)

    @property
    def text(self) -> str:
        """The pattern, each run of stars as one star."""
        return self.first if self.last is None else "*".join((self.first, *self.between, self.last))

    def match(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        if self.last is None:
            return text == self.first
        end = len(text) - len(self.last)
        if end < len(self.first) or not (text.startswith(self.first) and text.endswith(self.last)):
            return False
        # The leftmost position of each piece leaves the most room for the following pieces: no backtracking.
        at = len(self.first)
        for piece in self.between:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True
