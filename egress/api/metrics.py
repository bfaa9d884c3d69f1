"""The metrics: records are put aside as they come and counted later; everything else is read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from twisted.logger import Logger

from egress.api.event_counters import EventCounters, Histogram
from egress.api.metric_catalogue import BYTES, ENDS, PHASE, READINGS, REQUESTS, TOTAL, Metric
from egress.model import AuditEvent

BATCH_RECORDS = 256
"""How many records are put aside before they are counted: about half a millisecond of the reactor's time."""

Reading: TypeAlias = float | Mapping[Any, float]
"""What a source gives: a number, or one for each tuple of the labels' values."""

_log = Logger()


class Metrics(Collector):
    """Everything that is counted, with a registry of its own: nothing here is global.

    Attributes:
        registry: gives it out.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tally = EventCounters()
        self._aside: list[AuditEvent] = []
        self._sources: dict[str, Callable[[], Reading]] = {}
        self._known = {metric.name: metric for metric in READINGS}
        self.registry.register(self)

    def record(self, record: AuditEvent) -> None:
        """Count one record, in time. Does not raise; see `IAuditSink.record`."""
        aside = self._aside
        aside.append(record)
        if len(aside) >= BATCH_RECORDS:
            self._settle()

    def read_from(self, name: str, source: Callable[[], Reading]) -> None:
        """Say where a metric is to be read.

        Args:
            name: of one of `READINGS`.
            source: asked each time; it must not take long.

        Raises:
            KeyError: there is no such metric to be read.
        """
        self._sources[self._known[name].name] = source

    def collect(self) -> Iterator[Family]:
        """Give everything as it is now (prometheus_client's Collector)."""
        self._settle()
        tally = self._tally
        yield _family(REQUESTS, tally.requests)
        yield _family(ENDS, tally.ends)
        yield _family(BYTES, _by_direction(tally.traffic))
        yield _spreads(PHASE, tally.phases)
        yield _spreads(TOTAL, tally.totals)
        for name, source in self._sources.items():
            metric = self._known[name]
            try:
                yield _family(metric, source())
            except Exception:
                # One that cannot be read is missing; the others are not.
                _log.failure("the metric {name} cannot be read", name=name)

    def _settle(self) -> None:
        aside, self._aside = self._aside, []
        try:
            self._tally.count(aside)
        except Exception:
            # What is counted wrongly must not stop what is being served.
            _log.failure("records could not be counted")


def _by_direction(traffic: Mapping[str, list[int]]) -> dict[tuple[str, ...], float]:
    rows: dict[tuple[str, ...], float] = {}
    for upstream, (up, down) in traffic.items():
        rows["up", upstream], rows["down", upstream] = up, down
    return rows


def _family(metric: Metric, reading: Reading) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    rows = reading if isinstance(reading, Mapping) else {(): reading}
    for values, value in rows.items():
        family.add_metric(values, float(value))
    return family


def _spreads(metric: Metric, spreads: Mapping[str, Histogram]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for value, spread in spreads.items():
        family.add_metric([value], spread.buckets(), spread.sum_ms / 1000.0)
    return family
