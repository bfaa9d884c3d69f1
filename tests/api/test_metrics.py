"""The metrics and their exposition."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from egress.api.event_counters import KEYS_LIMIT, OTHER
from egress.api.metric_catalogue import READINGS
from egress.api.metrics import BATCH_EVENTS, Metrics
from egress.audit.encoder import LineEncoder
from egress.errors import CODES, Refused
from egress.model import Phases
from tests.api.events import make_admission, make_event


class MetricsCase(SynchronousTestCase):
    """Arranges metrics without readings."""

    def setUp(self) -> None:
        self.metrics = Metrics()

    def value(self, name: str, **labels: str) -> float | None:
        """Give a sample, as a scrape would."""
        return self.metrics.registry.get_sample_value(name, labels)

    def requests(
        self,
        verdict: str,
        policy: str = "",
        upstream: str = "",
        code: str = "",
        request_form: str = "http",
        listener: str = "agents",
    ) -> object:
        """Give how many requests were counted with these labels."""
        labels = {
            "verdict": verdict,
            "policy": policy,
            "upstream": upstream,
            "code": code,
            "request_form": request_form,
            "listener": listener,
        }
        return self.value("egress_requests_total", **labels)


class RecordTests(MetricsCase):
    """Events become counters and histograms."""

    def test_allowed(self) -> None:
        """An allowed request counts for its policy, upstream, request form and listener."""
        self.metrics.record(make_event(make_admission("rules", "corporate"), request_form="connect"))

        self.assertEqual(1, self.requests("allow", "rules", "corporate", request_form="connect"))
        self.assertEqual(
            1, self.value("egress_request_ends_total", cause="complete", request_form="connect", listener="agents")
        )

    def test_refused(self) -> None:
        """A refusal counts for the policy that decided, and for its code."""
        self.metrics.record(make_event(None, Refused("denied", "No.", "rules"), event="refused", cause="refused"))

        self.assertEqual(1, self.requests("deny", "rules", code="denied"))

    def test_refused_although_allowed(self) -> None:
        """A request refused after its admission keeps the upstream, and the admitting policy if no other decided."""
        refused = Refused("server_name_refused", "Another name.")
        self.metrics.record(make_event(make_admission(), refused, event="refused", request_form="connect"))

        self.assertEqual(1, self.requests("deny", "rules", "direct", "server_name_refused", "connect"))

    def test_failed(self) -> None:
        """A route or destination that failed is no refusal."""
        self.metrics.record(make_event(make_admission(), Refused("dial_timeout", "Late."), cause="failed"))
        self.metrics.record(make_event(None, Refused("name_not_found", "None."), cause="failed"))

        self.assertEqual(1, self.requests("allow", "rules", "direct", "dial_timeout"))
        self.assertEqual(1, self.requests("none", code="name_not_found"))

    def test_unread(self) -> None:
        """A request that could not be read counts too, without request form and durations."""
        record = make_event(
            None, Refused("bad_head", "Bad."), event="refused", cause="refused", request_form="", is_read=False
        )
        self.metrics.record(record)

        self.assertEqual(1, self.requests("none", code="bad_head", request_form=""))
        self.assertIs(None, self.value("egress_request_duration_seconds_count", request_form=""))

    def test_same_words_as_the_audit_log(self) -> None:
        """Verdict, policy, upstream and code are those of the audit log's line, for every code."""
        encoder = LineEncoder("none")
        for code in CODES:
            for admission in (None, make_admission()):
                with self.subTest(code=code, is_admitted=admission is not None):
                    self.setUp()
                    record = make_event(admission, Refused(code, "Because.", "some"))
                    line = json.loads(encoder.encode(record))
                    self.metrics.record(record)
                    self.assertEqual(
                        1, self.requests(line["verdict"], line["policy"], line["upstream"] or "", line["code"])
                    )

    def test_open_tunnels_are_not_over(self) -> None:
        """The `open` line of a tunnel is not counted; its end is."""
        self.metrics.record(make_event(make_admission(), event="open", cause="", request_form="connect", moved=(5, 6)))

        self.assertIs(None, self.requests("allow", "rules", "direct", request_form="connect"))
        self.assertIs(
            None, self.value("egress_transferred_bytes_total", direction="up", upstream="direct", listener="agents")
        )

    def test_bytes(self) -> None:
        """Octets are counted by direction, upstream and listener."""
        for _ in range(3):
            self.metrics.record(make_event(make_admission(), moved=(10, 200)))
        self.metrics.record(make_event(make_admission(upstream="corporate"), moved=(1, 2)))

        self.assertEqual(
            30, self.value("egress_transferred_bytes_total", direction="up", upstream="direct", listener="agents")
        )
        self.assertEqual(
            600, self.value("egress_transferred_bytes_total", direction="down", upstream="direct", listener="agents")
        )
        self.assertEqual(
            2, self.value("egress_transferred_bytes_total", direction="down", upstream="corporate", listener="agents")
        )

    def test_phases(self) -> None:
        """A phase that happened is in its histogram, in seconds; one that did not is not."""
        self.metrics.record(make_event(make_admission(), phases=Phases(0.04, -1.0, 20.0, -1.0), duration_ms=250.0))

        self.assertEqual(1, self.value("egress_request_phase_duration_seconds_bucket", phase="judge", le="5e-05"))
        self.assertEqual(0, self.value("egress_request_phase_duration_seconds_bucket", phase="dial", le="0.01"))
        self.assertEqual(1, self.value("egress_request_phase_duration_seconds_bucket", phase="dial", le="0.025"))
        self.assertEqual(1, self.value("egress_request_phase_duration_seconds_bucket", phase="dial", le="+Inf"))
        self.assertEqual(0.02, self.value("egress_request_phase_duration_seconds_sum", phase="dial"))
        self.assertEqual(0, self.value("egress_request_phase_duration_seconds_count", phase="resolve"))
        self.assertEqual(1, self.value("egress_request_duration_seconds_bucket", request_form="http", le="0.25"))
        self.assertEqual(0, self.value("egress_request_duration_seconds_bucket", request_form="http", le="0.1"))

    def test_longer_than_any_bucket(self) -> None:
        """A duration beyond the last bound is in the bucket of infinity."""
        self.metrics.record(make_event(make_admission(), duration_ms=1e9))

        self.assertEqual(0, self.value("egress_request_duration_seconds_bucket", request_form="http", le="86400.0"))
        self.assertEqual(1, self.value("egress_request_duration_seconds_count", request_form="http"))

    def test_more_than_a_batch(self) -> None:
        """Nothing is lost between batches."""
        for _ in range(2 * BATCH_EVENTS + 7):
            self.metrics.record(make_event(make_admission()))

        self.assertEqual(2 * BATCH_EVENTS + 7, self.requests("allow", "rules", "direct"))

    def test_labels_are_bounded(self) -> None:
        """The number of series is bounded however many names reloads bring; every request is counted."""
        for number in range(KEYS_LIMIT + 50):
            self.metrics.record(make_event(make_admission(f"p{number}", f"r{number}"), moved=(1, 1)))

        self.assertEqual(50, self.requests("allow", OTHER, OTHER, listener=OTHER))
        self.assertEqual(
            50, self.value("egress_transferred_bytes_total", direction="up", upstream=OTHER, listener=OTHER)
        )

    def test_codes_of_plugins(self) -> None:
        """A code that is not in the catalogue does not become a label."""
        self.metrics.record(make_event(None, Refused("made_up", "Because.", "acme"), cause="refused"))

        self.assertEqual(1, self.requests("none", "acme", code=OTHER))

    def test_counting_that_fails(self) -> None:
        """An event that cannot be counted is logged and stops nothing."""
        broken = make_event(make_admission())
        del broken.phases
        self.metrics.record(broken)
        self.assertEqual(1, self.requests("allow", "rules", "direct"))
        self.assertEqual(1, len(self.flushLoggedErrors(AttributeError)))

        self.metrics.record(make_event(make_admission()))

        self.assertEqual(2, self.requests("allow", "rules", "direct"))


class ReadingTests(MetricsCase):
    """Metrics that are read at each scrape."""

    def test_numbers(self) -> None:
        """A source is asked each time."""
        live: list[int] = []
        self.metrics.read_from("egress_origin_pool_connections", lambda: len(live))
        self.assertEqual(0, self.value("egress_origin_pool_connections"))

        live.append(1)

        self.assertEqual(1, self.value("egress_origin_pool_connections"))

    def test_labels(self) -> None:
        """A source may give a number for each value of the labels."""
        self.metrics.read_from("egress_limit_reached_total", lambda: {("pool_seconds",): 3})

        self.assertEqual(3, self.value("egress_limit_reached_total", limit="pool_seconds"))

    def test_what_is_not_in_the_catalogue(self) -> None:
        """A metric that nobody documented cannot be read."""
        with self.assertRaises(KeyError):
            self.metrics.read_from("egress_surprise", lambda: 1)

    def test_source_that_fails(self) -> None:
        """One that cannot be read is missing; all others are given out."""

        def fail() -> float:
            raise OSError("no")

        self.metrics.read_from(READINGS[1].name, fail)
        self.metrics.read_from("process_max_fds", lambda: 1024)

        self.assertEqual(1024, self.value("process_max_fds"))
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
