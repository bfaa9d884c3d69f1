"""How far a rule or a route reaches, so that two of them can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen

from egress.match import ClientPatterns, HostPattern, PathSet, PortSet, Reach
from egress.model import Network
from egress.policy.rules import CONNECT, RuleSettings

_SHOWN = 4


@frozen
class _Hosts:
    """Host patterns, to be asked whether they reach all that another one does."""

    texts: frozenset[str]
    is_every: bool
    one_label: frozenset[str]
    many_labels: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, patterns: Iterable[HostPattern]) -> _Hosts:
        known = tuple(patterns)
        return cls(
            frozenset(pattern.text for pattern in known),
            any(pattern.reach is Reach.EVERY for pattern in known),
            frozenset(pattern.suffix for pattern in known if pattern.reach is Reach.ONE_LABEL),
            frozenset(pattern.suffix for pattern in known if pattern.reach is Reach.MANY_LABELS),
            tuple(pattern.network for pattern in known if pattern.network is not None),
        )

    def cover(self, pattern: HostPattern) -> bool:
        """Whether one of them reaches every host that `pattern` reaches."""
        if self.is_every or pattern.text in self.texts:
            return True
        if pattern.network is not None:
            return lies_within(pattern.network, self.networks)
        if pattern.reach is Reach.EVERY:
            return False
        above = pattern.suffix
        if pattern.reach is Reach.EXACT:
            above = above.partition(".")[2]
            if above in self.one_label:
                return True
        # What a star in front stands for lies below the suffix itself too.
        while above:
            if above in self.many_labels:
                return True
            above = above.partition(".")[2]
        return False


def lies_within(network: Network, networks: Iterable[Network]) -> bool:
    """Whether one of some networks holds all of another."""
    first, last = network.network_address, network.broadcast_address
    return any(first in other and last in other for other in networks if other.version == network.version)


@frozen
class Extent:
    """What a rule or a route is about.

    Attributes:
        hosts: which destinations.
        ports: None for any.
        clients: None for everybody.
        methods: None for any.
        paths: None for any.
        addresses: networks that are not public and that it opens.
        has_tunnels: tunnels, whose inside cannot be read, are among it.
    """

    hosts: tuple[HostPattern, ...]
    ports: PortSet | None = None
    clients: ClientPatterns | None = None
    methods: frozenset[str] | None = None
    paths: PathSet | None = None
    addresses: tuple[Network, ...] = ()
    has_tunnels: bool = True
    _index: _Hosts = field(init=False, eq=False, repr=False)

    @_index.default
    def _make_index(self) -> _Hosts:
        return _Hosts.of(self.hosts)

    def beyond(self, other: Extent) -> list[str]:
        """Say in what it reaches further than another one; nothing where the other one covers it whole."""
        found: list[str] = []
        new = [pattern.text for pattern in self.hosts if not other._index.cover(pattern)]
        if new:
            found.append(f"hosts ({listed(new)})")
        if other.ports is not None and (self.ports is None or not _holds_ports(other.ports, self.ports)):
            found.append("ports" if self.ports is None else f"ports ({self.ports})")
        if other.methods is not None and (self.methods is None or not self.methods <= other.methods):
            found.append("methods")
        if other.paths is not None and (self.paths is None or not {*self.paths.patterns} <= {*other.paths.patterns}):
            found.append("paths")
        if other.clients is not None and (self.clients is None or not _holds_clients(other.clients, self.clients)):
            found.append("clients")
        opened = [str(network) for network in self.addresses if not lies_within(network, other.addresses)]
        if opened:
            found.append(f"addresses ({listed(opened)})")
        if self.has_tunnels and not other.has_tunnels:
            found.append("tunnels, unread")
        return found

    def is_covered(self, others: Iterable[Extent]) -> bool:
        """Whether one of the others covers it whole. Several together are not added up."""
        return any(not self.beyond(other) for other in others)


def extent_of(rule: RuleSettings, has_unread_tunnels: bool) -> Extent:
    """Give the extent of a policy's rule.

    Args:
        rule: the rule.
        has_unread_tunnels: a rule about methods or paths covers tunnels too.
    """
    has_tunnels = not rule.needs_reading or has_unread_tunnels
    if rule.methods is not None and CONNECT in rule.methods:
        has_tunnels = True
    return Extent(rule.hosts, rule.ports, rule.clients, rule.methods, rule.paths, rule.addresses, has_tunnels)


def listed(words: Sequence[str]) -> str:
    """List a few of some words."""
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _holds_ports(wide: PortSet, narrow: PortSet) -> bool:
    # The ranges of a set lie apart, so one of them must hold the whole of each of the other's.
    return all(any(low <= first and last <= high for low, high in wide.ranges()) for first, last in narrow.ranges())


def _holds_clients(wide: ClientPatterns, narrow: ClientPatterns) -> bool:
    return {*narrow.wild} <= {*wide.wild} and all(wide.match(frozenset({label})) for label in narrow.exact)
