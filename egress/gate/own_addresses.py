"""Knows which destinations are the supervisor itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv6Address, ip_address

from attrs import define, field

from egress.match import embedded_ipv4
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


def _meanings(addresses: Iterable[Address]) -> Iterator[Address]:
    """Give every address that these can stand for: a translator on the way makes an IPv4 address of some in IPv6."""
    for address in addresses:
        yield _plain(address)
        yield from embedded_ipv4(address)


# Addresses of proxies that are remembered; more than any name has.
_LEARNED = 4096


@define
class OwnAddresses:
    """Every listener of ours, on every local address, and every hop of ours.

    A client that could name the proxy, or the next one, as its destination would nest a request of its own in there,
    which no policy has seen.

    Attributes:
        sockets: the address and port of each listener; an unspecified address stands for all local ones.
        hops: where each proxy of a route listens.
        local: tells whether an address is this machine's.
        hop_ports: the ports of `hops`: no address on any other port can be a proxy of a route.
    """

    sockets: tuple[tuple[str, int], ...]
    hops: tuple[Authority, ...] = ()
    local: Callable[[Address], bool] = is_local
    _ports: frozenset[int] = field(init=False)
    _names: frozenset[tuple[str, int]] = field(init=False)
    _of_hops: set[tuple[Address, int]] = field(init=False)
    hop_ports: frozenset[int] = field(init=False)
    _unlearned: set[tuple[str, int]] = field(init=False)
    _bound: frozenset[tuple[Address, int]] = field(init=False)
    _everywhere: frozenset[int] = field(init=False)

    @_ports.default
    def _find_ports(self) -> frozenset[int]:
        return frozenset(port for _, port in self.sockets)

    @_names.default
    def _find_names(self) -> frozenset[tuple[str, int]]:
        return frozenset((hop.host, hop.port) for hop in self.hops if hop.address is None)

    @_of_hops.default
    def _find_hops(self) -> set[tuple[Address, int]]:
        return {(_plain(hop.address), hop.port) for hop in self.hops if hop.address is not None}

    @hop_ports.default
    def _find_hop_ports(self) -> frozenset[int]:
        return frozenset(hop.port for hop in self.hops)

    @_unlearned.default
    def _find_unlearned(self) -> set[tuple[str, int]]:
        return set(self._names)

    @_bound.default
    def _find_bound(self) -> frozenset[tuple[Address, int]]:
        return frozenset((_plain(ip_address(host)), port) for host, port in self.sockets)

    @_everywhere.default
    def _find_everywhere(self) -> frozenset[int]:
        return frozenset(port for host, port in self.sockets if ip_address(host).is_unspecified)

    def names_hop(self, authority: Authority) -> bool:
        """Tell whether this is a proxy of a route, called by its name."""
        return (authority.host, authority.port) in self._names

    def hop_names(self, port: int) -> list[str]:
        """Give the names of the proxies that listen on a port; what they lead to has to be learned."""
        return [name for name, at in self._names if at == port] if self._names else []

    def is_known(self, name: str, port: int) -> bool:
        """Tell whether it has been learned what a proxy's name leads to."""
        return (name, port) not in self._unlearned

    def learn(self, name: str, port: int, addresses: Iterable[Address]) -> None:
        """Take note of what a proxy's name leads to. It stays noted: names change faster than proxies."""
        self._unlearned.discard((name, port))
        if len(self._of_hops) < _LEARNED:
            self._of_hops.update((_plain(address), port) for address in addresses)

    def holds(self, authority: Authority, addresses: Iterable[Address]) -> bool:
        """Tell whether dialling these addresses at the authority's port would reach ourselves or an upstream proxy."""
        port = authority.port
        if port in self.hop_ports:
            addresses = tuple(addresses)
            if any((address, port) in self._of_hops for address in _meanings(addresses)):
                return True
        return self.serves(authority, addresses)

    def dialling(self, authority: Authority, addresses: Iterable[Address]) -> bool:
        """Take note of where a proxy is dialled.

        Returns:
            That is a listener of ours.
        """
        addresses = tuple(addresses)
        if authority.port in self.hop_ports:
            self.learn(authority.host, authority.port, addresses)
        return self.serves(authority, addresses)

    def is_machine_of_hop(self, port: int, addresses: Iterable[Address]) -> bool:
        """Tell whether a proxy that is asked for these addresses could take itself for meant.

        Loopback and the unspecified address are the proxy's own machine there, so on its port they are the proxy.
        """
        return port in self.hop_ports and any(
            address.is_loopback or address.is_unspecified for address in _meanings(addresses)
        )

    def serves(self, authority: Authority, addresses: Iterable[Address]) -> bool:
        """Tell whether dialling these addresses at the authority's port would reach a listener of ours.

        An unspecified address reaches this machine too (Linux connects 0.0.0.0 to loopback).
        """
        port = authority.port
        if port not in self._ports:
            return False
        for address in _meanings(addresses):
            if (address, port) in self._bound or address.is_unspecified:
                return True
            if port in self._everywhere and self.local(address):
                return True
        return False
