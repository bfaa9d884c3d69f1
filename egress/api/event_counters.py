"""Counters of audit events: plain numbers, updated in batches. Those of prometheus_client are too slow for this."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from attrs import define, field

from egress.api.metric_catalogue import DURATION_BOUNDS, PHASE_BOUNDS, PHASES
from egress.audit.encoder import verdict_of
from egress.errors import CODES, Refused
from egress.model import Admission, AuditEvent

KEYS_LIMIT = 4096
"""The largest number of combinations of label values of one metric. Reloads may add new names without limit."""

OTHER = "(other)"
"""The label value of policies, upstreams and listeners beyond the limit, and of codes that are in no catalogue."""

RequestKey = tuple[str, str, str, str, str, str]
"""Verdict, policy, upstream, code, request form and listener."""

_EndKey = tuple[str, str, str]
_BytesKey = tuple[str, str]


class Histogram:
    """One histogram of durations.

    Args:
        bounds: upper bounds of the buckets in seconds, ascending, without infinity.

    Attributes:
        counts: the number of durations in each bucket alone; the last bucket is infinity.
        sum_ms: the sum of all durations in milliseconds.
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
        """Return the buckets in Prometheus' form: each counts all durations up to its bound."""
        total = 0
        given: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            given.append((bound, float(total)))
        return given


@define(eq=False)
class EventCounters:
    """The counts of all events so far.

    Attributes:
        requests: requests by verdict, policy, upstream, code, request form and listener.
        ends: requests by cause, request form and listener.
        transferred: octets from and to clients, by upstream and listener.
        phases: durations by phase.
        durations: durations by request form.
    """

    requests: dict[RequestKey, int] = field(factory=dict)
    ends: dict[_EndKey, int] = field(factory=dict)
    transferred: dict[_BytesKey, list[int]] = field(factory=dict)
    phases: dict[str, Histogram] = field(factory=lambda: {phase: Histogram(PHASE_BOUNDS) for phase in PHASES})
    durations: dict[str, Histogram] = field(factory=dict)

    def count(self, events: Iterable[AuditEvent]) -> None:
        """Count the events of requests that have ended."""
        requests, ends = self.requests, self.ends
        judge, resolve, dial, wait = (self.phases[phase] for phase in PHASES)
        for event in events:
            if event.event == "open":
                continue
            admission, request_form, listener = event.admission, event.request_form, event.connection.listener
            key = _key(admission, event.refused, request_form, listener)
            if key in requests:
                requests[key] += 1
            else:
                self._count_new(key)
            end = event.cause, request_form, listener
            if end in ends:
                ends[end] += 1
            else:
                self._count_new_end(end)
            if event.client_bytes or event.server_bytes:
                self._count_bytes(key[2], event)
            if event.request is None:
                continue
            phases = event.phases
            if phases.judge >= 0.0:
                judge.add(phases.judge)
            if phases.resolve >= 0.0:
                resolve.add(phases.resolve)
            if phases.dial >= 0.0:
                dial.add(phases.dial)
            if phases.wait >= 0.0:
                wait.add(phases.wait)
            duration = self.durations.get(request_form)
            if duration is None:
                duration = self.durations[request_form] = Histogram(DURATION_BOUNDS)
            duration.add(event.duration_ms)

    def _count_new(self, key: RequestKey) -> None:
        if len(self.requests) >= KEYS_LIMIT:
            verdict, _, _, code, request_form, _ = key
            key = verdict, OTHER, OTHER, code, request_form, OTHER
        self.requests[key] = self.requests.get(key, 0) + 1

    def _count_new_end(self, end: _EndKey) -> None:
        if len(self.ends) >= KEYS_LIMIT:
            end = end[0], end[1], OTHER
        self.ends[end] = self.ends.get(end, 0) + 1

    def _count_bytes(self, upstream: str, event: AuditEvent) -> None:
        key = upstream, event.connection.listener
        transferred = self.transferred.get(key)
        if transferred is None:
            if len(self.transferred) >= KEYS_LIMIT:
                key = OTHER, OTHER
            transferred = self.transferred.setdefault(key, [0, 0])
        transferred[0] += event.client_bytes
        transferred[1] += event.server_bytes


def _key(admission: Admission | None, refused: Refused | None, request_form: str, listener: str) -> RequestKey:
    """Return the label values of a request. They equal the fields of its audit log line."""
    if refused is None:
        if admission is None:
            return "none", "", "", "", request_form, listener
        return "allow", admission.verdict.policy, admission.plan.label, "", request_form, listener
    verdict = verdict_of(admission, refused)
    # A plugin may use a code that is not in the catalogue.
    code = refused.code if refused.code in CODES else OTHER
    if admission is None:
        return verdict, refused.policy, "", code, request_form, listener
    policy = refused.policy or admission.verdict.policy
    return verdict, policy, admission.plan.label, code, request_form, listener
