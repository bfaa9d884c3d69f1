"""Host patterns: `api.example.com`, `*.example.com`, `**.example.com`, `**`, `192.0.2.1`, `2001:db8::/32`."""

from __future__ import annotations

from enum import Enum

import idna
from attrs import frozen

from egress.match.networks import configured_host, explain_numbers, meant_network, parse_network
from egress.model import Address, Network


class Reach(Enum):
    """The kind of hosts that a pattern matches."""

    EXACT = "exact"
    ONE_LABEL = "one label"
    MANY_LABELS = "one or more labels"
    EVERY = "every host"
    NETWORK = "network"

    __hash__ = object.__hash__


@frozen
class HostPattern:
    """One host pattern in canonical form.

    Attributes:
        text: the canonical spelling.
        reach: the kind of hosts that the pattern matches.
        suffix: the name itself, or the part after the star and its dot; "" for networks and for every host.
        network: the network of a literal address or CIDR, else None.
    """

    text: str
    reach: Reach
    suffix: str = ""
    network: Network | None = None

    @property
    def specificity(self) -> tuple[bool, int, bool]:
        """A sort key: of two patterns that match one host, the key of the more specific pattern is greater.

        An exact name is more specific than any star. A longer suffix or network prefix is more specific than a shorter
        one, and `*` before a suffix more than `**`. `**` alone is the least specific.
        """
        if self.network is not None:
            return True, self.network.prefixlen, True
        size = self.suffix.count(".") + 1 if self.suffix else 0
        return self.reach is Reach.EXACT, size, self.reach is Reach.ONE_LABEL

    def match(self, host: str, address: Address | None) -> bool:
        """Whether the pattern matches a canonical host. `HostIndex` matches many patterns faster.

        Args:
            host: the canonical host.
            address: the address of a host that is an address, else None.
        """
        if self.reach is Reach.EVERY:
            return True
        if self.network is not None:
            return address is not None and address in self.network
        if address is not None:
            return False
        if self.reach is Reach.EXACT:
            return host == self.suffix
        if self.reach is Reach.ONE_LABEL:
            return host.partition(".")[2] == self.suffix
        return host.endswith(f".{self.suffix}")


def is_specific(pattern: str) -> bool:
    """Whether a pattern is an exact name, or has a fixed suffix of two labels or more.

    Args:
        pattern: in canonical spelling, or "" for none.
    """
    suffix = pattern.removeprefix("**.").removeprefix("*.")
    if not suffix or "*" in suffix:
        return False
    return suffix == pattern or "." in suffix


def parse_host(text: str) -> HostPattern:
    """Parse a host pattern.

    Raises:
        NumberError: the text consists of numbers and is not an address in dotted decimal.
        ValueError: the text is not a host pattern. The message does not repeat the text.
    """
    if text == "**":
        return HostPattern("**", Reach.EVERY)
    if text == "*":
        raise ValueError('a lone "*" would be every name of one label; write "**" for every host')
    if "://" in text or "@" in text:
        raise ValueError("this is a URL; write its host alone")
    if "/" in text:
        network = parse_network(text)
        return HostPattern(network.with_prefixlen, Reach.NETWORK, network=network)
    if text.startswith("["):
        raise ValueError("write an IPv6 address without brackets")
    for star, reach in (("**.", Reach.MANY_LABELS), ("*.", Reach.ONE_LABEL)):
        if text.startswith(star):
            suffix, address = _canonical(text.removeprefix(star))
            if address is not None:
                raise ValueError("an address cannot have labels before it; write a network as 192.0.2.0/24")
            return HostPattern(star + suffix, reach, suffix)
    host, address = _canonical(text)
    if address is not None:
        return HostPattern(host, Reach.NETWORK, network=parse_network(host))
    return HostPattern(host, Reach.EXACT, host)


def _canonical(text: str) -> tuple[str, Address | None]:
    if "*" in text:
        if meant_network(text):
            raise explain_numbers(text)
        raise ValueError('a star stands for whole labels, once, in front: "*.example.com" or "**.example.com"')
    if text.count(":") == 1:
        raise ValueError("the host has a colon; a port does not belong here")
    return configured_host(text if text.isascii() else _to_ascii(text))


def _to_ascii(text: str) -> str:
    """Convert U-labels to A-labels (UTS 46, then IDNA 2008). Each label is converted alone: idna refuses `_`."""
    try:
        labels = idna.uts46_remap(text, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
    except (idna.IDNAError, UnicodeError):
        raise ValueError("the host is not a valid internationalised name (IDNA 2008)") from None
