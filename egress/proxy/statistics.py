"""Looks over what is alive, for those who ask now and then; nothing is counted for it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define

from egress.proxy.roles import LiveTransaction
from egress.proxy.server import ProxyServer


@define
class TunnelCount:
    """The tunnels on one route.

    Attributes:
        tunnels: how many stand.
        up: octets that they moved so far, from their clients.
        down: to their clients.
    """

    tunnels: int = 0
    up: int = 0
    down: int = 0


def count_tunnels(server: ProxyServer) -> dict[str, TunnelCount]:
    """Count the tunnels that stand, by the label of their route."""
    upstreams: dict[str, TunnelCount] = {}
    for transaction in _tunnels(server):
        if transaction.admission is not None:
            upstream = upstreams.setdefault(transaction.admission.plan.label, TunnelCount())
            transaction.count()
            upstream.tunnels += 1
            upstream.up += transaction.up
            upstream.down += transaction.down
    return upstreams


def count_reached(server: ProxyServer) -> dict[str, int]:
    """Say how often each limit was reached that leaves no record."""
    return {**server.reached, **server.pool.reached}


def _tunnels(server: ProxyServer) -> Iterator[LiveTransaction]:
    for guest in server.connections.live:
        transaction = guest.transaction
        # A CONNECT has its 200 when the tunnel stands; a WebSocket is one from its 101 on.
        if transaction is not None and transaction.status == (
            200 if transaction.request.request_form == "connect" else 101
        ):
            yield transaction
