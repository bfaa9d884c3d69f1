"""The order in which addresses of two families are dialled (RFC 6724 section 6)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network, ip_address

from egress.model import Address

FindSource = Callable[[Address], "Address | None"]

# Section 2.1: prefix, precedence, label. The longest prefix that matches counts.
_POLICY = tuple(
    (IPv6Network(prefix), precedence, label)
    for prefix, precedence, label in (
        ("::1/128", 50, 0),
        ("::ffff:0:0/96", 35, 4),
        ("::/96", 1, 3),
        ("2001::/32", 5, 5),
        ("2002::/16", 30, 2),
        ("3ffe::/16", 1, 12),
        ("fec0::/10", 1, 11),
        ("fc00::/7", 3, 13),
        ("::/0", 40, 1),
    )
)
_LINK, _SITE, _GLOBAL = 2, 5, 14
_ANY_PORT = 9


def sort_addresses(addresses: tuple[Address, ...], find_source: FindSource) -> tuple[Address, ...]:
    """Sort addresses by reachability from this machine, and by preference.

    Rules 1, 2, 5, 6 and 8 of section 6 are applied. Where they make no difference, the order of the name server stays,
    which may be there to share load. Addresses of one family are not sorted.

    Args:
        addresses: of one name.
        find_source: returns the source address for a destination; None without a route.
    """
    if len({address.version for address in addresses}) < 2:
        return addresses
    return tuple(sorted(addresses, key=lambda address: _rank(address, find_source(address))))


def find_source(address: Address) -> Address | None:
    """Ask the kernel for the source address for a destination. Nothing is sent."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), _ANY_PORT))
        return ip_address(probe.getsockname()[0])
    return None


def _rank(address: Address, source: Address | None) -> tuple[bool, bool, bool, int, int]:
    precedence, label = _policy_of(address)
    scope = _scope_of(address)
    if source is None:
        return (True, True, True, -precedence, scope)
    return (False, scope != _scope_of(source), label != _policy_of(source)[1], -precedence, scope)


def _policy_of(address: Address) -> tuple[int, int]:
    mapped = address if isinstance(address, IPv6Address) else IPv6Address(0xFFFF_0000_0000 | int(address))
    return next((precedence, label) for network, precedence, label in _POLICY if mapped in network)


def _scope_of(address: Address) -> int:
    """Return the scope of a unicast address (sections 3.1 and 3.2)."""
    if address.is_loopback or address.is_link_local:
        return _LINK
    if isinstance(address, IPv6Address) and address.is_site_local:
        return _SITE
    return _GLOBAL
