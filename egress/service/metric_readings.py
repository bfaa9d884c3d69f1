"""Says where the metrics are read that no record brings."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from egress.api.metrics import Metrics
from egress.audit import AuditLog
from egress.proxy.server import ProxyServer
from egress.proxy.statistics import count_reached, count_tunnels
from egress.service.listen.sockets import Listening
from egress.upstream import CachingResolver

_OWN_DESCRIPTORS = "/proc/self/fd"


def read_everything(
    metrics: Metrics, server: ProxyServer, audit_log: AuditLog, sockets: Callable[[], Sequence[Listening]], engine: str
) -> None:
    """Give every metric that is read its source.

    Args:
        metrics: what reads.
        server: for connections, tunnels, limits, the snapshot and its resolver.
        audit_log: for losses.
        sockets: gives the listeners' as they are now.
        engine: "egress" or "twisted".
    """
    info = {(version("egress"), engine): 1}
    metrics.read_from("egress_info", lambda: info)
    read_server(metrics, server)
    metrics.read_from("egress_listener_pauses_total", lambda: sum(each.pauses for each in sockets()))
    metrics.read_from("egress_audit_log_accepting", lambda: audit_log.is_accepting)
    metrics.read_from("egress_audit_log_lost_lines_total", lambda: audit_log.lost)
    read_process(metrics)


def read_server(metrics: Metrics, server: ProxyServer, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Give the metrics about a proxy server and its snapshot their sources.

    Args:
        metrics: what reads.
        server: the proxy server.
        monotonic: the clock that snapshots are dated by.
    """

    def tunnel_bytes() -> dict[tuple[str, str], int]:
        upstreams = count_tunnels(server).items()
        return {
            (direction, upstream): getattr(count, direction)
            for upstream, count in upstreams
            for direction in ("up", "down")
        }

    def resolver() -> CachingResolver | None:
        found = server.gate.snapshot.resolver
        return found if isinstance(found, CachingResolver) else None

    metrics.read_from("egress_connections", lambda: len(server.connections.live))
    metrics.read_from(
        "egress_tunnels", lambda: {(upstream,): count.tunnels for upstream, count in count_tunnels(server).items()}
    )
    metrics.read_from("egress_tunnel_bytes", tunnel_bytes)
    metrics.read_from("egress_pool_connections", lambda: len(server.pool))
    metrics.read_from(
        "egress_limit_reached_total", lambda: {(limit,): count for limit, count in count_reached(server).items()}
    )
    metrics.read_from("egress_config_generation", lambda: server.gate.snapshot.generation)
    metrics.read_from("egress_config_age_seconds", lambda: monotonic() - server.gate.snapshot.created_at)
    metrics.read_from("egress_resolver_names", lambda: 0 if (found := resolver()) is None else found.names)
    metrics.read_from("egress_resolver_lookups", lambda: 0 if (found := resolver()) is None else found.lookups)


def read_process(metrics: Metrics) -> None:
    """Give the metrics about this process their sources; they are called what Prometheus' own libraries call them."""
    metrics.read_from("process_cpu_seconds_total", time.process_time)
    metrics.read_from("process_resident_memory_bytes", _resident_bytes)
    metrics.read_from("process_open_fds", _open_descriptors)
    metrics.read_from("process_max_fds", lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()


def _open_descriptors() -> int:
    # Linux 6.2 and later tell the number as the size of the directory; listing many thousands takes milliseconds.
    return os.stat(_OWN_DESCRIPTORS).st_size or len(os.listdir(_OWN_DESCRIPTORS))
