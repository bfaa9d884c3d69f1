"""Key paths such as `policy[0].allow[2].hosts`, and whether errors may show the value at a path."""

from __future__ import annotations

import json
import re

_BARE = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
_SECRET = ("password", "passwd", "secret", "token", "credential", "api_key", "private_key")
_SHOWN_LIMIT = 60


def join(where: str, key: str | int) -> str:
    """Return the path of a key, or of an array's member, under `where`.

    Args:
        where: a key path; "" for the document itself.
        key: a key, which is quoted where TOML requires it, or an index.
    """
    if isinstance(key, int):
        return f"{where}[{key}]"
    word = key if _BARE.match(key) else json.dumps(key[:_SHOWN_LIMIT])
    return f"{where}.{word}" if where else word


def prefix(where: str, inner: str) -> str:
    """Prepend the path `where` to the path `inner`, which is relative to it."""
    if not where or not inner or inner.startswith("["):
        return where + inner
    return f"{where}.{inner}"


def is_secret(key: str) -> bool:
    """Whether the value of a key must not be shown, by the key's name. Parts count too: `tokens`, `db_password`."""
    return any(word in key.lower() for word in _SECRET)


def is_showable(value: object) -> bool:
    """Whether an error may repeat a value. Strings that may hold credentials (`user@`, a URL) may not be repeated."""
    return not (isinstance(value, str) and ("@" in value or "://" in value))


def show(key: str, value: object) -> str:
    """Format a scalar as in TOML, or return a placeholder for a value that must not be shown.

    Args:
        key: the last key of the value's path.
        value: a string or a number.
    """
    if is_secret(key) or not is_showable(value):
        return "(value not shown)"
    text = json.dumps(value[:_SHOWN_LIMIT]) if isinstance(value, str) else str(value).lower()
    return text[: 2 * _SHOWN_LIMIT]
