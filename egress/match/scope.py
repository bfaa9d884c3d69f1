"""The scope of a rule or a route: the requests that it covers. Two scopes can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen

from egress.match.hosts import HostPattern, Reach
from egress.match.labels import ClientPatterns
from egress.match.paths import PathSet
from egress.match.ports import PortSet
from egress.model import Network

_SHOWN = 4


@frozen
class _Hosts:
    """Host patterns, indexed by what they cover."""

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
        """Whether one of the patterns matches every host that `pattern` matches."""
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
        # A name below a suffix is also below each suffix of that suffix.
        while above:
            if above in self.many_labels:
                return True
            above = above.partition(".")[2]
        return False


def lies_within(network: Network, networks: Iterable[Network]) -> bool:
    """Whether one of `networks` contains all of `network`."""
    first, last = network.network_address, network.broadcast_address
    return any(first in other and last in other for other in networks if other.version == network.version)


@frozen
class Scope:
    """The requests that a rule or a route covers.

    Attributes:
        hosts: patterns of the destinations.
        ports: the ports of the destinations; None for every port.
        clients: patterns of client labels; None for every client.
        methods: the methods of the requests; None for every method.
        paths: patterns of the paths; None for every path.
        addresses: networks that are not public and that a rule admits.
        covers_tunnels: whether tunnels, whose requests cannot be read, are covered.
    """

    hosts: tuple[HostPattern, ...]
    ports: PortSet | None = None
    clients: ClientPatterns | None = None
    methods: frozenset[str] | None = None
    paths: PathSet | None = None
    addresses: tuple[Network, ...] = ()
    covers_tunnels: bool = True
    _index: _Hosts = field(init=False, eq=False, repr=False)

    @_index.default
    def _make_index(self) -> _Hosts:
        return _Hosts.of(self.hosts)

    def excess_over(self, other: Scope) -> list[str]:
        """List the parts of this scope, such as hosts or ports, that another scope does not cover."""
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
        if self.covers_tunnels and not other.covers_tunnels:
            found.append("tunnels, unread")
        return found

    def is_covered_by(self, others: Iterable[Scope]) -> bool:
        """Whether a single one of the others covers all of this scope. The union of several others is not computed."""
        return any(not self.excess_over(other) for other in others)


def listed(words: Sequence[str]) -> str:
    """Join the first few words, and append the number of the others."""
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _holds_ports(wide: PortSet, narrow: PortSet) -> bool:
    # The ranges of a set are disjoint and not adjacent, so each narrow range must lie within a single wide one.
    return all(any(low <= first and last <= high for low, high in wide.ranges()) for first, last in narrow.ranges())


def _holds_clients(wide: ClientPatterns, narrow: ClientPatterns) -> bool:
    return {*narrow.wild} <= {*wide.wild} and all(wide.match(frozenset({label})) for label in narrow.exact)
