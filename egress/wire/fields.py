"""Field lines (RFC 9112 section 5), divided into the fields that a proxy acts on and all others.

A proxy acts on few fields. The lines of all others stay together as one block of octets, which is forwarded unchanged.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from attrs import define

from egress.model.requests import NO_OVERRIDES

Field: TypeAlias = tuple[bytes, bytes, bytes]
"""The name in lower case, the name as sent, the value without leading and trailing blanks."""

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
"""The names of fields that a proxy reads, writes or removes. Names that begin with `proxy-` belong to them too."""

# What a name may have beside letters and digits. Servers that pass fields on as CGI does write an underscore for a
# hyphen, and lighttpd for each of these.
_PUNCTUATION = rb"!#$%&'*+-.^_`|~"
_HYPHENS = bytes.maketrans(_PUNCTUATION, b"-" * len(_PUNCTUATION))
# The names of `egress.model.override_fields`, with any punctuation in place of a hyphen.
_OVERRIDES = (
    rb"X-(?:HTTP-METHOD(?:-OVERRIDE)?|METHOD-OVERRIDE|ORIGINAL-(?:METHOD|UR[IL])|REWRITE-URL"
    rb"|FORWARDED-(?:METHOD|PREFIX|URI)|ENVOY-ORIGINAL-PATH)"
).replace(b"-", b"[" + re.escape(_PUNCTUATION) + b"]")
# Splits a block, to which an LF was prepended, at the special lines. A match has the LF before the line and not the
# line's own LF. One call for ten fields takes 2 us; looking at each line takes 4 us.
_SPECIAL_LINE = (
    rb"\n(?=[CEHKMPTU%bcehkmptu])((?i:CON(?:NECTION|TENT-LENGTH)|EXPECT|H(?:OST|TTP2-SETTINGS)|KEEP-ALIVE|MAX-FORWARDS"
    rb"|PROXY-[^:]*+|T(?:E|RANSFER-ENCODING)|UPGRADE%b)):([^\r]*+)\r"
)
_split_response = re.compile(_SPECIAL_LINE % (b"", b"")).split
# Via and overrides count in requests only. Many responses have a Via, by which loops are detected.
_split_request = re.compile(_SPECIAL_LINE % (b"VXvx", b"|VIA|" + _OVERRIDES)).split

# Special fields that contain only the destination of a request and whether its connection persists.
_PLAIN = frozenset([b"connection", b"host", b"keep-alive", b"proxy-connection"])

_X = 0x78
_NO_OPTIONS: frozenset[bytes] = frozenset()
_PLAIN_OPTIONS = frozenset([b"close", b"keep-alive"])
_COMMON_OPTIONS = {
    b"keep-alive": frozenset([b"keep-alive"]),
    b"Keep-Alive": frozenset([b"keep-alive"]),
    b"close": frozenset([b"close"]),
}

MEMO_BLOCK_BYTES = 1024
"""The longest block of field lines that may be memoized."""

_MEMO_LINES = 24
# Request fields, as clients spell them, whose values hold no secret and hardly differ between requests of a client.
_MEMO_NAMES = (
    b"Accept Accept-Charset Accept-Encoding Accept-Language Cache-Control Connection DNT Keep-Alive Pragma "
    b"Priority Proxy-Connection Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform Sec-Fetch-Dest Sec-Fetch-Mode "
    b"Sec-Fetch-Site Sec-Fetch-User Sec-GPC Upgrade-Insecure-Requests User-Agent"
)
_has_memo_names_only = re.compile(
    rb"(?:(?:(?:%b):[^\r]*+|[Hh]ost:[^\r@]*+)\r\n)*+" % b"|".join([*_MEMO_NAMES.split(), *_MEMO_NAMES.lower().split()])
).fullmatch


@define(eq=False, repr=False)
class Fields:
    """The fields of one head. Heads may share an instance. `repr` shows no values, because they may be credentials.

    Attributes:
        block: all lines, each with its CRLF.
        special: the fields that a proxy acts on (`SPECIAL`), in wire order; in requests Via is one of them.
        ordinary: the lines of all other fields, each with its CRLF, in wire order.
        options: the lower-case tokens of all Connection fields (RFC 9110 section 7.6.1).
        is_plain: the special fields are at most Host, Connection, Keep-Alive and Proxy-Connection, and Connection
            names no field. A request with such fields has no body, no Proxy-Authorization and no Upgrade.
        lines: the number of field lines.
        overrides: the names of `egress.model.override_fields` among the ordinary fields of a request.
    """

    block: bytes
    special: tuple[Field, ...]
    ordinary: bytes
    options: frozenset[bytes]
    is_plain: bool
    lines: int
    overrides: frozenset[str] = NO_OVERRIDES

    def all(self) -> tuple[Field, ...]:
        """Parse every field, in wire order."""
        return split_fields(self.block)

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields called `name` (lower case), in wire order."""
        fields = self.special if name in SPECIAL else self.all()
        return [value for lower, _, value in fields if lower == name]

    def ordinary_without(self, names: frozenset[bytes]) -> bytes:
        """Return the ordinary lines without the fields called one of `names` (lower case)."""
        kept = (name + b": " + value for lower, name, value in split_fields(self.ordinary) if lower not in names)
        return b"".join(line + b"\r\n" for line in kept)

    def without_overrides(self) -> Fields:
        """Return the fields without the overrides."""
        kept = (line for line in self.all() if override_name(line[0]) not in self.overrides)
        return parse_fields(b"".join(b"%b: %b\r\n" % line[1:] for line in kept), is_request=True)


