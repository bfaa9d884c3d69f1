"""Conversions between address literals, addresses of the socket module and addresses of Twisted."""

from __future__ import annotations

import socket

from twisted.internet.address import IPv4Address, IPv6Address

from egress.memo import Memo
from egress.transports.contract import SocketAddress

# The argument of connect(2): host and port, for IPv6 also the flow and the scope.

# A proxy dials the same few addresses often. At most 1,024 literals of 45 characters each, below 1 MiB with their
# values.
_parsed: Memo[tuple[str, int], tuple[socket.AddressFamily, SocketAddress]] = Memo(1024)
_described: Memo[SocketAddress, IPv4Address | IPv6Address] = Memo(1024)


def parse(host: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """Parse an address literal. Names cannot be dialled: they are resolved and judged elsewhere.

    Returns:
        The family, and the address for a socket of the family.

    Raises:
        ValueError: the host is not an IPv4 or IPv6 literal, or the port is not a port number.
    """
    key = host, port
    found = _parsed.get(key)
    if found is not None:
        return found
    found = _parse(host, port)
    # The interface that a scope names can change.
    return found if "%" in host else _parsed.keep(key, found)


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


def describe(address: SocketAddress) -> IPv4Address | IPv6Address:
    """Convert an address of the socket module into Twisted's."""
    if len(address) == 2:
        return IPv4Address("TCP", address[0], address[1])
    return IPv6Address("TCP", *address)


def describe_dialled(address: SocketAddress) -> IPv4Address | IPv6Address:
    """Convert a dialled address. Dialled addresses repeat, addresses of accepted connections do not."""
    found = _described.get(address)
    return found if found is not None else _described.keep(address, describe(address))
