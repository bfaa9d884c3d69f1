"""Networks: parsing, sets of networks, and IPv4 addresses embedded in IPv6 addresses."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network

from attrs import frozen

from egress.hostname import canonical_host
from egress.model import Address, Network

_prefix_length = re.compile(r"0|[1-9][0-9]{0,2}").fullmatch
_is_octet = re.compile(r"0|[1-9][0-9]{0,2}").fullmatch


class NumberError(ValueError):
    """The error for numbers in a configuration that are not an IPv4 address in dotted decimal, such as `192.168.`.

    In a request such numbers are an address, as in the C library: `192.168.` is 192.0.0.168. In a configuration the
    operator means something else, mostly a network.
    """


def explain_numbers(text: str) -> NumberError:
    """Make the error for numbers that are not an address in dotted decimal. The message suggests a correct spelling."""
    meant = meant_network(text)
    if meant:
        return NumberError(f"these numbers are neither an address nor a network; write the network as {meant}")
    return NumberError("an IPv4 address is written as four decimal numbers without leading zeros, such as 192.0.2.1")


def meant_network(text: str) -> str:
    """Guess the network that `10.`, `10.*`, `192.168`, `10/8` or `10.0.0.0/255.0.0.0` means; "" for none."""
    base, slash, length = text.partition("/")
    numbers = base.replace(".*", "").removesuffix(".").split(".")
    if len(numbers) > 4 or not all(map(_is_octet, numbers)):
        return ""
    padded = ".".join([*numbers, *["0"] * (4 - len(numbers))])
    try:
        return str(ip_network(f"{padded}/{length if slash else 8 * len(numbers)}", strict=False))
    except ValueError:
        return ""


def configured_host(text: str) -> tuple[str, Address | None]:
    """Convert a host in a configuration to its canonical spelling, as `canonical_host` does.

    Raises:
        NumberError: the host is an IPv4 address that is not in dotted decimal.
        ValueError: the text is not a host.
    """
    host, address = canonical_host(text)
    if address is not None and address.version == 4 and text.removesuffix(".") != host:
        raise explain_numbers(text)
    return host, address


def parse_network(text: str) -> Network:
    """Parse a network in CIDR notation. An address alone is the network of this one address.

    Raises:
        NumberError: the address is not in dotted decimal, or a netmask stands for the prefix length.
        ValueError: the text is neither, or host bits are set: `10.1.2.3/8` is ambiguous.
    """
    base, slash, length = text.partition("/")
    if not slash:
        host, address = configured_host(base)
        if address is None:
            raise ValueError("the network does not begin with an address")
        return ip_network(address)
    host, address = canonical_host(base)
    if address is None:
        raise ValueError("the network does not begin with an address")
    if address.version == 4 and (host != base or ("." in length and meant_network(text))):
        raise explain_numbers(text)
    if not _prefix_length(length) or int(length) > address.max_prefixlen:
        raise ValueError(f"the network's prefix length is not a number from 0 to {address.max_prefixlen}")
    try:
        return ip_network((address, int(length)))
    except ValueError:
        raise ValueError("the network has host bits set; write its first address, or /32 or /128") from None


@frozen
class NetworkSet:
    """A set of addresses: the union of networks.

    Attributes:
        bounds4: IPv4 addresses as integers, ascending: the first address of a range and the first address after the
            range, alternately.
        bounds6: IPv6 ranges, in the form of `bounds4`.
    """

    bounds4: tuple[int, ...]
    bounds6: tuple[int, ...]

    @classmethod
    def of(cls, networks: Iterable[Network]) -> NetworkSet:
        """Compile a set."""
        spans: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for network in networks:
            first = int(network.network_address)
            spans[network.version].append((first, first + network.num_addresses))
        return cls(_merge(spans[4]), _merge(spans[6]))

    def contains(self, address: Address) -> bool:
        """Whether one of the networks contains the address. Embedded IPv4 addresses are not examined."""
        bounds = self.bounds4 if address.version == 4 else self.bounds6
        return bisect_right(bounds, int(address)) & 1 == 1


def _merge(spans: list[tuple[int, int]]) -> tuple[int, ...]:
    bounds: list[int] = []
    for first, end in sorted(spans):
        if bounds and first <= bounds[-1]:
            bounds[-1] = max(bounds[-1], end)
        else:
            bounds += (first, end)
    return tuple(bounds)


def embedded_ipv4(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses to which a translator or tunnel may convert an IPv6 address.

    Recognized are IPv4-mapped, -compatible (RFC 4291 section 2.5.5) and -translated (RFC 2765 section 2.1), 6to4 (RFC
    3056), Teredo (server and client, RFC 4380 section 4), ISATAP (RFC 5214 section 6.1) and NAT64 with the
    well-known prefix (RFC 6052) and the local-use prefix (RFC 8215), for which all layouts are returned.
    """
    if type(address) is not IPv6Address:
        return ()
    value = int(address)
    low = value & 0xFFFF_FFFF
    inside: list[int] = []
    if value >> 32 == 0x0064_FF9B << 64:
        inside.append(low)
    elif value >> 80 == 0x0064_FF9B_0001:
        inside += (low, *(_between(value, length) for length in (48, 56, 64)))
    elif value >> 32 in (0xFFFF, 0, 0xFFFF_0000):
        inside.append(low)
    elif value >> 112 == 0x2002:
        inside.append(value >> 80 & 0xFFFF_FFFF)
    elif value >> 96 == 0x2001_0000:
        inside += (value >> 64 & 0xFFFF_FFFF, low ^ 0xFFFF_FFFF)
    if value >> 32 & 0xFDFF_FFFF == 0x0000_5EFE:
        inside.append(low)
    return tuple(map(IPv4Address, inside))


def _between(value: int, length: int) -> int:
    """Extract the IPv4 address after a prefix of `length` bits, without bits 64 to 71 (RFC 6052 section 2.2)."""
    joined = value >> 64 << 56 | value & (1 << 56) - 1
    return joined >> (88 - length) & 0xFFFF_FFFF
