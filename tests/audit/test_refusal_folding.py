"""Repeated requests that are not admitted: which have a line, what is counted, and what bounds it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.encoder import LineEncoder
from egress.audit.refusal_folding import (
    CEILINGS,
    CLIENTS,
    DESTINATIONS_PER_CLIENT,
    FOLD_SECONDS,
    FOLDS,
    REASONS_PER_CLIENT,
    RefusalFolding,
)
from egress.audit.timestamps import TimestampFormat
from egress.errors import Refused
from egress.model import AuditEvent, Client
from tests.audit.fakes import EPOCH, make_event, make_request


def refusal(
    number: int = 0,
    host: str = "evil.example",
    client: str = "agents/a",
    code: str = "no_rule",
    rule: str = "",
    has_request: bool = True,
) -> AuditEvent:
    """Make the event of a refused request."""
    request = make_request(request_id=f"b-{number:x}", host=host)
    event = make_event(
        "refused", request, None, Refused(code, "No rule allows it.", "rules", rule), timestamp=EPOCH + number
    )
    event.client = request.client = Client(client, frozenset({client}))
    event.connection_id = f"c{number}"
    if not has_request:
        event = evolve(event, request=None, request_id=request.id, request_form="")
    return event


class FoldingCase(SynchronousTestCase):
    """A folding with a clock of its own."""

    def setUp(self) -> None:
        self.make(8_192)

    def make(self, bytes_per_second: int) -> None:
        """Begin with a ceiling."""
        self.clock = Clock()
        self.encoder = LineEncoder("full")
        self.folding = RefusalFolding(self.encoder, bytes_per_second, self.clock.seconds)

    def take(self, events: Iterable[AuditEvent]) -> list[dict[str, Any]]:
        """Give the lines that some of the events have."""
        lines = [self.folding.take(event) for event in events]
        return [json.loads(line) for line in lines if line is not None]

    def close(self, room: int | None = 1 << 20) -> list[dict[str, Any]]:
        """End the interval, and give its counted lines."""
        self.clock.advance(FOLD_SECONDS)
        return self.lines(room)

    def lines(self, room: int | None = 1 << 20) -> list[dict[str, Any]]:
        """Give the counted lines."""
        stamp = TimestampFormat()
        return [json.loads(each.encode(self.encoder, stamp)) for each in self.folding.close_interval(room)]


class FoldingTests(FoldingCase):
    """What has a line, and what a counted line has."""

    def test_first_and_repeated(self) -> None:
        """The first refusal has its line at once, and those after it have one line that counts them."""
        own = self.take(refusal(number) for number in range(100))
        self.assertEqual([("refused", "b-0")], [(line["event"], line["request_id"]) for line in own])
        self.assertEqual(99, self.folding.folded)

        counted = self.close()

        self.assertEqual(1, len(counted))
        line = counted[0]
        self.assertEqual(("repeated", 99, "b-1", "b-63"), (
            line["event"], line["count"], line["first_request_id"], line["request_id"]
        ))  # fmt: skip
        self.assertEqual("2026-09-21T14:13:21.250000Z", line["first_timestamp"])
        self.assertEqual("2026-09-21T14:14:59.250000Z", line["timestamp"])
        self.assertEqual(
            ("agents/a", "evil.example", 443, "CONNECT", "deny", "no_rule", "rules", "c99", 200),
            tuple(
                line[key]
                for key in (
                    *("client", "server_address", "server_port", "http_request_method", "verdict", "code", "policy"),
                    *("connection_id", "http_response_status_code"),
                )
            ),
        )
        self.assertEqual({None}, {line[key] for key in ("url_path", "judge_ms", "duration_ms")})
        self.assertEqual([*own[0], "count", "first_request_id", "first_timestamp"], [*line])

    def test_what_is_apart(self) -> None:
        """Another client, destination, method, rule, code or answer is another refusal."""
        first = refusal()
        assert first.refused is not None
        assert first.request is not None
        others = [
            refusal(client="agents/b"),
            refusal(host="other.example"),
            refusal(rule="r"),
            refusal(code="denied"),
            evolve(first, status=0),
            evolve(first, event="end"),
            evolve(first, cause="client_closed"),
            evolve(first, refused=None),
            evolve(first, request=evolve(first.request, method="GET")),
            refusal(has_request=False),
        ]

        self.assertEqual(1 + len(others), len(self.take([first, *others])))
        self.assertEqual([], self.take([evolve(first, request=evolve(first.request, path="/other"))]))

    def test_intervals(self) -> None:
        """A flood has one line an interval; after an interval without a request the next one has its own line again."""
        self.take([refusal(0)])
        for interval in range(3):
            self.assertEqual([], self.take(refusal(number) for number in range(5)))
            self.assertEqual([5], [line["count"] for line in self.close()], interval)

        self.assertEqual([], self.close())
        self.assertEqual([], self.take([refusal(1)]))
        self.close()
        self.close()
        self.assertEqual([], self.close())

        self.assertTrue(self.folding.is_empty)
        self.assertEqual(1, len(self.take([refusal(2)])))

    def test_just_before_the_end_of_an_interval(self) -> None:
        """A refusal shortly before the end of an interval is remembered for the next one."""
        self.take([refusal(0)])
        self.close()

        self.assertEqual([], self.take([refusal(1)]))

    def test_long_values(self) -> None:
        """What a client chose is not kept, however long it is."""
        event = refusal()
        assert event.request is not None
        event.request = evolve(event.request, method="M" * 60_000, path="/" + "p" * 60_000)
        self.take([event, event])

        (line,) = self.close()

        self.assertLess(len(json.dumps(line)), 2_000)
        (fold,) = self.folding._fine.values()
        assert fold.sample.request is not None
        self.assertLess(len(fold.sample.request.method), 64)

    def test_tracebacks_are_not_kept(self) -> None:
        """The frames that an exception refers to are not kept alive."""
        event = refusal()
        try:
            raise event.refused or AssertionError
        except Refused:
            self.take([event])

        (fold,) = self.folding._fine.values()
        assert fold.sample.refused is not None
        self.assertIsNone(fold.sample.refused.__traceback__)


class BoundTests(FoldingCase):
    """What a client can add to the audit log and to memory."""

    def test_destinations(self) -> None:
        """A client that tries many destinations has lines for some, and one line for the others, with the reason."""
        self.make(1 << 30)
        own = self.take(refusal(number, f"h{number}.example") for number in range(1_000))
        self.assertEqual(DESTINATIONS_PER_CLIENT, len(own))

        (line,) = self.close()

        self.assertEqual((1_000 - DESTINATIONS_PER_CLIENT, "no_rule"), (line["count"], line["code"]))
        self.assertEqual((None, None, "agents/a"), (line["server_address"], line["url_path"], line["client"]))
        self.assertIn("to further destinations", line["reason"])
        self.assertEqual("b-3e7", line["request_id"])

    def test_octets(self) -> None:
        """A client adds no more octets than the ceiling, and each request is in a line or in a count."""
        rate = 4_096
        self.make(rate)
        octets = lines = total = 0
        for interval in range(20):
            events = [refusal(number, f"h{interval}-{number}.example") for number in range(200)]
            written = self.take(events) + self.close()
            octets += sum(len(json.dumps(line, separators=(",", ":"))) + 1 for line in written)
            lines += sum(line.get("count", 1) for line in written)
            total += len(events)

        self.assertEqual(total, lines)
        self.assertLess(octets, rate * FOLD_SECONDS * 21 + 4_096)
        self.assertGreater(octets, rate * FOLD_SECONDS * 10)

    def test_clients_do_not_share(self) -> None:
        """What one client adds takes nothing from another one."""
        for number in range(500):
            self.take([refusal(number, f"h{number}.example")])

        self.assertEqual(1, len(self.take([refusal(client="agents/b")])))

    def test_many_clients(self) -> None:
        """Many clients together are bounded too: in octets, and in memory."""
        self.make(4_096)
        octets = counted = 0
        for number in range(CLIENTS * 5):
            client = f"agents/{number}"
            for line in self.take(refusal(each, f"h{each}.example", client) for each in range(3)):
                octets += len(json.dumps(line, separators=(",", ":"))) + 1
                counted += 1
        self.assertLess(octets, 4_096 * CEILINGS * FOLD_SECONDS + 4_096)
        self.assertLessEqual(len(self.folding._fine), FOLDS)
        self.assertLessEqual(len(self.folding._reasons), FOLDS)
        self.assertLessEqual(len(self.folding._clients), CLIENTS)

        lines = self.close()

        counted += sum(line["count"] for line in lines)
        self.assertEqual(CLIENTS * 5 * 3, counted)
        other = next(line for line in lines if line["client"] == "(other)")
        self.assertEqual(("no_rule", "", [], ""), (
            other["code"], other["client_address"], other["client_labels"], other["policy"]
        ))  # fmt: skip

    def test_reasons(self) -> None:
        """Reasons of one client are bounded as well."""
        self.make(1 << 30)
        self.take(refusal(number, f"h{number}.example") for number in range(DESTINATIONS_PER_CLIENT))
        self.take(refusal(number, rule=f"r{number}") for number in range(100))
        lines = self.close()

        self.assertEqual(REASONS_PER_CLIENT + 1, len(lines))
        self.assertEqual(100, sum(line["count"] for line in lines))

    def test_no_room(self) -> None:
        """Where lines have no room nothing is lost: it is counted further."""
        self.take(refusal(number) for number in range(5))
        self.take(refusal(number, "b.example") for number in range(5))
        self.assertEqual([], self.close(room=0))
        self.assertEqual([4], [line["count"] for line in self.close(room=1)])
        self.take([refusal(7), refusal(7, "b.example")])

        self.assertEqual([1, 5], [line["count"] for line in self.close()])

    def test_the_end(self) -> None:
        """At the end everything is given, whatever the ceilings."""
        self.make(256)
        for number in range(20):
            self.take(refusal(number, f"h{each}.example", f"agents/{each}") for each in range(number))

        given = sum(line["count"] for line in self.lines(None))

        self.assertEqual(self.folding.folded, given)
        self.assertEqual([], self.lines(None))

    @settings(max_examples=60, deadline=None)
    @given(
        steps=st.lists(
            st.one_of(
                st.tuples(st.integers(0, 3), st.integers(0, 90), st.sampled_from(["no_rule", "denied"]), st.booleans()),
                st.integers(0, 30),
            ),
            max_size=300,
        ),
        rate=st.sampled_from([256, 4_096, 1 << 20]),
    )
    def test_nothing_is_lost(self, steps: list[Any], rate: int) -> None:
        """Every request has a line of its own or is in a count, once, in order of the ids of each line."""
        self.make(rate)
        seen = total = 0
        for step in steps:
            if isinstance(step, int):
                self.clock.advance(step)
                written = self.lines(None if step == 30 else step)
            else:
                client, host, code, has_request = step
                event = refusal(total, f"h{host}.example", f"agents/{client}", code, has_request=has_request)
                written = self.take([event])
                total += 1
            seen += sum(line.get("count", 1) for line in written)
            for line in written:
                first, last = line.get("first_request_id", line["request_id"]), line["request_id"]
                self.assertLessEqual(int(first[2:], 16), int(last[2:], 16))
                self.assertLessEqual(line.get("first_timestamp", ""), line["timestamp"])

        self.assertEqual(total, seen + sum(line["count"] for line in self.lines(None)))
