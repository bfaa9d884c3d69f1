"""Counts records, many at a time and in plain numbers: the counters of prometheus_client cost a request too much."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from attrs import define, field

from egress.api.metric_catalogue import PHASE_BOUNDS, PHASES, TOTAL_BOUNDS
from egress.audit.encoder import verdict_of
from egress.errors import CODES, Refused
from egress.model import Admission, AuditEvent

KEYS_LIMIT = 4096
"""How many combinations of labels are counted apart. Reloads may bring ever new names of policies and routes."""

OTHER = "(other)"

RequestKey = tuple[str, str, str, str, str]


class Histogram:
    """How a duration is spread: one histogram.

    Args:
        bounds: upper ends of the buckets in seconds, ascending, without infinity.

    Attributes:
        counts: of each bucket alone, that of infinity last.
        sum_ms: of all durations.
    """

    __slots__ = ("_bounds_ms", "bounds", "counts", "sum_ms")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum_ms = 0.0
        self._bounds_ms = [bound * 1000.0 for bound in bounds]

    def add(self, milliseconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self._bounds_ms, milliseconds)] += 1
        self.sum_ms += milliseconds

    def buckets(self) -> list[tuple[str, float]]:
        """Give each bucket as Prometheus wants it: with all that are below it."""
        total = 0
        given: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            given.append((bound, float(total)))
        return given


@define(eq=False)
class EventCounters:
    """What was counted so far.

    Attributes:
        requests: by verdict, policy, route, code and front.
        ends: by cause and front.
        traffic: octets up and down, by route.
        phases: by phase.
        totals: by front.
    """

    requests: dict[RequestKey, int] = field(factory=dict)
    ends: dict[tuple[str, str], int] = field(factory=dict)
    traffic: dict[str, list[int]] = field(factory=dict)
    phases: dict[str, Histogram] = field(factory=lambda: {phase: Histogram(PHASE_BOUNDS) for phase in PHASES})
    totals: dict[str, Histogram] = field(factory=dict)

    def count(self, records: Iterable[AuditEvent]) -> None:
        """Count what is over."""
        requests, ends = self.requests, self.ends
        judge, resolve, dial, wait = (self.phases[phase] for phase in PHASES)
        for record in records:
            if record.event == "open":
                continue
            admission, request_form = record.admission, record.request_form
            key = _key(admission, record.refused, request_form)
            if key in requests:
                requests[key] += 1
            else:
                self._count_new(key)
            end = record.cause, request_form
            ends[end] = ends.get(end, 0) + 1
            if record.client_bytes or record.server_bytes:
                self._count_bytes(key[2], record)
            if record.request is None:
                continue
            phases = record.phases
            if phases.judge >= 0.0:
                judge.add(phases.judge)
            if phases.resolve >= 0.0:
                resolve.add(phases.resolve)
            if phases.dial >= 0.0:
                dial.add(phases.dial)
            if phases.wait >= 0.0:
                wait.add(phases.wait)
            total = self.totals.get(request_form)
            if total is None:
                total = self.totals[request_form] = Histogram(TOTAL_BOUNDS)
            total.add(record.duration_ms)

    def _count_new(self, key: RequestKey) -> None:
        if len(self.requests) >= KEYS_LIMIT:
            verdict, _, _, code, request_form = key
            key = verdict, OTHER, OTHER, code, request_form
        self.requests[key] = self.requests.get(key, 0) + 1

    def _count_bytes(self, upstream: str, record: AuditEvent) -> None:
        if upstream not in self.traffic and len(self.traffic) >= KEYS_LIMIT:
            upstream = OTHER
        moved = self.traffic.setdefault(upstream, [0, 0])
        moved[0] += record.client_bytes
        moved[1] += record.server_bytes


def _key(admission: Admission | None, refused: Refused | None, request_form: str) -> RequestKey:
    """Say what became of a request, in the words of the audit log."""
    if refused is None:
        if admission is None:
            return "none", "", "", "", request_form
        return "allow", admission.verdict.policy, admission.plan.label, "", request_form
    verdict = verdict_of(admission, refused)
    # A plugin may have made up a code of its own.
    code = refused.code if refused.code in CODES else OTHER
    if admission is None:
        return verdict, refused.policy, "", code, request_form
    return verdict, refused.policy or admission.verdict.policy, admission.plan.label, code, request_form
