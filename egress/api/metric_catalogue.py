"""The names, kinds, labels and meanings of the metrics. A test compares `docs/reference/metrics.md` with them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from attrs import frozen

PHASES = ("judge", "resolve", "dial", "wait")
"""Phases of a request that are timed."""

DIRECTIONS = ("up", "down")
"""Directions of octets: from the client, and to the client."""

# A decision takes tens of microseconds, a response of an origin up to minutes.
PHASE_BOUNDS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
# A tunnel may live for a day.
DURATION_BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    *(300.0, 1800.0, 7200.0, 28_800.0, 86_400.0),
)


@frozen
class Metric:
    """One metric.

    Attributes:
        name: the name in `/metrics`; the name of a counter ends in `_total`.
        kind: the type in Prometheus' terms.
        labels: the label names. Label values come from the configuration and from catalogues, never from clients.
        meaning: one sentence.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


REQUESTS = Metric(
    "egress_requests_total",
    "counter",
    ("verdict", "policy", "upstream", "code", "request_form", "listener"),
    "Requests that have ended, by the values of the audit log's fields.",
)
ENDS = Metric(
    "egress_request_ends_total",
    "counter",
    ("cause", "request_form", "listener"),
    "Requests that have ended, by cause.",
)
TRANSFERRED = Metric(
    "egress_transferred_bytes_total",
    "counter",
    ("direction", "upstream", "listener"),
    "Octets of content and tunnels, without heads, counted when a request ends.",
)
PHASE = Metric(
    "egress_request_phase_duration_seconds",
    "histogram",
    ("phase",),
    "Duration of each phase of a request that took place.",
)
DURATION = Metric(
    "egress_request_duration_seconds",
    "histogram",
    ("request_form",),
    "Duration of a request from the end of its head to its end; of a tunnel, its lifetime.",
)

RECORDED = (REQUESTS, ENDS, TRANSFERRED, PHASE, DURATION)
"""Metrics that are counted from audit events."""

READINGS = (
    Metric("egress_build_info", "gauge", ("version", "transports"), "Always 1; the version and the transports in use."),
    Metric("egress_client_connections", "gauge", ("listener",), "Open client connections."),
    Metric("egress_tunnels", "gauge", ("upstream", "listener"), "Open tunnels, including WebSocket connections."),
    Metric(
        "egress_open_tunnel_bytes",
        "gauge",
        ("direction", "upstream", "listener"),
        "Octets transferred so far by open tunnels; egress_transferred_bytes_total counts them when the tunnel ends.",
    ),
    Metric(
        "egress_upstream_up",
        "gauge",
        ("upstream",),
        "0 while an upstream proxy does not work, as its last use showed; 1 otherwise, and before its first use.",
    ),
    Metric("egress_origin_pool_connections", "gauge", (), "Idle origin connections kept for further requests."),
    Metric(
        "egress_limit_reached_total",
        "counter",
        ("limit",),
        "Times that a limit was reached that leaves no line in the audit log.",
    ),
    Metric(
        "egress_listener_pauses_total",
        "counter",
        ("listener",),
        "Times that a listener stopped accepting for lack of descriptors or memory.",
    ),
    Metric("egress_config_generation", "gauge", (), "Generation of the active configuration; each reload adds 1."),
    Metric("egress_config_age_seconds", "gauge", (), "Seconds since the active configuration was applied."),
    Metric("egress_config_last_reload_successful", "gauge", (), "1 if the last reload succeeded, 0 if it failed."),
    Metric(
        "egress_config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "Unix time at which the active configuration was applied.",
    ),
    Metric(
        "egress_audit_log_accepting",
        "gauge",
        (),
        "1 while requests are served; 0 while new ones are refused because the audit log cannot be written.",
    ),
    Metric(
        "egress_audit_log_lost_lines_total", "counter", (), "Lines of the audit log lost on the sink that lost most."
    ),
    Metric(
        "egress_audit_log_writable",
        "gauge",
        (),
        "1 while every sink of the audit log is written; 0 from a failure or a loss on until the sink works again.",
    ),
    Metric(
        "egress_audit_log_repeated_requests_total",
        "counter",
        (),
        "Requests without a line of their own in the audit log, because a line counts them.",
    ),
    Metric("egress_resolver_cached_names", "gauge", (), "Names in the resolver's cache."),
    Metric("egress_resolver_pending_lookups", "gauge", (), "Look-ups in progress or queued."),
    Metric(
        "egress_resolver_stale_upstreams",
        "gauge",
        (),
        "Names of upstream proxies that do not resolve any more, and whose last addresses are used.",
    ),
    Metric(
        "egress_resolver_silent_servers",
        "gauge",
        (),
        "Name servers that have answered none of the last questions; 0 with the system's resolver.",
    ),
    Metric("process_cpu_seconds_total", "counter", (), "Total user and system CPU time spent in seconds."),
    Metric("process_resident_memory_bytes", "gauge", (), "Resident memory size in bytes."),
    Metric("process_virtual_memory_bytes", "gauge", (), "Virtual memory size in bytes."),
    Metric("process_open_fds", "gauge", (), "Number of open file descriptors."),
    Metric("process_max_fds", "gauge", (), "Maximum number of open file descriptors."),
    Metric("process_start_time_seconds", "gauge", (), "Start time of the process since unix epoch in seconds."),
)
"""Metrics that are read at each scrape."""

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in (*RECORDED, *READINGS)})
"""All metrics by name."""
