"""Field lines (RFC 9112 section 5), sifted once: those that mean something to a proxy, and all the others.

Most fields of most heads are none of a proxy's business. They are kept together as they came and sent on as one piece;
only the few others are taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from attrs import define

Field: TypeAlias = tuple[bytes, bytes, bytes]
"""The name in lower case, the name as sent, the value without the blanks around it."""

SPECIAL = frozenset(
    [
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"max-forwards",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    ]
)
"""The names that a proxy reads, writes or removes; and every one that begins with `proxy-`."""

# How names are spelled, and the lower case of the special ones (None for all others). Clients use few names; the bound
# is against those who do not.
_NAMES = 1024
_spelled: dict[bytes, bytes | None] = {}

_NO_OPTIONS: frozenset[bytes] = frozenset()
_USUAL_OPTIONS = {
    b"keep-alive": frozenset([b"keep-alive"]),
    b"Keep-Alive": frozenset([b"keep-alive"]),
    b"close": frozenset([b"close"]),
}


@define(eq=False, repr=False)
class Fields:
    """The fields of one head. What stands in them, credentials above all, has no spelling in `repr`.

    Attributes:
        block: all lines, each with its CRLF.
        special: the fields that mean something to a proxy, in wire order.
        ordinary: the lines of all others, each with its CRLF, in wire order.
        options: the lower-case tokens of all Connection fields (RFC 9110 section 7.6.1).
    """

    block: bytes
    special: tuple[Field, ...]
    ordinary: bytes
    options: frozenset[bytes]

    def all(self) -> tuple[Field, ...]:
        """Take every field apart, in wire order."""
        return split(self.block)

    def values(self, name: bytes) -> list[bytes]:
        """Give the values of all fields called `name` (lower case), in wire order."""
        fields = self.special if name in SPECIAL else self.all()
        return [value for lower, _, value in fields if lower == name]

    def ordinary_without(self, names: frozenset[bytes]) -> bytes:
        """Give the ordinary lines but those of the fields called one of `names` (lower case)."""
        kept = (name + b": " + value for lower, name, value in split(self.ordinary) if lower not in names)
        return b"".join(line + b"\r\n" for line in kept)


def sift(block: bytes) -> Fields:
    """Sift field lines that are known to be well formed.

    Args:
        block: the lines, each with its CRLF.
    """
    special = []
    ordinary = []
    options = _NO_OPTIONS
    lines = block.split(b"\r\n")
    lines.pop()
    for line in lines:
        name = line.partition(b":")[0]
        try:
            lower = _spelled[name]
        except KeyError:
            lower = _learn(name)
        if lower is None:
            ordinary.append(line)
        else:
            special.append((lower, name, line[len(name) + 1 :].strip(b" \t")))
            if lower == b"connection":
                options = _options(special)
    ordinary.append(b"")
    return Fields(block, tuple(special), b"\r\n".join(ordinary), options)


def join(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write field lines.

    Args:
        fields: names and values.
    """
    return b"".join(name + b": " + value + b"\r\n" for name, value in fields)


def has_more_than_host(fields: Fields) -> bool:
    """Tell whether a head has special fields besides Host, which HTTP/1.0 need not have."""
    special = fields.special
    return len(special) > 1 or (len(special) == 1 and special[0][0] != b"host")


def split(block: bytes) -> tuple[Field, ...]:
    """Take well-formed field lines apart."""
    fields = []
    lines = block.split(b"\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(b":")
        fields.append((name.lower(), name, value.strip(b" \t")))
    return tuple(fields)


def _learn(name: bytes) -> bytes | None:
    lower: bytes | None = name.lower()
    if lower not in SPECIAL and not name.lower().startswith(b"proxy-"):
        lower = None
    if len(name) <= 64:
        if len(_spelled) >= _NAMES:
            _spelled.clear()
        _spelled[name] = lower
    return lower


def _options(special: list[Field]) -> frozenset[bytes]:
    """Collect the connection options; one that is no token names no field and does no harm."""
    values = [value for lower, _, value in special if lower == b"connection"]
    if len(values) == 1 and (usual := _USUAL_OPTIONS.get(values[0])) is not None:
        return usual
    tokens = (token.strip(b" \t").lower() for token in b",".join(values).split(b","))
    return frozenset(token for token in tokens if token)
