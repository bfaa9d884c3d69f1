"""The canonical spelling of a host, for the readers of requests and for the patterns that match hosts.

Spellings that a client, proxy or resolver could interpret as one host have one canonical text. A spelling that could
mean two hosts is refused.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

HOST_LIMIT = 253
"""The largest number of octets of a name without its last dot (RFC 1035: 255 on the wire, with lengths and root)."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# Most hosts: a canonical name whose last label cannot be a number, because it does not begin with a digit.
_is_canonical_name = re.compile(rf"(?:{_LABEL}\.)*[a-z_](?:[a-z0-9_-]{{0,61}}[a-z0-9_])?").fullmatch
_is_name = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}").fullmatch
_is_dotted_decimal = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!\Z)|\Z)){4}", re.ASCII).fullmatch
_is_number = re.compile(r"(?:0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)").fullmatch
_is_numeric_label = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)").fullmatch


def canonical_host(text: str) -> tuple[str, IPv4Address | IPv6Address | None]:
    """Convert a host to its canonical spelling.

    Names become lower case and lose one trailing dot. IPv6 addresses are spelled by RFC 5952. A spelling that the C
    library or a browser interprets as an IPv4 address (one to four decimal, octal or hexadecimal numbers; WHATWG URL
    section 3.5) becomes that address, so that `0x7f.1` and `127.0.0.1` are one host.

    Args:
        text: the host without port, brackets, zone and percent-encoding.

    Returns:
        The canonical text, and the address of a host that is an address, else None.

    Raises:
        ValueError: the text is not a host. The message does not repeat the text.
    """
    # The fast paths of canonical names and IPv4 addresses.
    if len(text) <= HOST_LIMIT and _is_canonical_name(text):
        return text, None
    if _is_dotted_decimal(text):
        return text, IPv4Address(text)
    return _canonicalize(text)


def _canonicalize(text: str) -> tuple[str, IPv4Address | IPv6Address | None]:
    if not text.isascii():
        raise ValueError("the host has characters outside ASCII; write its A-label")
    if ":" in text:
        return _canonical_ipv6(text)
    lowered = text.lower().removesuffix(".")
    if not lowered:
        raise ValueError("the host is empty")
    if len(lowered) > HOST_LIMIT:
        raise ValueError(f"the host is longer than {HOST_LIMIT} characters")
    if not _is_name(lowered):
        raise ValueError("the host is not a name: its labels are 1 to 63 letters, digits, '_' and inner '-'")
    if _is_numeric_label(lowered.rpartition(".")[2]):
        address = _read_ipv4(lowered.split("."))
        return str(address), address
    return lowered, None


def _canonical_ipv6(text: str) -> tuple[str, IPv6Address]:
    if "%" in text:
        raise ValueError("the host is an IPv6 address with a zone, which is valid on one machine only")
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError("the host has a colon but is no IPv6 address") from None
    mapped = address.ipv4_mapped
    # RFC 5952 section 5; `str` does so only from Python 3.13 on.
    return (f"::ffff:{mapped}" if mapped is not None else str(address)), address


def _read_ipv4(parts: list[str]) -> IPv4Address:
    """Read one to four numbers; the last one fills the remaining octets."""
    if len(parts) > 4 or not all(_is_number(part) for part in parts):
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
    # The C library and browsers read a number with a leading zero as octal.
    return int(text, 8) if text.startswith("0") else int(text)
