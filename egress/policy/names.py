"""What a policy or a kind of policies may be called."""

from __future__ import annotations

NAME_LIMIT = 64


def is_good_name(name: str) -> bool:
    """Whether it can stand in answers, logs and the record as it is."""
    return 0 < len(name) <= NAME_LIMIT and name.isascii() and name.isprintable() and name == name.strip()
