"""Addresses as the socket module has them, and as Twisted has them."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address

# What connect(2) is given: host and port, for IPv6 also the flow and the scope.
SocketAddress = tuple[Any, ...]

# Addresses that are remembered. A proxy dials the same few again and again.
_REMEMBERED = 1024


def parse(host: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """Read an address literal, which is all that may ever be dialled: names are looked up and judged elsewhere.

    Returns:
        The family, and the address for a socket of it.

    Raises:
        ValueError: not a literal of either family, or no port.
    """
    # What an interface's name means can change, and is not remembered.
    return _parse(host, port) if "%" in host else _parse_remembered(host, port)


def _parse(host: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    if not 0 < port < 65_536:
        raise ValueError(f"{port} is not a port")
    try:
        if ":" not in host:
            socket.inet_pton(socket.AF_INET, host)
            return socket.AF_INET, (host, port)
        if "%" not in host:
            socket.inet_pton(socket.AF_INET6, host)
            return socket.AF_INET6, (host, port, 0, 0)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        # The part after the percent sign is the name or number of an interface (RFC 4007 section 11).
        return socket.AF_INET6, socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM, 0, flags)[0][4]
    except (OSError, UnicodeError):
        raise ValueError("only IP address literals can be dialled")


_parse_remembered = lru_cache(_REMEMBERED)(_parse)


def describe(address: SocketAddress) -> IPv4Address | IPv6Address:
    """Give a socket's address as Twisted's protocols know it."""
    if len(address) == 2:
        return IPv4Address("TCP", address[0], address[1])
    return IPv6Address("TCP", *address)


describe_dialled = lru_cache(_REMEMBERED)(describe)
"""The same for an address that is dialled, and probably not for the first time."""
