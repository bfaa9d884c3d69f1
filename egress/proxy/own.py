"""Knows which destinations are the supervisor itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address

from attrs import define, field

from egress.model import Address, Authority


def is_local(address: Address) -> bool:
    """Tell whether an address is one of this machine's.

    The kernel is asked by binding to it: unlike a list of interfaces read once, that is right for every address of
    127.0.0.0/8, for those added later, and inside any network namespace.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _plain(address: Address) -> Address:
    """Give the address that the kernel would dial: `::ffff:a.b.c.d` is a.b.c.d."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@define
class OwnAddresses:
    """Every listener of ours, on every local address, and every hop of ours.

    A client that could name the proxy, or the next one, as its destination would nest a request of its own in there,
    which no policy has seen.

    Attributes:
        sockets: the address and port of each listener; an unspecified address stands for all local ones.
        local: tells whether an address is this machine's.
    """

    sockets: tuple[tuple[str, int], ...]
    local: Callable[[Address], bool] = is_local
    _ports: frozenset[int] = field(init=False)
    _bound: frozenset[tuple[Address, int]] = field(init=False)
    _everywhere: frozenset[int] = field(init=False)

    @_ports.default
    def _find_ports(self) -> frozenset[int]:
        return frozenset(port for _, port in self.sockets)

    @_bound.default
    def _find_bound(self) -> frozenset[tuple[Address, int]]:
        return frozenset((_plain(ip_address(host)), port) for host, port in self.sockets)

    @_everywhere.default
    def _find_everywhere(self) -> frozenset[int]:
        return frozenset(port for host, port in self.sockets if ip_address(host).is_unspecified)

    def holds(self, authority: Authority, addresses: Iterable[Address]) -> bool:
        """Tell whether dialling these addresses at the authority's port would reach ourselves.

        An unspecified address reaches this machine too (Linux connects 0.0.0.0 to loopback).
        """
        port = authority.port
        if port not in self._ports:
            return False
        for address in map(_plain, addresses):
            if (address, port) in self._bound or address.is_unspecified:
                return True
            if port in self._everywhere and self.local(address):
                return True
        return False