def parse_fields(block: bytes, *, is_request: bool) -> Fields:
    """Parse field lines that are known to be well formed.

    Args:
        block: the lines, each with its CRLF.
        is_request: of a request, else of a response.
    """
    parts = (_split_request if is_request else _split_response)(b"\n" + block)
    if len(parts) == 1:
        return Fields(block, (), block, _NO_OPTIONS, True, block.count(b"\n"))
    special = []
    connections = []
    overrides = []
    is_plain = True
    for at in range(1, len(parts), 3):
        name = parts[at]
        lower = name.lower()
        if lower[0] == _X:
            # An ordinary field: its line stays with those around it.
            overrides.append(override_name(lower))
            parts[at + 2] = b"\n%b:%b\r%b" % (name, parts[at + 1], parts[at + 2])
            continue
        value = parts[at + 1].strip(b" \t")
        special.append((lower, name, value))
        if lower == b"connection":
            connections.append(value)
        elif lower not in _PLAIN:
            is_plain = False
    ordinary = b"".join(parts[::3])[1:]
    options = _connection_options(connections) if connections else _NO_OPTIONS
    is_plain = is_plain and options <= _PLAIN_OPTIONS
    found = frozenset(overrides) if overrides else NO_OVERRIDES
    return Fields(block, tuple(special), ordinary, options, is_plain, block.count(b"\n"), found)


def override_name(lower: bytes) -> str:
    """Convert the name of a field, in lower case, into the spelling of `egress.model.override_fields`."""
    return lower.translate(_HYPHENS).decode("ascii")


def may_be_memoized(fields: Fields) -> bool:
    """Whether the fields of a request may be the key and value of a memo: short, plain and without a secret.

    Only blocks of at most `MEMO_BLOCK_BYTES` octets qualify, whose field names are all on a list of fields without
    secrets. Authorization, Proxy-Authorization, Cookie and every unknown field exclude a block.
    """
    return (
        fields.is_plain
        and fields.lines <= _MEMO_LINES
        and len(fields.block) <= MEMO_BLOCK_BYTES
        and _has_memo_names_only(fields.block) is not None
    )


def split_fields(block: bytes) -> tuple[Field, ...]:
    """Parse every line of a block of well-formed field lines."""
    fields = []
    lines = block.split(b"\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(b":")
        fields.append((name.lower(), name, value.strip(b" \t")))
    return tuple(fields)


def _connection_options(values: list[bytes]) -> frozenset[bytes]:
    """Return the connection options. A word that is no token cannot name a field; it stays and matches nothing."""
    if len(values) == 1 and (common := _COMMON_OPTIONS.get(values[0])) is not None:
        return common
    return _parse_options(values)


def _parse_options(values: list[bytes]) -> frozenset[bytes]:
    # Each different word is stripped once: a head may repeat one thousands of times.
    words = frozenset(b",".join(values).lower().split(b","))
    return frozenset([token for word in words if (token := word.strip(b" \t"))])
