"""Hosts and ports, in the one spelling that everything is judged by (RFC 3986 section 3.2).

One destination has many spellings: `EXAMPLE.com.`, `0x7f.1`, `[::FFFF]`. Resolvers and URL parsers disagree about them,
so each is brought here into its canonical form or refused, and only the canonical form is judged, dialled and sent on.
"""

from __future__ import annotations

import re

from egress.errors import ProtocolError
from egress.hostname import canonical_host
from egress.model import Authority

_is_port = re.compile(rb"[1-9][0-9]{0,4}").fullmatch

# Only what is an authority is kept, and no authority is longer than 260 octets.
_REMEMBERED = 4096
_remembered: dict[tuple[bytes, int | None], Authority] = {}


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
