"""docs/reference/metrics.md and docs/reference/limits.md agree with the code."""

from __future__ import annotations

import re
import tomllib

import attrs
from twisted.trial.unittest import SynchronousTestCase

from egress.api.event_counters import KEYS_LIMIT, OTHER
from egress.api.metric_catalogue import METRICS, PHASES, RECORDED
from egress.api.metrics import Metrics
from egress.api.settings import CONNECTIONS_LIMIT, StatusSettings
from egress.api.status import CONNECTION_SECONDS, HEAD_SECONDS
from egress.config import structure
from egress.errors import CAUSES, CODES
from egress.proxy.limits import Limits
from tests.api.events import make_admission, make_event
from tests.documents import DOCS, blocks_of

_row = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", re.M)
_limit = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", re.M)


class MetricsDocumentTests(SynchronousTestCase):
    """The page about metrics."""

    def setUp(self) -> None:
        self.page = (DOCS / "reference" / "metrics.md").read_text("ascii")

    def test_metrics(self) -> None:
        """Every metric stands there with its type, its labels and its meaning, and no other."""
        expected = [
            (one.name, one.kind, ", ".join(f"`{label}`" for label in one.labels), one.meaning)
            for one in METRICS.values()
        ]

        self.assertEqual(expected, _row.findall(self.page))

    def test_labels(self) -> None:
        """So does every label."""
        _, _, part = self.page.partition("| label | values |")
        labels = {label for metric in METRICS.values() for label in metric.labels}

        self.assertEqual(labels, set(re.findall(r"^\| `(\w+)` \|", part, re.M)))
        for phase in PHASES:
            self.assertIn(f"`{phase}`", part)

    def test_exposition(self) -> None:
        """The exposition has the documented names, types, meanings and labels."""
        metrics = Metrics()
        metrics.record(make_event(make_admission(), moved=(1, 1)))
        for metric in METRICS.values():
            if metric not in RECORDED:
                row = {tuple("x" for _ in metric.labels): 1.0}
                metrics.read_from(metric.name, lambda row=row: row)  # type: ignore[misc]
        given = {}
        for family in metrics.collect():
            ours = {frozenset(sample.labels) - {"le"} for sample in family.samples}
            name = f"{family.name}_total" if family.type == "counter" else family.name
            given[name] = (family.type, [set(labels) for labels in ours], family.documentation)

        wanted = {one.name: (one.kind, [set(one.labels)], one.meaning) for one in METRICS.values()}
        self.assertEqual(wanted, given)

    def test_settings(self) -> None:
        """The example is a good one, and shows every key."""
        table = tomllib.loads(blocks_of(DOCS / "reference" / "metrics.md", "toml")[0])["status"]

        structure(StatusSettings, table)
        self.assertEqual([field.name for field in attrs.fields(StatusSettings)], list(table))

    def test_bounds(self) -> None:
        """The bounds that stand there hold."""
        self.assertIn(f"after {CONNECTION_SECONDS:.0f} seconds", self.page)
        self.assertIn(f"head has {HEAD_SECONDS:.0f} seconds", self.page)
        self.assertIn(f"there are {CONNECTIONS_LIMIT} at most", self.page)
        self.assertIn(f"Beyond {KEYS_LIMIT:,} combinations", self.page)
        self.assertIn(f"`{OTHER}`", self.page)


class LimitsDocumentTests(SynchronousTestCase):
    """The page about limits."""

    def setUp(self) -> None:
        self.rows = _limit.findall((DOCS / "reference" / "limits.md").read_text("ascii"))

    def test_every_limit(self) -> None:
        """Every limit stands there, in the order of the settings, and no other."""
        self.assertEqual([field.name for field in attrs.fields(Limits)], [name for name, _, _ in self.rows])

    def test_answers(self) -> None:
        """Each status stands beside the code that has it."""
        for name, answer, _ in self.rows:
            for status, code in re.findall(r"(\d{3}) `(\w+)`", answer):
                self.assertEqual(CODES[code].status, int(status), name)

    def test_counters(self) -> None:
        """Each limit is counted by an existing metric, under a possible value of its label."""
        values = {"code": CODES, "cause": CAUSES, "limit": {name for name, _, _ in self.rows}}
        for name, _, counted in self.rows:
            found = re.findall(r'`(\w+)\{(\w+)="(\w+)"\}`', counted)
            self.assertEqual(counted.count("`"), 2 * len(found), name)
            self.assertTrue(found, name)
            for metric, label, value in found:
                self.assertIn(label, METRICS[metric].labels)
                self.assertIn(value, values[label])
                if label == "limit":
                    self.assertEqual(name, value)
