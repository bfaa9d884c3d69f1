"""An index of host patterns: finds the patterns that match a host without trying each pattern."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from operator import attrgetter
from typing import Generic, TypeVar

from attrs import frozen

from egress.match.hosts import HostPattern, Reach
from egress.model import Address, Network

T = TypeVar("T")

_order = attrgetter("order")


@frozen(eq=False)
class Entry(Generic[T]):
    """One pattern of an index, with its value.

    Attributes:
        order: the position of the pattern in the list that the index was made of, from 0.
        pattern: the pattern's canonical text.
        value: the value that the caller attached.
    """

    order: int
    pattern: str
    value: T


class HostIndex(Generic[T]):
    """An immutable index of host patterns, each with a value.

    The result is computed in advance for every name, suffix and address range in the patterns. A look-up takes at most
    one dictionary access for each label of the host, or one bisection, for any number of patterns.
    """

    def __init__(self, pairs: Iterable[tuple[HostPattern, T]]) -> None:
        """Compile patterns.

        Args:
            pairs: patterns and values, in the order of the results of `find`.
        """
        exact = defaultdict[str, list[Entry[T]]](list)
        one = defaultdict[str, list[Entry[T]]](list)
        many = defaultdict[str, list[Entry[T]]](list)
        networks = defaultdict[Network, list[Entry[T]]](list)
        every: list[Entry[T]] = []
        for order, (pattern, value) in enumerate(pairs):
            entry = Entry(order, pattern.text, value)
            if pattern.network is not None:
                networks[pattern.network].append(entry)
            elif pattern.reach is Reach.EXACT:
                exact[pattern.suffix].append(entry)
            elif pattern.reach is Reach.ONE_LABEL:
                one[pattern.suffix].append(entry)
            elif pattern.reach is Reach.MANY_LABELS:
                many[pattern.suffix].append(entry)
            else:
                every.append(entry)
        self._every: tuple[Entry[T], ...] = tuple(every)
        self._children: dict[str, tuple[Entry[T], ...]] = {}
        self._deeper: dict[str, tuple[Entry[T], ...]] = {}
        # Shortest first: the entry of a suffix includes the multi-label patterns of its shorter suffixes.
        for suffix in sorted({*one, *many}, key=len):
            self._deeper[suffix] = _merge(self._find_below(suffix), many.get(suffix, ()))
            self._children[suffix] = _merge(self._deeper[suffix], one.get(suffix, ()))
        self._exact = {name: _merge(self._find_wild(name), entries) for name, entries in exact.items()}
        self._ranges = {
            version: _compile_ranges({n: e for n, e in networks.items() if n.version == version}, self._every)
            for version in (4, 6)
        }

    def find(self, host: str, address: Address | None = None) -> tuple[Entry[T], ...]:
        """Find every entry that matches, in ascending `order`.

        Args:
            host: the canonical host.
            address: the address of a host that is an address, else None.
        """
        if address is not None:
            starts, found = self._ranges[address.version]
            return found[bisect_right(starts, int(address)) - 1]
        exact = self._exact.get(host)
        return exact if exact is not None else self._find_wild(host)

    def _find_wild(self, host: str) -> tuple[Entry[T], ...]:
        start = host.find(".") + 1
        if start:
            children = self._children.get(host[start:])
            if children is not None:
                return children
        return self._find_below(host, start)

    def _find_below(self, host: str, start: int = 0) -> tuple[Entry[T], ...]:
        """Find the entries of the longest indexed proper suffix of `host[start:]` that match more than one label."""
        start = host.find(".", start) + 1
        while start:
            deeper = self._deeper.get(host[start:])
            if deeper is not None:
                return deeper
            start = host.find(".", start) + 1
        return self._every


def _merge(first: Iterable[Entry[T]], second: Iterable[Entry[T]]) -> tuple[Entry[T], ...]:
    return tuple(sorted((*first, *second), key=_order))


def _compile_ranges(
    networks: dict[Network, list[Entry[T]]], every: tuple[Entry[T], ...]
) -> tuple[list[int], list[tuple[Entry[T], ...]]]:
    """Divide the address space where networks begin and end, and compute the entries of each range.

    Two networks are nested or disjoint, so a stack of the open networks suffices.
    """
    starts = [0]
    found = [every]
    open_networks: list[tuple[int, tuple[Entry[T], ...]]] = []

    def begin_range(at: int) -> None:
        entries = open_networks[-1][1] if open_networks else every
        if starts[-1] == at:
            found[-1] = entries
        else:
            starts.append(at)
            found.append(entries)

    def close_networks(before: float) -> None:
        while open_networks and open_networks[-1][0] <= before:
            end, _ = open_networks.pop()
            begin_range(end)

    for network in sorted(networks, key=lambda n: (int(n.network_address), n.prefixlen)):
        first = int(network.network_address)
        close_networks(first)
        outer = open_networks[-1][1] if open_networks else every
        open_networks.append((first + network.num_addresses, _merge(outer, networks[network])))
        begin_range(first)
    close_networks(math.inf)
    return starts, found
