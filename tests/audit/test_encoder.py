"""The encoder of the audit log."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.encoder import LineEncoder, encode_note
from egress.audit.fields import FIELDS
from egress.errors import CODES, Refused
from egress.model import (
    Admission,
    AuditEvent,
    Authority,
    Client,
    Connection,
    HelloFacts,
    Hop,
    Outcome,
    Phases,
    Request,
    Resolution,
    Route,
    RoutePlan,
    Verdict,
)
from tests.audit.fakes import ADMISSION, CLIENT, CONNECTION, EPOCH, make_event, make_request
from tests.audit.plain import plain_line


def read(record: AuditEvent, paths: str = "first") -> dict[str, Any]:
    line = LineEncoder(paths).encode(record)
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


class LineTests(SynchronousTestCase):
    def test_every_field(self) -> None:
        """Every line about a request has every documented field, in the documented order."""
        records = [
            make_event(),
            make_event(request=make_request("GET", "/repos/acme")),
            make_event(event="refused", admission=None, refused=Refused("no_rule", "Nothing allows it.")),
            AuditEvent("refused", EPOCH, None, CLIENT, CONNECTION, "c1", refused=Refused("bad_head", "No.")),
        ]
        for record in records:
            self.assertEqual(list(FIELDS), list(read(record)))

    def test_values(self) -> None:
        """The line of a tunnel has its route, addresses and durations; a phase that did not happen is null."""
        line = read(make_event())

        self.assertEqual("2026-09-21T14:13:20.250000Z", line["timestamp"])
        self.assertEqual(["address:127.0.0.1", "listener:agents"], line["client_labels"])
        self.assertEqual(("allow", "destinations", "github"), (line["verdict"], line["policy"], line["rule"]))
        self.assertEqual(["140.82.121.6", "2001:db8::6"], line["resolved_addresses"])
        self.assertEqual(
            ("direct", "none", 3, "passed"),
            tuple(line[key] for key in ("upstream", "upstream_level", "config_generation", "address_check")),
        )
        self.assertEqual(
            (0.021, None, 12.5, None), tuple(line[f"{phase}_ms"] for phase in ("judge", "resolve", "dial", "wait"))
        )
        self.assertIsNone(line["url_path"])
        self.assertIsNone(line["tls_client_server_name"])
        self.assertIsNone(line["tls_client_retry_server_name"])

    def test_numbers_that_json_cannot_spell(self) -> None:
        """A clock that goes wrong does not make a line that nobody can read."""
        record = make_event()
        record.duration_ms = float("inf")
        record.phases.dial = float("nan")

        line = read(record)

        self.assertEqual((None, None), (line["duration_ms"], line["dial_ms"]))

    def test_verdicts(self) -> None:
        """The verdict distinguishes denied requests from those that failed before or after the decision."""
        admitted, unread = ADMISSION, None
        for admission, code, verdict in [
            (unread, "denied", "deny"),
            (unread, "rate_limited", "deny"),
            (unread, "bad_head", "none"),
            (unread, "name_not_found", "none"),
            (admitted, "dial_timeout", "allow"),
            (admitted, "denied", "deny"),
        ]:
            with self.subTest(code=code, admitted=admission is not None):
                line = read(make_event(admission=admission, refused=Refused(code, "Because.", detail="More.")))
                self.assertEqual(
                    (verdict, code, "Because.", "More."),
                    (line["verdict"], line["code"], line["reason"], line["detail"]),
                )

    def test_failed_after_admission_keeps_its_rule(self) -> None:
        """A request that failed after its admission keeps the policy and rule that admitted it."""
        line = read(make_event(refused=Refused("connection_refused", "It refused.")))

        self.assertEqual(("destinations", "github", "direct"), (line["policy"], line["rule"], line["upstream"]))

    def test_refusing_route(self) -> None:
        """The line of a request that a route refused names the level and the route that decided."""
        refused = Refused("route_refused", "No.", upstream_level="refused", upstream_source='route "never"')

        line = read(make_event(admission=None, refused=refused))

        self.assertEqual(
            (None, "refused", 'route "never"'),
            (line["upstream"], line["upstream_level"], line["upstream_source"]),
        )

    def test_delegated(self) -> None:
        """The line of a delegated name says that no address was judged."""
        line = read(make_event(admission=evolve(ADMISSION, resolution=Resolution("a.example", (), True))))

        self.assertEqual(([], "none"), (line["resolved_addresses"], line["address_check"]))

    def test_audit_mode(self) -> None:
        """Decisions in audit mode are logged, whether the request was admitted or not; other abstentions are not."""
        rehearsed = Verdict(Outcome.ABSTAIN, "new", "r", "would have denied: no")
        verdicts = (rehearsed, Verdict(Outcome.ABSTAIN, "other", "", "has no opinion"), ADMISSION.verdict)
        expected = [{"policy": "new", "rule": "r", "reason": "would have denied: no"}]

        admitted = read(make_event(admission=evolve(ADMISSION, verdicts=verdicts)))
        refused = read(make_event(admission=None, refused=Refused("no_rule", "No.", verdicts=verdicts)))

        self.assertEqual((expected, expected), (admitted["audit_mode"], refused["audit_mode"]))

    def test_paths(self) -> None:
        """The setting limits the part of a path that is logged; the query is never logged."""
        for path, first, full in [
            ("/", "/", "/"),
            ("*", "*", "*"),
            ("/repos", "/repos", "/repos"),
            ("/repos/acme/x", "/repos/...", "/repos/acme/x"),
            ("/a;session=1", "/a/...", "/a;session=1"),
            ("/a?token=1", "/a", "/a"),
            ("/a/b#token", "/a/...", "/a/b"),
            ("/" + "x" * 400, "/" + "x" * 255 + "...", "/" + "x" * 255 + "..."),
        ]:
            with self.subTest(path=path[:20]):
                record = make_event(request=make_request("GET", path))
                self.assertEqual(
                    [None, first, full], [read(record, paths)["url_path"] for paths in ("none", "first", "full")]
                )

    def test_memory_does_not_mix_clients(self) -> None:
        """Prepared parts belong to one client and one admission, however many there are."""
        encoder = LineEncoder("first")
        for number in range(10_000):
            record = make_event(admission=evolve(ADMISSION, generation=number) if number % 16 == 0 else ADMISSION)
            record.client = Client(f"client{number}")
            line = encoder.encode(record)
            self.assertIn(b'"client":"client%d",' % number, line)
            self.assertIn(b'"config_generation":%d,' % (3 if number % 16 else number), line)

    @given(
        method=st.text(max_size=80),
        path=st.text(max_size=600),
        host=st.text(max_size=80),
        name=st.text(max_size=600),
        has_ech=st.booleans(),
        retry=st.none() | st.text(max_size=600),
        paths=st.sampled_from(["none", "first", "full"]),
    )
    @settings(max_examples=150, deadline=None)
    def test_any_text(
        self, method: str, path: str, host: str, name: str, has_ech: bool, retry: str | None, paths: str
    ) -> None:
        """Whatever a client sends, a line is one line of printable ASCII and valid JSON, of bounded length."""
        record = make_event(request=make_request(method, path, host=host), hello=HelloFacts(name, has_ech, retry))

        line = LineEncoder(paths).encode(record)

        self.assertTrue(all(0x20 <= octet <= 0x7E for octet in line))
        self.assertLess(len(line), 12_000)
        found = json.loads(line)
        self.assertEqual(list(FIELDS), list(found))
        self.assertTrue(found["http_request_method"].startswith(method[:32]))

    @given(st.text(alphabet="abc/;.%", max_size=40), st.sampled_from("?#"), st.sampled_from(["none", "first", "full"]))
    @settings(max_examples=100, deadline=None)
    def test_queries_never(self, before: str, mark: str, paths: str) -> None:
        """Nothing after a question mark or a hash is logged, even if it came as part of a path."""
        record = make_event(request=make_request("GET", f"/{before}{mark}key=SECRET"))

        self.assertNotIn(b"SECRET", LineEncoder(paths).encode(record))

    @given(st.text(alphabet="abc/%", max_size=20))
    @settings(max_examples=60, deadline=None)
    def test_first_hides_the_rest(self, below: str) -> None:
        """With `first`, nothing below the first segment is logged."""
        record = make_event(request=make_request("GET", f"/api/SECRET{below}"))

        self.assertNotIn(b"SECRET", LineEncoder("first").encode(record))


TEXTS = st.text(max_size=12) | st.sampled_from(["", '"', "\\", "\U0001f600", "x" * 600])
FEW = st.sampled_from(["", "a", "b"])
VERDICTS = st.builds(
    Verdict, st.sampled_from(Outcome), FEW, TEXTS, TEXTS | st.sampled_from(["would have denied: no", "would have"])
)
RESOLUTIONS = st.builds(Resolution, FEW, st.lists(st.ip_addresses(), max_size=70).map(tuple), st.booleans())
HOPS = st.builds(Hop, TEXTS, st.just("http"), st.just(Authority("192.0.2.9", 3128)))
PLANS = st.builds(
    RoutePlan, TEXTS, st.sampled_from(["none", "route"]), st.just("auto"), st.lists(HOPS, max_size=2).map(tuple), TEXTS
)
DURATIONS = st.floats() | st.floats(0, 1e6) | st.sampled_from([-1.0, 0.0, 0.0005, 12.5])


HELLOS = (
    None,
    HelloFacts(""),
    HelloFacts("a.example"),
    HelloFacts("a.example", True, ""),
    HelloFacts("", False, "\u2028"),
)


@st.composite
def admissions(draw: st.DrawFn) -> Admission:
    """Admissions whose route has the addresses that were resolved, or others."""
    resolution, plan = draw(RESOLUTIONS), draw(PLANS)
    judged = resolution if draw(st.booleans()) else draw(RESOLUTIONS)
    route = Route(plan.label, plan.hops, judged.addresses, bool(plan.hops) and judged.is_delegated)
    verdicts = draw(st.lists(VERDICTS, max_size=2).map(tuple))
    return Admission(
        draw(VERDICTS), verdicts, plan, route, resolution, draw(st.integers(1, 9)), Authority("a.example", 443)
    )


@st.composite
def records(draw: st.DrawFn) -> list[AuditEvent]:
    """Events that share values, so that the memos of one event apply to others."""
    clients = [Client(draw(TEXTS), draw(st.frozensets(TEXTS, max_size=2))) for _ in range(2)]
    admitted: list[Admission | None] = [draw(admissions()), draw(admissions()), None]
    refusals = [
        Refused(
            draw(st.sampled_from(sorted(CODES))),
            draw(TEXTS),
            draw(FEW),
            draw(FEW),
            draw(TEXTS),
            message=draw(FEW),
            upstream_level=draw(st.sampled_from(["", "refused"])),
            upstream_source=draw(FEW),
        ),
        None,
        None,
        None,
    ]
    connections = [Connection(draw(TEXTS), draw(FEW), draw(st.integers(0, 65_535))) for _ in range(2)]
    paths = [None, "/", "/a/b", "/a?b", f"/{draw(TEXTS)}"]
    made = []
    for _ in range(draw(st.integers(1, 12))):
        request = Request(
            draw(TEXTS),
            draw(FEW),
            draw(st.sampled_from(["CONNECT", "GET", "M" * 40, '"'])),
            Authority(draw(st.sampled_from(["a.example", "2001:db8::1"])), draw(st.sampled_from([80, 443]))),
            draw(st.sampled_from(paths)),
            draw(st.sampled_from(clients)),
            "agents",
            0.0,
        )
        made.append(
            AuditEvent(
                draw(st.sampled_from(["end", "open", "refused"])),
                EPOCH + draw(st.floats(-3, 3)),
                draw(st.sampled_from([request, request, request, None])),
                draw(st.sampled_from(clients)),
                draw(st.sampled_from(connections)),
                draw(TEXTS),
                draw(st.sampled_from(["http", "connect", ""])),
                draw(st.sampled_from(admitted)),
                draw(st.sampled_from(refusals)),
                draw(st.sampled_from([0, 200, 404])),
                draw(st.sampled_from(["", "192.0.2.1", '"'])),
                draw(st.sampled_from(HELLOS)),
                draw(st.integers(0, 1 << 40)),
                draw(st.integers(0, 1 << 40)),
                Phases(*(draw(DURATIONS) for _ in range(4))),
                draw(DURATIONS),
                draw(st.sampled_from(["", "complete", "client_closed"])),
                draw(st.sampled_from(["egress", "origin"])),
                draw(FEW),
            )
        )
    return made


class PlainTests(SynchronousTestCase):
    @given(records(), st.sampled_from(["none", "first", "full"]))
    @settings(max_examples=150, deadline=None)
    def test_any_records(self, made: list[AuditEvent], paths: str) -> None:
        """Lines do not depend on earlier lines: the encoder with memos equals the reference encoder."""
        encoder = LineEncoder(paths)

        for record in made:
            self.assertEqual(plain_line(record, paths), encoder.encode(record))

    def test_one_thing_changes(self) -> None:
        """A line has its own values even if it shares the admission of the line before it."""
        encoder, first = LineEncoder("first"), make_event()
        others = [
            {"client": Client("other")},
            {"connection": Connection("other", CONNECTION.peer, 1)},
            {"connection": Connection(CONNECTION.listener, "192.0.2.7", 1)},
            {"connection": Connection(CONNECTION.listener, CONNECTION.peer, 7)},
            {"request_form": "http"},
            {"request": make_request("GET")},
            {"request": make_request(host="other.example")},
            {"request": make_request(path="/a/b")},
            {"request": make_request(request_id="r2")},
            {"dialled": ""},
            {"hello": HelloFacts("")},
            {"hello": HelloFacts("", False, "")},
            {"hello": HelloFacts("a.example", False, "b.example")},
            {"hello": HelloFacts("a.example", True)},
            {"status": 0},
            {"connection_id": "c2"},
            {"event": "open", "cause": ""},
            {"client_bytes": 1, "server_bytes": 2},
            {"phases": Phases(1.0, 2.0, 3.0, 4.0), "duration_ms": 5.0},
            {"timestamp": EPOCH + 61.0},
            {"response_source": "origin"},
        ]
        for other in others:
            with self.subTest(other=str(other)):
                for record in (first, evolve(first, **other), first):  # type: ignore[arg-type]
                    self.assertEqual(plain_line(record, "first"), encoder.encode(record))


class NoteTests(SynchronousTestCase):
    def test_facts(self) -> None:
        """A note has its facts, escaped; values that JSON does not know are text."""
        line = encode_note("start", "T", {"listeners": ["a\n\u2028"], "at": ip_address("127.0.0.1")})

        self.assertEqual(
            {"schema": 1, "timestamp": "T", "event": "start", "listeners": ["a\n\u2028"], "at": "127.0.0.1"},
            json.loads(line),
        )
        self.assertTrue(line.isascii())
        self.assertEqual(b'{"schema":1,"timestamp":"T","event":"stop"}', encode_note("stop", "T", {}))
