"""Patterns of client labels: `token:research-*`, `uid:1001`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from attrs import frozen

from egress.errors import ConfigError
from egress.match.wildcard import Wildcard

LABEL_KINDS = ("address", "certificate", "gid", "listener", "token", "uid")
"""The kinds of client labels (see docs/how-to/identify-clients.md)."""

_label_pattern = re.compile(r"[a-z][a-z0-9_-]*:[!-~]+").fullmatch


@frozen
class ClientPatterns:
    """Compiled patterns of client labels. A star matches any characters of the value.

    Attributes:
        exact: the patterns without a star.
        wild: the patterns with a star.
        listeners: the patterns of kind `listener`, as written.
    """

    exact: frozenset[str]
    wild: tuple[Wildcard, ...]
    listeners: tuple[str, ...] = ()

    @classmethod
    def compile(cls, patterns: Sequence[str], where: str = "") -> ClientPatterns:
        """Compile patterns.

        Args:
            patterns: each `kind:value`, with stars in the value.
            where: the key path of the list of patterns.

        Raises:
            ConfigError: the list is empty, or a pattern can never match a label.
        """
        if not patterns:
            raise ConfigError(where, "is empty and so matches no client; leave the key out for every client")
        for index, pattern in enumerate(patterns):
            if not _label_pattern(pattern):
                raise ConfigError(f"{where}[{index}]", 'must be "kind:value", such as "token:research-*"')
            kind = pattern.partition(":")[0]
            if kind not in LABEL_KINDS:
                raise ConfigError(f"{where}[{index}]", f"has an unknown kind; there are: {', '.join(LABEL_KINDS)}")
        listeners = tuple(pattern for pattern in patterns if pattern.startswith("listener:"))
        wild = tuple(Wildcard.parse(pattern) for pattern in patterns if "*" in pattern)
        return cls(frozenset(pattern for pattern in patterns if "*" not in pattern), wild, listeners)

    @property
    def texts(self) -> tuple[str, ...]:
        """The patterns as text, those without a star first, in alphabetical order."""
        return *sorted(self.exact), *sorted(wild.text for wild in self.wild)

    def unknown_listener(self, names: Collection[str]) -> str | None:
        """Find a pattern of kind `listener` that matches no listener.

        Args:
            names: the names of all listeners.
        """
        for pattern in self.listeners:
            wildcard = Wildcard.parse(pattern)
            if not any(wildcard.match(f"listener:{name}") for name in names):
                return pattern
        return None

    def match(self, labels: frozenset[str]) -> bool:
        """Whether one of a client's labels matches one of the patterns."""
        if not self.exact.isdisjoint(labels):
            return True
        return bool(self.wild) and any(wildcard.match(label) for label in labels for wildcard in self.wild)
