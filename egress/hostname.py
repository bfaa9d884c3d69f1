"""The one canonical spelling of a host, shared by what reads requests and by what matches them.

Two spellings that any client, proxy or resolver could take for the same host become the same text here, and what
could be taken for two things is refused.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

HOST_LIMIT = 253
"""Octets in a name without its last dot (RFC 1035 section 2.3.4 counts 255 on the wire, with lengths and root)."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# Nearly every host: already canonical, and its last label cannot be a number because it does not begin like one.
_plain_name = re.compile(rf"(?:{_LABEL}\.)*[a-z_](?:[a-z0-9_-]{{0,61}}[a-z0-9_])?").fullmatch
_name = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}").fullmatch
_usual_address = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!\Z)|\Z)){4}", re.ASCII).fullmatch
_number = re.compile(r"(?:0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)").fullmatch
_numeric_label = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)").fullmatch


def canonical_host(text: str) -> tuple[str, IPv4Address | IPv6Address | None]:
    """Bring a host into its one canonical spelling.

    Names become lower case and lose one trailing dot. IPv6 addresses are spelled as RFC 5952 wants them. What the
    C library or a browser would read as an IPv4 address (one to four decimal, octal or hexadecimal numbers; WHATWG URL
    section 3.5) becomes that address, so that `0x7f.1` and `127.0.0.1` are one host.

    Args:
        text: the host alone: no port, no brackets, no zone, no percent-encoding.

    Returns:
        The canonical text, and the address where the host is one.

    Raises:
        ValueError: it is no host. The message does not repeat the text.
    """
    if len(text) <= HOST_LIMIT and _plain_name(text):
        return text, None
    if _usual_address(text):
        return text, IPv4Address(text)
    if not text.isascii():
        raise ValueError("the host has characters outside ASCII; write its A-label")
    if ":" in text:
        return _canonical_ipv6(text)
    lowered = text.lower().removesuffix(".")
    if not lowered:
        raise ValueError("the host is empty")
    if len(lowered) > HOST_LIMIT:
        raise ValueError(f"the host is longer than {HOST_LIMIT} characters")
    if not _name(lowered):
        raise ValueError("the host is not a name: its labels are 1 to 63 letters, digits, '_' and inner '-'")
    if _numeric_label(lowered.rpartition(".")[2]):
        address = _read_ipv4(lowered.split("."))
        return str(address), address
    return lowered, None


def _canonical_ipv6(text: str) -> tuple[str, IPv6Address]:
    if "%" in text:
        raise ValueError("the host is an IPv6 address with a zone, which means nothing to others")
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError("the host has a colon but is no IPv6 address") from None
    mapped = address.ipv4_mapped
    # RFC 5952 section 5; `str` does so only from Python 3.13 on.
    return (f"::ffff:{mapped}" if mapped is not None else str(address)), address


def _read_ipv4(parts: list[str]) -> IPv4Address:
    """Read one to four numbers, of which the last fills the octets that are left."""
    if len(parts) > 4 or not all(_number(part) for part in parts):
        raise ValueError("the host ends in a number but is no IPv4 address")
    numbers = [_read_number(part) for part in parts]
    *leading, last = numbers
    if any(number > 255 for number in leading) or last >= 256 ** (5 - len(numbers)):
        raise ValueError("the host is an IPv4 address with a number that is too large")
    value = last
    for place, number in enumerate(leading):
        value += number << (8 * (3 - place))
    return IPv4Address(value)


def _read_number(text: str) -> int:
    if text.startswith("0x"):
        return int(text, 16)
    # A leading zero means octal to the C library and to browsers, whatever a person may have meant.
    return int(text, 8) if text.startswith("0") else int(text)
