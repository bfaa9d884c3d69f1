"""Field lines (RFC 9112 section 5), sifted once: those that mean something to a proxy, and all the others.

Most fields of most heads are none of a proxy's business. They are kept together as they came and sent on as one piece;
only the few others are taken apart.
"""

from __future__ import annotations

import re
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

# The lines of these, each with the LF before it and without its own: one call cuts a block that a LF was put before.
# Ten fields take 2 us in this way, and 4 where each line is looked at.
_cut = re.compile(
    rb"\n(?=[CEHKMPTUcehkmptu])((?i:CON(?:NECTION|TENT-LENGTH)|EXPECT|H(?:OST|TTP2-SETTINGS)|KEEP-ALIVE|MAX-FORWARDS"
    rb"|PROXY-[^:]*+|T(?:E|RANSFER-ENCODING)|UPGRADE)):([^\r]*+)\r"
).split

# Those that say nothing of a request but where it goes and whether its connection lives on.
_PLAIN = frozenset([b"connection", b"host", b"keep-alive", b"proxy-connection"])

_NO_OPTIONS: frozenset[bytes] = frozenset()
_PLAIN_OPTIONS = frozenset([b"close", b"keep-alive"])
_USUAL_OPTIONS = {
    b"keep-alive": frozenset([b"keep-alive"]),
    b"Keep-Alive": frozenset([b"keep-alive"]),
    b"close": frozenset([b"close"]),
}


@define(eq=False, repr=False)
class Fields:
    """The fields of one head. What stands in them, credentials above all, has no spelling in `repr`.

    Several heads may share one.

    Attributes:
        block: all lines, each with its CRLF.
        special: the fields that mean something to a proxy, in wire order.
        ordinary: the lines of all others, each with its CRLF, in wire order.
        options: the lower-case tokens of all Connection fields (RFC 9110 section 7.6.1).
        is_plain: of the special fields there is none but Host and those that are not passed on, and Connection names no
            field: a request with them has no body, no credentials for us and no wish to change the protocol.
        lines: how many there are.
    """

    block: bytes
    special: tuple[Field, ...]
    ordinary: bytes
    options: frozenset[bytes]
    is_plain: bool
    lines: int

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
    parts = _cut(b"\n" + block)
    if len(parts) == 1:
        return Fields(block, (), block, _NO_OPTIONS, True, block.count(b"\n"))
    special = []
    connections = []
    is_plain = True
    for at in range(1, len(parts), 3):
        name = parts[at]
        lower = name.lower()
        value = parts[at + 1].strip(b" \t")
        special.append((lower, name, value))
        if lower == b"connection":
            connections.append(value)
        elif lower not in _PLAIN:
            is_plain = False
    ordinary = b"".join(parts[::3])[1:]
    options = _options(connections) if connections else _NO_OPTIONS
    is_plain = is_plain and options <= _PLAIN_OPTIONS
    return Fields(block, tuple(special), ordinary, options, is_plain, block.count(b"\n"))


def join(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write field lines.

    Args:
        fields: names and values.
    """
    return b"".join(name + b": " + value + b"\r\n" for name, value in fields)


def split(block: bytes) -> tuple[Field, ...]:
    """Take well-formed field lines apart."""
    fields = []
    lines = block.split(b"\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(b":")
        fields.append((name.lower(), name, value.strip(b" \t")))
    return tuple(fields)


def _options(values: list[bytes]) -> frozenset[bytes]:
    """Collect the connection options; one that is no token names no field and does no harm."""
    if len(values) == 1 and (usual := _USUAL_OPTIONS.get(values[0])) is not None:
        return usual
    tokens = (token.strip(b" \t").lower() for token in b",".join(values).split(b","))
    return frozenset(token for token in tokens if token)
