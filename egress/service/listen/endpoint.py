"""Parses endpoint strings such as `tcp:3128:interface=127.0.0.1`.

The syntax is that of Twisted's `serverFromString`: parts separated by colons, `key=value`, a backslash before a colon
or an equals sign in a value. Twisted's own parser is private, and treats an unknown kind as a plugin.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from attrs import frozen

from egress.errors import ConfigError
from egress.model import Address
from egress.service.listen.unix_path import PATH_BYTES

_PERMISSIONS = frozenset("01234567")
_KINDS = "must begin with tcp:, tcp6:, unix: or systemd:"


@frozen
class TcpEndpoint:
    """An address and a port of this machine; port 0 is any free one."""

    address: Address
    port: int


@frozen
class UnixEndpoint:
    """A socket in the file system.

    Attributes:
        path: the absolute path of the socket.
        mode: the permissions of the socket; users with write permission may connect.
    """

    path: str
    mode: int


@frozen
class SystemdEndpoint:
    """A socket that systemd listens on and passes to this process (sd_listen_fds(3)).

    Attributes:
        name: FileDescriptorName= of the socket unit; by default the name of the unit.
        index: the position among the sockets with this name, from 0; None where there is only one.
    """

    name: str
    index: int | None = None


Endpoint = TcpEndpoint | UnixEndpoint | SystemdEndpoint


def overlaps(one: Endpoint, other: Endpoint) -> bool:
    """Whether the sockets of two endpoints cannot both be bound.

    A wildcard address uses a port on every address of its family, and "::" also on every IPv4 address, because
    listeners are bound without IPV6_V6ONLY. Port 0 is a different port for each socket.
    """
    if isinstance(one, UnixEndpoint) and isinstance(other, UnixEndpoint):
        return one.path == other.path
    if not isinstance(one, TcpEndpoint) or not isinstance(other, TcpEndpoint):
        return one == other
    if one.port != other.port or not one.port:
        return False
    first, second = _unmapped(one.address), _unmapped(other.address)
    return first == second or _takes_all_of(first, second) or _takes_all_of(second, first)


def known_addresses(endpoints: Iterable[Endpoint]) -> list[tuple[str, int]]:
    """Return the addresses and ports of TCP endpoints without those of port 0, which are known only once bound."""
    return [(str(each.address), each.port) for each in endpoints if isinstance(each, TcpEndpoint) and each.port]


def _unmapped(address: Address) -> Address:
    # The kernel binds ::ffff:192.0.2.1 to the IPv4 address (RFC 3493 section 3.7).
    mapped = address.ipv4_mapped if address.version == 6 else None
    return address if mapped is None else mapped


def _takes_all_of(wildcard: Address, address: Address) -> bool:
    return wildcard.is_unspecified and (wildcard.version == 6 or address.version == 4)


def parse_endpoint(text: str, where: str, absolute: Callable[[str], str] = os.path.abspath) -> Endpoint:
    """Parse one endpoint string.

    Args:
        text: the configured string.
        where: the key path of the string.
        absolute: makes the path of a unix socket absolute.

    Raises:
        ConfigError: the endpoint is of an unknown kind, or has an unknown part.
    """
    try:
        positional, named = _split(text)
        kind, *rest = positional
        if kind in ("tcp", "tcp6"):
            return _tcp(kind, rest, named)
        if kind == "unix":
            return _unix(rest, named, absolute)
        if kind == "systemd":
            return _systemd(rest, named)
        raise ValueError(_KINDS)
    except ValueError as error:
        raise ConfigError(where, str(error))


def _split(text: str) -> tuple[list[str], dict[str, str]]:
    positional: list[str] = []
    named: dict[str, str] = {}
    key: str | None = None
    part = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise ValueError("ends in a backslash")
            part += escaped
        elif character == "=" and key is None:
            key, part = part, ""
        elif character == ":":
            _add(positional, named, key, part)
            key, part = None, ""
        else:
            part += character
    _add(positional, named, key, part)
    return positional, named


def _add(positional: list[str], named: dict[str, str], key: str | None, part: str) -> None:
    if key is None:
        if named:
            raise ValueError(r"has a part behind a key=value part; a colon inside a value is written \:")
        positional.append(part)
    elif not positional:
        raise ValueError(_KINDS)
    elif key in named:
        raise ValueError(f"has {key!a} twice")
    else:
        named[key] = part


def _refuse_others(kind: str, named: dict[str, str], known: str) -> None:
    for key in named:
        if key != known:
            raise ValueError(f"{kind}: endpoints have no {key!a}; they have {known!a}")


def _tcp(kind: str, rest: list[str], named: dict[str, str]) -> TcpEndpoint:
    _refuse_others(kind, named, "interface")
    if len(rest) != 1 or not rest[0].isascii() or not rest[0].isdigit() or int(rest[0][:6]) > 65_535:
        raise ValueError(f"must be {kind}:PORT or {kind}:PORT:interface=ADDRESS, with a port from 0 to 65535")
    interface = named.get("interface", "0.0.0.0" if kind == "tcp" else "::")
    if "%" in interface:
        raise ValueError("its interface must be an address without a zone")
    try:
        address = ip_address(interface)
    except ValueError:
        raise ValueError("its interface must be an IP address")
    if kind == "tcp6" and address.version == 4:
        raise ValueError("tcp6: endpoints have an IPv6 address as interface")
    return TcpEndpoint(address, int(rest[0]))


def _unix(rest: list[str], named: dict[str, str], absolute: Callable[[str], str]) -> UnixEndpoint:
    _refuse_others("unix", named, "mode")
    if len(rest) != 1 or not rest[0] or "\0" in rest[0]:
        raise ValueError("must be unix:PATH or unix:PATH:mode=600")
    mode = named.get("mode", "600")
    if not (len(mode) in (3, 4) and set(mode) <= _PERMISSIONS and int(mode, 8) <= 0o777):
        raise ValueError("its mode must be three octal digits, such as 600")
    path = absolute(rest[0])
    if len(os.fsencode(path)) > PATH_BYTES:
        raise ValueError(f"its path must not be longer than {PATH_BYTES} octets")
    return UnixEndpoint(path, int(mode, 8))


def _systemd(rest: list[str], named: dict[str, str]) -> SystemdEndpoint:
    _refuse_others("systemd", named, "index")
    if len(rest) != 1 or not (name := rest[0]) or not name.isascii() or not name.isprintable() or ":" in name:
        raise ValueError("must be systemd:NAME or systemd:NAME:index=0, with the FileDescriptorName of a socket unit")
    index = named.get("index")
    if index is None:
        return SystemdEndpoint(name)
    if not (index.isascii() and index.isdigit() and len(index) < 6):
        raise ValueError("its index must be a whole number from 0")
    return SystemdEndpoint(name, int(index))
