"""Statistics of open connections and tunnels, computed at each scrape; nothing is counted between scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attrs import define

from egress.proxy.roles import LiveTransaction
from egress.proxy.server import ProxyServer


@define
class TunnelCount:
    """The open tunnels of one upstream and listener.

    Attributes:
        tunnels: the number of tunnels.
        up: the number of octets transferred so far from the clients.
        down: the number of octets transferred so far to the clients.
    """

    tunnels: int = 0
    up: int = 0
    down: int = 0


def count_connections(server: ProxyServer) -> Counter[str]:
    """Count the open client connections by listener."""
    return Counter(client.listener for client in server.connections.live)


def count_tunnels(server: ProxyServer) -> dict[tuple[str, str], TunnelCount]:
    """Count the open tunnels by upstream label and listener."""
    counts: dict[tuple[str, str], TunnelCount] = {}
    for transaction in _tunnels(server):
        if transaction.admission is not None:
            key = transaction.admission.plan.label, transaction.request.listener
            found = counts.setdefault(key, TunnelCount())
            transaction.count()
            found.tunnels += 1
            found.up += transaction.up
            found.down += transaction.down
    return counts


def count_reached(server: ProxyServer) -> dict[str, int]:
    """Return the number of times that each limit without a line in the audit log was reached."""
    return {**server.reached, **server.pool.reached}


def _tunnels(server: ProxyServer) -> Iterator[LiveTransaction]:
    for client in server.connections.live:
        transaction = client.transaction
        # A CONNECT has the status 200 once its tunnel is open; a WebSocket is a tunnel from its 101 on.
        if transaction is not None and transaction.status == (
            200 if transaction.request.request_form == "connect" else 101
        ):
            yield transaction
