"""Hosts and ports, in the one spelling that everything is judged by (RFC 3986 section 3.2).

One destination has many spellings: `EXAMPLE.com.`, `0x7f.1`, `[::FFFF]`. Resolvers and URL parsers disagree about them,
so each is brought here into its canonical form or refused, and only the canonical form is judged, dialled and sent on.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from egress.errors import ProtocolError
from egress.model import Address, Authority

_NAME_OCTETS = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_is_name = re.compile(rf"{_LABEL}(?:\.{_LABEL})*").fullmatch
_is_number = re.compile(r"[0-9]+|0x[0-9a-f]*").fullmatch
_is_port = re.compile(rb"[1-9][0-9]{0,4}").fullmatch
_is_quad = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})").fullmatch

# Only what is an authority is kept, and no authority is longer than 260 octets.
_REMEMBERED = 4096
_remembered: dict[tuple[bytes, int | None], Authority] = {}


def canonical_host(text: str) -> tuple[str, Address | None]:
    """Bring a host into its canonical spelling.

    A name becomes lower case and loses one trailing dot. A host whose last label is a number is an IPv4 address in one
    of the spellings that browsers and `inet_aton` know (one to four parts, decimal, octal or hexadecimal), or nothing.
    An IPv6 address gets the spelling of RFC 5952, IPv4-mapped ones the mixed form of its section 5, whatever the
    version of Python.

    Args:
        text: a name in A-labels or an address, without brackets, port or zone.

    Returns:
        The canonical host, and the same as an address where it is one.

    Raises:
        ValueError: it is neither; the message is one sentence and holds nothing of `text`.
    """
    # Before lower(): some characters outside ASCII have ASCII ones as their lower case.
    if not text.isascii():
        raise ValueError("a host has ASCII characters only")
    if ":" in text:
        return _ipv6(text)
    host = text.lower()
    if host.endswith("."):
        host = host[:-1]
    if not host:
        raise ValueError("the host is empty")
    if len(host) > _NAME_OCTETS:
        raise ValueError("the host is longer than 253 octets")
    if _is_number(host[host.rfind(".") + 1 :]):
        address = IPv4Address(host) if _is_quad(host) and _is_in_range(host) else _ipv4(host)
        return str(address), address
    if not _is_name(host):
        raise ValueError("the host is not a name of labels of 1 to 63 letters, digits, hyphens and underscores")
    return host, None


def parse_authority(raw: bytes, default_port: int | None = None) -> Authority:
    """Read `host:port` or `[address]:port`.

    Args:
        raw: the octets as they came.
        default_port: the port where none is given; None if one must be.

    Returns:
        The authority, canonical.

    Raises:
        ProtocolError: bad_target: userinfo, a host that `canonical_host` refuses, brackets around anything but an IPv6
            address, or a port that is not 1 to 65535 in plain decimal digits.
    """
    key = (raw, default_port)
    found = _remembered.get(key)
    if found is None:
        found = _parse(raw, default_port)
        if len(_remembered) >= _REMEMBERED:
            _remembered.clear()
        _remembered[key] = found
    return found


def _parse(raw: bytes, default_port: int | None) -> Authority:
    if b"@" in raw:
        raise ProtocolError("bad_target", "user information in an authority is not accepted")
    if raw.startswith(b"["):
        inside, bracket, after = raw[1:].partition(b"]")
        if not bracket or b":" not in inside:
            raise ProtocolError("bad_target", "brackets belong around an IPv6 address and nothing else")
        if after and not after.startswith(b":"):
            raise ProtocolError("bad_target", "only a port can follow the brackets of an IPv6 address")
        host, colon, port = inside, after[:1], after[1:]
    else:
        host, colon, port = raw.partition(b":")
        if b":" in port:
            raise ProtocolError("bad_target", "there is more than one colon; an IPv6 address stands in brackets")
    try:
        name, address = canonical_host(host.decode("latin-1"))
    except ValueError as error:
        raise ProtocolError("bad_target", str(error)) from None
    return Authority(name, _port(port) if colon else _given(default_port), address)


def _port(digits: bytes) -> int:
    if not _is_port(digits) or int(digits) > 65535:
        raise ProtocolError("bad_target", "the port is not a number from 1 to 65535 in plain digits")
    return int(digits)


def _given(default_port: int | None) -> int:
    if default_port is None:
        raise ProtocolError("bad_target", "the port is missing")
    return default_port


def _is_in_range(quad: str) -> bool:
    return all(int(part) <= 255 for part in quad.split("."))


def _ipv6(text: str) -> tuple[str, Address]:
    if "%" in text:
        raise ValueError("an IPv6 address with a zone is not accepted")
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise ValueError("the host has colons but is no IPv6 address") from None
    # str() of a mapped address differs between versions of Python, and a canonical form must not.
    mapped = address.ipv4_mapped
    return (str(address) if mapped is None else f"::ffff:{mapped}"), address


def _ipv4(host: str) -> IPv4Address:
    """Read a numeric spelling: every part but the last is one octet, the last fills what is left."""
    parts = host.split(".")
    if len(parts) > 4:
        raise ValueError("the host ends in a number but is no IPv4 address: it has too many parts")
    numbers = [_number(part) for part in parts]
    last = numbers.pop()
    if any(number > 255 for number in numbers) or last >= 256 ** (4 - len(numbers)):
        raise ValueError("the host ends in a number but is no IPv4 address: a part is too large")
    for place, number in enumerate(numbers):
        last += number << (24 - 8 * place)
    return IPv4Address(last)


def _number(part: str) -> int:
    # A bare "0x" is zero to browsers and an error to inet_aton: int() refuses it, and so do we.
    try:
        if not _is_number(part):
            raise ValueError
        if part.startswith("0x"):
            return int(part, 16)
        return int(part, 8 if part.startswith("0") else 10)
    except ValueError:
        raise ValueError("the host ends in a number but is no IPv4 address: a part is no number") from None
