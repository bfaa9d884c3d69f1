"""Reads endpoint strings such as `tcp:3128:interface=127.0.0.1`.

The spelling is that of Twisted's `serverFromString`: parts between colons, `key=value`, a backslash before a colon or
an equals sign that is meant as such. Twisted's own parser is private, and takes what it does not know for a plugin.
"""

from __future__ import annotations

import os
from collections.abc import Callable
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
        path: absolute.
        mode: its permissions: who may write to it may connect.
    """

    path: str
    mode: int


@frozen
class SystemdEndpoint:
    """A socket that systemd listens on and hands over (sd_listen_fds(3)).

    Attributes:
        name: FileDescriptorName= of its unit, or the unit's own name if there is no such line.
        index: which one of those with this name, from 0; None where there is one only.
    """

    name: str
    index: int | None = None


Endpoint = TcpEndpoint | UnixEndpoint | SystemdEndpoint


def parse_endpoint(text: str, where: str, place: Callable[[str], str] = os.path.abspath) -> Endpoint:
    """Read one endpoint string.

    Args:
        text: as configured.
        where: its key path.
        place: makes the path of a unix socket absolute.

    Raises:
        ConfigError: it is not one that we know, or has a part that we do not know.
    """
    try:
        positional, named = _split(text)
        kind, *rest = positional
        if kind in ("tcp", "tcp6"):
            return _tcp(kind, rest, named)
        if kind == "unix":
            return _unix(rest, named, place)
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


def _unix(rest: list[str], named: dict[str, str], place: Callable[[str], str]) -> UnixEndpoint:
    _refuse_others("unix", named, "mode")
    if len(rest) != 1 or not rest[0] or "\0" in rest[0]:
        raise ValueError("must be unix:PATH or unix:PATH:mode=600")
    mode = named.get("mode", "600")
    if not (len(mode) in (3, 4) and set(mode) <= _PERMISSIONS and int(mode, 8) <= 0o777):
        raise ValueError("its mode must be three octal digits, such as 600")
    path = place(rest[0])
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
