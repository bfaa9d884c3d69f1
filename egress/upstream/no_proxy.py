"""NO_PROXY: the destinations that bypass a proxy.

Syntax and matching are those of golang.org/x/net/http/httpproxy, which most programs of a node follow. Entries that the
package ignores silently (`:8080`, a port that is no number) are errors here. Numbers that the C library would interpret
as an unintended address are errors too: `192.168.` is 192.0.0.168.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Address, ip_network

from attrs import define, field, frozen

from egress.errors import ConfigError
from egress.hostname import canonical_host
from egress.match import NetworkSet, Reach, explain_numbers, meant_network, parse_host
from egress.model import Address, Authority, Network

# None means every port.
Ports = frozenset[int] | None

_NO_PORT: Ports = frozenset()
# Characters of an entry that a warning quotes.
_QUOTED = 80
_LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

_network = re.compile(
    r"(?:\[(?P<within>[^][/]*)/(?P<length>[^][:]*)\]|(?:\[(?P<inside>[^][/]*)\]|(?P<bare>[^][/]*))/(?P<behind>[^][:]*))"
    r"(?::(?P<port>.*))?"
).fullmatch
_bracketed = re.compile(r"\[(?P<host>[^][/]*)\](?::(?P<port>.*))?").fullmatch
_is_port = re.compile(r"[1-9][0-9]{0,4}").fullmatch
_is_length = re.compile(r"0|[1-9][0-9]{0,2}").fullmatch


@frozen(eq=False)
class NoProxy:
    """A compiled NO_PROXY list; immutable.

    Attributes:
        is_all: whether the list contains `*`, so that every destination bypasses the proxy.
        left_out: each entry that was left out, with its fault.
    """

    is_all: bool
    _names: Mapping[str, Ports]
    _below: Mapping[str, Ports]
    _networks: NetworkSet
    _networks_of_port: Mapping[int, NetworkSet]
    left_out: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, where: str, has_loopback: bool = False, is_lenient: bool = False) -> NoProxy:
        """Parse a list of entries separated by commas and optional spaces. Empty entries among others are ignored.

        Args:
            text: the list, such as `.corp.example, *.svc.cluster.local, 10.96.0.0/12, build.example:8443,
                [2001:db8::1]:443`.
            where: the key path or the variable that holds the list.
            has_loopback: whether the list includes `loopback`.
            is_lenient: whether to leave out entries that cannot be understood, and to accept a list without entries.
                Requests to the intended destinations then go through the proxy.

        Raises:
            ConfigError: the list is empty, or an entry is invalid. The error has the entry's number and not its text,
                which may be a URL with a password.
        """
        draft = _Draft(has_loopback)
        entries = [(number, entry) for number, piece in enumerate(text.split(","), 1) if (entry := piece.strip())]
        if not entries and not is_lenient:
            raise ConfigError(where, "names nothing; leave it out, or list hosts with commas between them")
        # A comma in a password divides a URL into several entries.
        has_url = _is_url(text)
        for number, entry in entries:
            try:
                draft.add(entry)
            except ValueError as error:
                if not is_lenient:
                    raise ConfigError(where, f"entry {number}: {error}") from None
                draft.left_out.append(f"{f'entry {number}' if has_url else _quote(entry)} ({error})")
        return draft.compile()

    @classmethod
    def loopback(cls) -> NoProxy:
        """Make the list of destinations that always bypass the environment's proxies.

        `localhost`, names below it (RFC 6761 section 6.3) and loopback addresses identify this machine here, but the
        proxy's machine at the proxy.
        """
        return _Draft(has_loopback=True).compile()

    def matches_name(self, authority: Authority) -> bool:
        """Whether the list contains the name or the literal address of a destination."""
        if self.is_all:
            return True
        if authority.address is not None:
            return self._holds(authority.address, authority.port)
        host, port = authority.host, authority.port
        ports = self._names.get(host, _NO_PORT)
        if ports is None or port in ports:
            return True
        start = host.find(".") + 1
        while start:
            ports = self._below.get(host[start:], _NO_PORT)
            if ports is None or port in ports:
                return True
            start = host.find(".", start) + 1
        return False

    def direct_addresses(self, addresses: tuple[Address, ...], port: int) -> tuple[Address, ...]:
        """Return those addresses of a name that an address or a network of the list covers, in order."""
        if self.is_all:
            return addresses
        return tuple(address for address in addresses if self._holds(address, port))

    def _holds(self, address: Address, port: int) -> bool:
        address = _unmap(address)
        if self._networks.contains(address):
            return True
        networks = self._networks_of_port.get(port)
        return networks is not None and networks.contains(address)


@define(eq=False)
class _Draft:
    """The state of a list that is being parsed."""

    has_loopback: bool
    is_all: bool = False
    names: dict[str, Ports] = field(factory=dict)
    below: dict[str, Ports] = field(factory=dict)
    networks: list[tuple[Network, int | None]] = field(factory=list)
    left_out: list[str] = field(factory=list)

    def add(self, entry: str) -> None:
        if entry == "*":
            self.is_all = True
        elif _is_url(entry):
            raise ValueError("this is a URL; write its host alone")
        elif "/" in entry:
            self.networks.append(_read_network(entry))
        else:
            self._add_host(entry)

    def _add_host(self, entry: str) -> None:
        host, port = _split_port(entry)
        is_below_only = host.startswith((".", "*."))
        host = host.removeprefix("*").removeprefix(".") if is_below_only else host
        if "*" in host:
            if meant_network(host):
                raise explain_numbers(host)
            raise ValueError('a star stands alone, or once in front: "*.corp.example"')
        if host.lower() == "<local>":
            raise ValueError("the names without a dot are listed one by one")
        if any(letter.isspace() or letter in ";|" for letter in host):
            raise ValueError("entries are separated by commas, and by nothing else")
        # With `**.` before it, `.192.0.2.1` is parsed as a name and refused.
        pattern = parse_host(f"**.{host}" if is_below_only else host)
        if pattern.network is not None:
            self.networks.append((_unmap_network(pattern.network), port))
            return
        if pattern.reach is Reach.EXACT:
            _allow(self.names, pattern.suffix, port)
        _allow(self.below, pattern.suffix, port)

    def compile(self) -> NoProxy:
        if self.has_loopback:
            self.names["localhost"] = self.below["localhost"] = None
            self.networks += ((network, None) for network in _LOOPBACK)
        of_port = {port: NetworkSet.of(self._networks_of(port)) for _, port in self.networks if port is not None}
        every_port = NetworkSet.of(self._networks_of(None))
        return NoProxy(self.is_all, self.names, self.below, every_port, of_port, tuple(self.left_out))

    def _networks_of(self, wanted: int | None) -> Iterator[Network]:
        return (network for network, port in self.networks if port == wanted)


def _is_url(text: str) -> bool:
    return "://" in text or "@" in text


def _quote(entry: str) -> str:
    return ascii(entry if len(entry) <= _QUOTED else f"{entry[:_QUOTED]}...")


def _allow(table: dict[str, Ports], name: str, port: int | None) -> None:
    known = table.get(name, _NO_PORT)
    table[name] = None if port is None or known is None else known | {port}


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        found = _bracketed(entry)
        if found is None or ":" not in found["host"]:
            raise ValueError("brackets belong around an IPv6 address, with nothing but a port behind them")
        return found["host"], _read_port(found["port"])
    if entry.count(":") != 1:
        # An IPv6 address without brackets has no port.
        return entry, None
    host, _, port = entry.partition(":")
    if not host:
        raise ValueError("has a port and no host")
    return host, _read_port(port)


def _read_port(digits: str | None) -> int | None:
    if digits is None:
        return None
    if not _is_port(digits) or int(digits) > 65535:
        raise ValueError("the port is not a number from 1 to 65535")
    return int(digits)


def _read_network(entry: str) -> tuple[Network, int | None]:
    """Parse CIDR notation. Bits after the prefix are ignored, as in Go."""
    found = _network(entry)
    if found is None:
        raise ValueError("is no network; write one as 10.96.0.0/12 or fd00::/8")
    inside = found["within"] if found["within"] is not None else found["inside"]
    base = found["bare"] if inside is None else inside
    length = found["behind"] if found["length"] is None else found["length"]
    host, address = canonical_host(base)
    if address is None:
        raise ValueError("the network does not begin with an address")
    if inside is not None and address.version == 4:
        raise ValueError("brackets belong around an IPv6 address")
    if address.version == 4 and (host != base or ("." in length and meant_network(f"{base}/{length}"))):
        raise explain_numbers(f"{base}/{length}")
    if not _is_length(length) or int(length) > address.max_prefixlen:
        raise ValueError(f"the network's prefix length is not a number from 0 to {address.max_prefixlen}")
    return _unmap_network(ip_network((address, int(length)), strict=False)), _read_port(found["port"])


def _unmap(address: Address) -> Address:
    """Convert an IPv4-mapped address to the IPv4 address that a socket would use (RFC 4291 section 2.5.5.2)."""
    if type(address) is IPv6Address:
        return address.ipv4_mapped or address
    return address


def _unmap_network(network: Network) -> Network:
    first = network.network_address
    if type(first) is IPv6Address and first.ipv4_mapped is not None and network.prefixlen >= 96:
        return IPv4Network((first.ipv4_mapped, network.prefixlen - 96))
    return network
