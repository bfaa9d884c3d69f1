"""Recognises destinations that are the supervisor itself or an upstream proxy."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv6Address, ip_address

from attrs import define, field

from egress.match import embedded_ipv4
from egress.model import Address, Authority


def is_local(address: Address) -> bool:
    """Whether an address belongs to this machine.

    The check binds a socket to the address. Unlike a list of interfaces read once, this is correct for every address of
    127.0.0.0/8, for addresses added later, and in any network namespace.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _plain(address: Address) -> Address:
    """Return the address that the kernel would dial: `::ffff:a.b.c.d` is a.b.c.d."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _meanings(addresses: Iterable[Address]) -> Iterator[Address]:
    """Return the addresses and the IPv4 addresses to which a translator on the path may convert them."""
    for address in addresses:
        yield _plain(address)
        yield from embedded_ipv4(address)


# The largest number of recorded addresses of proxies; more than any name has.
_LEARNED = 4096


@define
class OwnAddresses:
    """The addresses of every listener, on every local address, and of every hop.

    A client whose destination is the proxy or an upstream proxy could send it a nested request, which no policy has
    judged.

    Attributes:
        sockets: the address and port of each listener; an unspecified address stands for all local ones.
        hops: the host and port of each proxy of a route.
        local: returns whether an address belongs to this machine.
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
        """Whether an authority is a proxy of a route, by the proxy's name."""
        return (authority.host, authority.port) in self._names

    def hop_names(self, port: int) -> list[str]:
        """Return the names of the proxies that listen on a port, whose addresses must be recorded."""
        return [name for name, at in self._names if at == port] if self._names else []

    def is_known(self, name: str, port: int) -> bool:
        """Whether addresses of a proxy's name have been recorded."""
        return (name, port) not in self._unlearned

    def learn(self, name: str, port: int, addresses: Iterable[Address]) -> None:
        """Record the addresses of a proxy's name. They stay recorded, because names change faster than proxies."""
        self._unlearned.discard((name, port))
        if len(self._of_hops) < _LEARNED:
            self._of_hops.update((_plain(address), port) for address in addresses)

    def holds(self, authority: Authority, addresses: Iterable[Address]) -> bool:
        """Whether dialling the addresses at the authority's port would reach a listener or an upstream proxy."""
        port = authority.port
        if port in self.hop_ports:
            addresses = tuple(addresses)
            if any((address, port) in self._of_hops for address in _meanings(addresses)):
                return True
        return self.serves(authority, addresses)

    def dialling(self, authority: Authority, addresses: Iterable[Address]) -> bool:
        """Record the address at which a proxy is dialled.

        Returns:
            Whether the address is a listener of this process.
        """
        addresses = tuple(addresses)
        if authority.port in self.hop_ports:
            self.learn(authority.host, authority.port, addresses)
        return self.serves(authority, addresses)

    def is_machine_of_hop(self, port: int, addresses: Iterable[Address]) -> bool:
        """Whether a proxy that receives the addresses as a target could connect to itself.

        At the proxy, loopback and the unspecified address are the proxy's own machine, so on its port they are the
        proxy.
        """
        return port in self.hop_ports and any(
            address.is_loopback or address.is_unspecified for address in _meanings(addresses)
        )

    def serves(self, authority: Authority, addresses: Iterable[Address]) -> bool:
        """Whether dialling the addresses at the authority's port would reach a listener of this process.

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
