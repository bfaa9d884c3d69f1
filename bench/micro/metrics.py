"""Measures the cost of counting a request: `python bench/micro/metrics.py`.

Counts events of admitted tunnels and requests in batches, as the proxy server does, and prints the time of one event,
the best of several runs.
"""

from __future__ import annotations

import sys
from time import perf_counter

from egress.api.metrics import Metrics
from egress.model import Admission, AuditEvent, Authority, Connection, Outcome, Phases, Route, RoutePlan, Verdict
from egress.testing import make_client, make_request, resolve_to

RECORDS = 100_000
RUNS = 7


def make_events() -> list[AuditEvent]:
    """Make the events of a mixed load: as many tunnels as requests."""
    client, connection = make_client(), Connection("agents", "127.0.0.1", 40_000)
    verdict, plan, resolution = (
        Verdict(Outcome.ALLOW, "rules", "rule"),
        RoutePlan("direct", "none"),
        resolve_to("192.0.2.1"),
    )
    route = Route("direct", (), resolution.addresses)
    admission = Admission(verdict, (verdict,), plan, route, resolution, 1, Authority("a.example", 80))
    request = make_request()
    records = []
    for request_form, phases in (("connect", Phases(0.04, -1.0, 0.6)), ("http", Phases(0.03, 1.2, -1.0, 8.0))):
        record = AuditEvent(
            "end",
            1.0,
            request,
            client,
            connection,
            "c",
            request_form,
            admission,
            None,
            200,
            "192.0.2.1",
            None,
            512,
            4096,
            phases,
            12.5,
            "complete",
        )
        records.append(record)
    return records * (RECORDS // 2)


def main() -> None:
    """Measure and print."""
    records = make_events()
    best = float("inf")
    for _ in range(RUNS):
        metrics = Metrics()
        begun = perf_counter()
        for record in records:
            metrics.record(record)
        best = min(best, perf_counter() - begun)
    sys.stdout.write(f"{best / len(records) * 1e6:.2f} us a record\n")


if __name__ == "__main__":
    main()
