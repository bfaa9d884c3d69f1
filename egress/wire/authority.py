"""Hosts and ports in canonical form (RFC 3986 section 3.2).

One destination has many spellings: `EXAMPLE.com.`, `0x7f.1`, `[::FFFF]`. Resolvers and URL parsers disagree about them.
`parse_authority` converts a spelling into its canonical form or refuses it. Only the canonical form is judged, dialled
and forwarded.
"""

from __future__ import annotations

import re

from egress.errors import ProtocolError
from egress.hostname import canonical_host
from egress.memo import Memo
from egress.model import Authority

_is_port = re.compile(rb"[1-9][0-9]{0,4}").fullmatch

# The memo keeps valid authorities only. None is longer than 260 octets: keys and values are below 4 MiB.
_memo: Memo[tuple[bytes, int | None], Authority] = Memo(4096)


def parse_authority(raw: bytes, default_port: int | None = None) -> Authority:
    """Parse `host:port` or `[address]:port`.

    Args:
        raw: the octets as sent.
        default_port: the port of an authority without one; None where the port is required.

    Returns:
        The authority in canonical form.

    Raises:
        ProtocolError: bad_target: userinfo, a host that `canonical_host` refuses, brackets around anything but an IPv6
            address, or a port that is not 1 to 65535 in plain decimal digits.
    """
    key = (raw, default_port)
    found = _memo.get(key)
    return found if found is not None else _memo.keep(key, _parse(raw, default_port))


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
            raise ProtocolError("bad_target", "there is more than one colon; brackets enclose an IPv6 address")
    try:
        name, address = canonical_host(host.decode("latin-1"))
    except ValueError as error:
        raise ProtocolError("bad_target", str(error)) from None
    if colon:
        return Authority(name, _parse_port(port), address)
    if default_port is None:
        raise ProtocolError("bad_target", "the port is missing")
    return Authority(name, default_port, address)


def _parse_port(digits: bytes) -> int:
    if not _is_port(digits) or int(digits) > 65535:
        raise ProtocolError("bad_target", "the port is not a number from 1 to 65535 in plain digits")
    return int(digits)
