"""Looks over what is alive, for those who ask now and then; nothing is counted for it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define

from egress.proxy.server import Door
from egress.proxy.transaction import Passage


@define
class RoadCount:
    """The tunnels on one road.

    Attributes:
        tunnels: how many stand.
        up: octets that they moved so far, from their clients.
        down: to their clients.
    """

    tunnels: int = 0
    up: int = 0
    down: int = 0


def count_tunnels(door: Door) -> dict[str, RoadCount]:
    """Count the tunnels that stand, by the label of their road."""
    roads: dict[str, RoadCount] = {}
    for passage in _tunnels(door):
        if passage.admission is not None:
            road = roads.setdefault(passage.admission.plan.label, RoadCount())
            passage.count()
            road.tunnels += 1
            road.up += passage.up
            road.down += passage.down
    return roads


def count_reached(door: Door) -> dict[str, int]:
    """Say how often each limit was reached that leaves no record."""
    return {**door.reached, **door.pool.reached}


def _tunnels(door: Door) -> Iterator[Passage]:
    for guest in door.live:
        passage = guest.passage
        # A CONNECT has its 200 when the tunnel stands; a WebSocket is one from its 101 on.
        if passage is not None and passage.status == (200 if passage.request.front == "connect" else 101):
            yield passage
