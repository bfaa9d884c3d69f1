"""The metrics: audit events are queued and counted in batches; every other metric is read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from twisted.logger import Logger

from egress.api.event_counters import EventCounters, Histogram
from egress.api.metric_catalogue import DURATION, ENDS, PHASE, READINGS, REQUESTS, TRANSFERRED, Metric
from egress.model import AuditEvent

BATCH_EVENTS = 256
"""Events that are queued before they are counted: about half a millisecond of the reactor's time."""

Reading: TypeAlias = float | Mapping[Any, float]
"""The value of a metric: a number, or a number for each tuple of label values."""

_log = Logger()


class Metrics(Collector):
    """All metrics, in a registry that belongs to this object and not to the process.

    Attributes:
        registry: the registry that exposes the metrics.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters = EventCounters()
        self._queue: list[AuditEvent] = []
        self._sources: dict[str, Callable[[], Reading]] = {}
        self._known = {metric.name: metric for metric in READINGS}
        self.registry.register(self)

    def record(self, record: AuditEvent) -> None:
        """Queue one event. Does not raise; see `IAuditSink.record`."""
        queue = self._queue
        queue.append(record)
        if len(queue) >= BATCH_EVENTS:
            self._count_queue()

    def read_from(self, name: str, source: Callable[[], Reading]) -> None:
        """Register the source of a metric.

        Args:
            name: the name of one of `READINGS`.
            source: called at each scrape; must return quickly.

        Raises:
            KeyError: no metric with this name is read at scrapes.
        """
        self._sources[self._known[name].name] = source

    def collect(self) -> Iterator[Family]:
        """Return the current values of all metrics (prometheus_client's Collector)."""
        self._count_queue()
        counters = self._counters
        yield _family(REQUESTS, counters.requests)
        yield _family(ENDS, counters.ends)
        yield _family(TRANSFERRED, _by_direction(counters.transferred))
        yield _histograms(PHASE, counters.phases)
        yield _histograms(DURATION, counters.durations)
        for name, source in self._sources.items():
            metric = self._known[name]
            try:
                yield _family(metric, source())
            except Exception:
                # Only the metric that cannot be read is missing from the scrape.
                _log.failure("the metric {name} cannot be read", name=name)

    def _count_queue(self) -> None:
        queue, self._queue = self._queue, []
        try:
            self._counters.count(queue)
        except Exception:
            # A failure to count must not stop the proxy.
            _log.failure("audit events could not be counted")


def _by_direction(transferred: Mapping[tuple[str, str], list[int]]) -> dict[tuple[str, ...], float]:
    rows: dict[tuple[str, ...], float] = {}
    for (upstream, listener), (up, down) in transferred.items():
        rows["up", upstream, listener], rows["down", upstream, listener] = up, down
    return rows


def _family(metric: Metric, reading: Reading) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    rows = reading if isinstance(reading, Mapping) else {(): reading}
    for values, value in rows.items():
        family.add_metric(values, float(value))
    return family


def _histograms(metric: Metric, histograms: Mapping[str, Histogram]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for value, histogram in histograms.items():
        family.add_metric([value], histogram.buckets(), histogram.sum_ms / 1000.0)
    return family
