"""Every metric there is: its name, kind, labels and meaning. `docs/reference/metrics.md` is held to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from attrs import frozen

PHASES = ("judge", "resolve", "dial", "wait")

# Judging takes tens of microseconds, waiting for an origin may take minutes.
PHASE_BOUNDS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
# A tunnel may live for a day.
TOTAL_BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    *(300.0, 1800.0, 7200.0, 28_800.0, 86_400.0),
)


@frozen
class Metric:
    """One metric.

    Attributes:
        name: as it stands in `/metrics`; a counter ends in `_total`.
        kind: as Prometheus knows it.
        labels: their names. Their values come from the configuration and from catalogues, never from clients.
        meaning: one sentence.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


REQUESTS = Metric(
    "egress_requests_total",
    "counter",
    ("verdict", "policy", "upstream", "code", "request_form"),
    "Requests that are over, in the words of the audit log.",
)
ENDS = Metric("egress_ends_total", "counter", ("cause", "request_form"), "Requests that are over, by what ended them.")
BYTES = Metric(
    "egress_bytes_total",
    "counter",
    ("direction", "upstream"),
    "Octets of content and tunnels, heads not counted; counted when a request is over.",
)
PHASE = Metric(
    "egress_phase_seconds", "histogram", ("phase",), "How long each phase of a request took, where it happened."
)
TOTAL = Metric(
    "egress_request_seconds",
    "histogram",
    ("request_form",),
    "From the end of a request's head to the end; for a tunnel its whole life.",
)

RECORDED = (REQUESTS, ENDS, BYTES, PHASE, TOTAL)
"""What is counted from records."""

READINGS = (
    Metric("egress_info", "gauge", ("version", "engine"), "Always 1: which version runs, and what serves connections."),
    Metric("egress_connections", "gauge", (), "Client connections that stand."),
    Metric("egress_tunnels", "gauge", ("upstream",), "Tunnels that stand, WebSockets among them."),
    Metric(
        "egress_tunnel_bytes",
        "gauge",
        ("direction", "upstream"),
        "Octets moved so far by the tunnels that stand; they go over to egress_bytes_total when a tunnel ends.",
    ),
    Metric("egress_pool_connections", "gauge", (), "Idle connections that are kept for the next request."),
    Metric(
        "egress_limit_reached_total",
        "counter",
        ("limit",),
        "How often a limit was reached that leaves no line in the audit log; limits.md has the others.",
    ),
    Metric(
        "egress_listener_pauses_total", "counter", (), "How often a listener rested for want of descriptors or memory."
    ),
    Metric("egress_config_generation", "gauge", (), "Which configuration judges: counts up with each reload."),
    Metric("egress_config_age_seconds", "gauge", (), "For how long it has."),
    Metric("egress_reload_failed", "gauge", (), "1 while the last reload failed: an older configuration judges."),
    Metric(
        "egress_audit_log_accepting",
        "gauge",
        (),
        "1 while new requests may be served; 0 while they are refused for want of a record.",
    ),
    Metric("egress_audit_log_lost_lines_total", "counter", (), "Lines that were lost, on the sink that lost most."),
    Metric("egress_resolver_names", "gauge", (), "Answers of the resolver that are kept."),
    Metric("egress_resolver_lookups", "gauge", (), "Look-ups that are under way or wait for their turn."),
    Metric("process_cpu_seconds_total", "counter", (), "CPU time of the process, user and system."),
    Metric("process_resident_memory_bytes", "gauge", (), "Memory of the process that is in RAM."),
    Metric("process_open_fds", "gauge", (), "Descriptors that the process has open."),
    Metric("process_max_fds", "gauge", (), "Descriptors that it may have."),
)
"""What is read when it is asked for."""

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in (*RECORDED, *READINGS)})
