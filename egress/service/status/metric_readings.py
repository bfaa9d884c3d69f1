"""The sources of the metrics that are read at each scrape."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from egress.api.metric_catalogue import DIRECTIONS
from egress.api.metrics import Metrics
from egress.audit import AuditLog
from egress.proxy.server import ProxyServer
from egress.proxy.statistics import count_connections, count_reached, count_tunnels
from egress.service.listen.sockets import ListeningSocket
from egress.upstream import CachingResolver, HopResolver
from egress.upstream.dns.lookup import DnsLookup

_OWN_DESCRIPTORS = "/proc/self/fd"


def read_everything(
    metrics: Metrics,
    server: ProxyServer,
    audit_log: AuditLog,
    sockets: Callable[[], Sequence[ListeningSocket]],
    transports: str,
) -> None:
    """Register the source of every metric but that of the last reload.

    Args:
        metrics: reads the sources.
        server: the server, with connections, tunnels, limits, the snapshot and the resolver.
        audit_log: the audit log, which counts losses.
        sockets: returns the current sockets of the listeners.
        transports: the implementation of TCP transports: "egress" or "twisted".
    """
    info = {(version("egress"), transports): 1}
    metrics.read_from("egress_build_info", lambda: info)
    read_server(metrics, server, lambda: (each.name for each in sockets()))
    metrics.read_from("egress_listener_pauses_total", lambda: _pauses(sockets()))
    metrics.read_from("egress_audit_log_accepting", lambda: audit_log.is_accepting)
    metrics.read_from("egress_audit_log_writable", lambda: audit_log.is_whole)
    metrics.read_from("egress_audit_log_repeated_requests_total", lambda: audit_log.repeated)
    metrics.read_from("egress_audit_log_lost_lines_total", lambda: audit_log.lost)
    read_process(metrics)


def read_server(
    metrics: Metrics,
    server: ProxyServer,
    listeners: Callable[[], Iterable[str]] = tuple,
    monotonic: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> None:
    """Register the sources of the metrics of a proxy server and its snapshot.

    Args:
        metrics: reads the sources.
        server: the proxy server.
        listeners: returns the names of the listeners; each has a count of connections, including 0.
        monotonic: returns the time on the clock of `Snapshot.created_at`.
        now: returns the time of day, in seconds since the epoch.
    """

    def connections() -> dict[tuple[str], int]:
        counts = dict.fromkeys(listeners(), 0) | count_connections(server)
        return {(listener,): count for listener, count in counts.items()}

    def tunnel_bytes() -> dict[tuple[str, ...], int]:
        counts = count_tunnels(server).items()
        return {(direction, *key): getattr(count, direction) for key, count in counts for direction in DIRECTIONS}

    def resolver() -> CachingResolver | None:
        found = server.gate.snapshot.resolver
        return found if isinstance(found, CachingResolver) else None

    def stale_upstreams() -> int:
        found = server.gate.snapshot.hop_resolver
        return found.stale if isinstance(found, HopResolver) else 0

    def silent_servers() -> int:
        lookup = found.lookup if (found := resolver()) is not None else None
        return sum(each.is_silent for each in lookup.servers.current()) if isinstance(lookup, DnsLookup) else 0

    def age() -> float:
        return monotonic() - server.gate.snapshot.created_at

    # Computed once for each generation, because the two clocks drift and the metric must not change.
    generation, applied = -1, 0.0

    def applied_at() -> float:
        nonlocal generation, applied
        if generation != server.gate.snapshot.generation:
            generation, applied = server.gate.snapshot.generation, now() - age()
        return applied

    metrics.read_from("egress_client_connections", connections)
    metrics.read_from("egress_tunnels", lambda: {key: count.tunnels for key, count in count_tunnels(server).items()})
    metrics.read_from("egress_open_tunnel_bytes", tunnel_bytes)
    metrics.read_from("egress_origin_pool_connections", lambda: len(server.pool))
    metrics.read_from(
        "egress_limit_reached_total", lambda: {(limit,): count for limit, count in count_reached(server).items()}
    )
    metrics.read_from("egress_config_generation", lambda: server.gate.snapshot.generation)
    metrics.read_from("egress_config_age_seconds", age)
    metrics.read_from("egress_config_last_reload_success_timestamp_seconds", applied_at)
    metrics.read_from("egress_resolver_cached_names", lambda: 0 if (found := resolver()) is None else found.names)
    metrics.read_from("egress_resolver_pending_lookups", lambda: 0 if (found := resolver()) is None else found.lookups)
    metrics.read_from("egress_resolver_stale_upstreams", stale_upstreams)
    metrics.read_from("egress_resolver_silent_servers", silent_servers)


def read_process(metrics: Metrics) -> None:
    """Register the sources of the metrics of this process, which have the names of Prometheus' client libraries."""
    started = _start_time()
    metrics.read_from("process_cpu_seconds_total", time.process_time)
    metrics.read_from("process_resident_memory_bytes", lambda: _memory_bytes(1))
    metrics.read_from("process_virtual_memory_bytes", lambda: _memory_bytes(0))
    metrics.read_from("process_open_fds", _open_descriptors)
    metrics.read_from("process_max_fds", lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    metrics.read_from("process_start_time_seconds", lambda: started)


def _pauses(sockets: Iterable[ListeningSocket]) -> dict[tuple[str], int]:
    counts: Counter[tuple[str]] = Counter()
    for each in sockets:
        counts[each.name,] += each.pauses
    return dict(counts)


def _memory_bytes(place: int) -> int:
    """Return the memory of this process in bytes: virtual (0) or resident (1); see proc_pid_statm(5)."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[place]) * resource.getpagesize()


def _start_time() -> float:
    """Return the start time of this process, in seconds since the epoch; see proc_pid_stat(5), field 22."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as stream:
        # The name of the program, in parentheses, may contain spaces and parentheses.
        ticks = int(stream.read().rpartition(")")[2].split()[19])
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


def _open_descriptors() -> int:
    # Linux 6.2 and later report the number as the size of the directory. Listing many thousands takes milliseconds.
    return os.stat(_OWN_DESCRIPTORS).st_size or len(os.listdir(_OWN_DESCRIPTORS))
