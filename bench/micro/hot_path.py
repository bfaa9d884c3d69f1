"""Measures the parts of the path from a request head to its log line: `python bench/micro/hot_path.py`.

Prints the microseconds of one use of each part, the best of several runs. The CPU should be idle otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter, time

from attrs import define, evolve, field
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from egress.audit.encoder import LineEncoder
from egress.gate.gate import Gate
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.model import Admission, AuditEvent, Connection, Phases, Request
from egress.policy.destinations import make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.proxy.http1.request_parsing import ParsedRequest, RequestParser, parse_request
from egress.proxy.limits import Limits
from egress.testing import FakeHost, FakeResolver, make_request
from egress.timing.timer_wheel import TimerWheel
from egress.upstream import DirectSelector, TunnelingAgent
from egress.wire.date_field import DateField
from egress.wire.forwarding import serialize_request, serialize_response
from egress.wire.framing import response_framing
from egress.wire.request_head import RequestReader
from egress.wire.response_head import ResponseReader
from egress.wire.target import parse_target
from egress.wire.tls_record import begins_tls
from egress.wire.via import Via

USES = 20_000
VIA = Via.make()
RUNS = 7
RULES = (10, 100, 1_000, 10_000)
BATCH = 64
# More than the audit log caches.
STRANGERS = 5_000

HEAD = (
    b"GET http://origin.example/packages/index.html?x=1 HTTP/1.1\r\nHost: origin.example\r\nUser-Agent: bench/1\r\n"
    b"Accept: */*\r\nAccept-Encoding: gzip\r\n"
)
PLAIN_HEAD = HEAD + b"\r\n"
COOKIE_HEAD = HEAD + b"Cookie: a=b\r\n\r\n"
CONNECT_HEAD = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\nUser-Agent: bench/1\r\n\r\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\nContent-Type: text/html\r\n"
    b'Content-Length: 13\r\nConnection: keep-alive\r\nETag: "abc-de"\r\nAccept-Ranges: bytes\r\n\r\nhello, world!'
)


def best(use: Callable[[], object]) -> float:
    """Return the microseconds of one use."""
    shortest = float("inf")
    for _ in range(RUNS):
        begun = perf_counter()
        for _ in range(USES):
            use()
        shortest = min(shortest, perf_counter() - begun)
    return shortest / USES * 1e6


def say(what: str, microseconds: float) -> None:
    """Print a line."""
    sys.stdout.write(f"{microseconds:8.2f} us  {what}\n")


def make_gate(rules: int) -> Gate:
    """Make a Gate whose last rule matches."""
    hosts = [{"hosts": [f"api{number}.example.com"]} for number in range(rules - 1)]
    table = {"allow": [*hosts, {"hosts": ["origin.example"]}]}
    resolver = FakeResolver({"origin.example": "93.184.216.34"})
    policy = make_destinations("rules", table, FakeHost(resolver=resolver))
    own = OwnAddresses((("127.0.0.1", 3128),), local=lambda address: address.is_loopback)
    agent = TunnelingAgent(MemoryReactorClock(), 1.0, 1.0)
    snapshot = Snapshot(1, (policy,), Guard(GuardSettings()), resolver, DirectSelector(), agent, own, None)
    return Gate(snapshot, Clock(), 5.0)


@define(eq=False)
class Reading:
    """The part of a client connection that a parser of heads uses."""

    limits: Limits
    parser: RequestParser = field(init=False)
    reader: RequestReader | None = None
    held: bytes = b""
    is_timed: bool = False

    @parser.default
    def _make_parser(self) -> RequestParser:
        return RequestParser(self.limits, VIA)


@define(eq=False)
class Waiting:
    """An entry of the timer wheel."""

    due: int = 0
    visit: int = 0

    def expired(self) -> None:
        """Do nothing."""


def measure_gate(rules: int) -> None:
    """Measure a cached decision, and a decision of the policy."""
    gate = make_gate(rules)
    request = make_request("https://origin.example/")
    say(f"Gate, {rules} rules, remembered", best(lambda: gate.admit(request)))
    policy = gate.snapshot.policies[0]
    say(f"destinations, {rules} rules, not remembered", best(lambda: policy.decide(request, None)))


def measure_heads() -> None:
    """Measure the reading, parsing and serialization of heads."""
    limits = Limits()
    reader = RequestReader(limits.head_bytes, limits.target_bytes, limits.head_fields)

    def parse(octets: bytes) -> ParsedRequest:
        fresh = RequestReader(limits.head_bytes, limits.target_bytes, limits.head_fields)
        head = fresh.feed(octets)
        assert head is not None
        return parse_request(head, limits.request_body_bytes, VIA)

    say("a plain request head, fields memoized", best(lambda: reader.feed(PLAIN_HEAD)))
    say("a plain request head with a cookie", best(lambda: reader.feed(COOKIE_HEAD)))
    say("a target, memoized", best(lambda: parse_target("GET", b"http://origin.example/packages/index.html?x=1")))
    parsed = parse(PLAIN_HEAD)
    serialized = best(lambda: serialize_request(parsed.head, parsed.target, parsed.framing, VIA))
    say("a plain request head, serialized", serialized)
    say("a CONNECT head, read and parsed", best(lambda: parse(CONNECT_HEAD)))
    client = Reading(limits)
    client.parser.read(client, CONNECT_HEAD)  # type: ignore[arg-type]
    client.reader = None
    say("a CONNECT head, memoized", best(lambda: client.parser.read(client, CONNECT_HEAD)))  # type: ignore[arg-type]
    date_field = DateField(time)
    responses = ResponseReader(limits.head_bytes)

    def answer() -> bytes:
        head = responses.feed(RESPONSE)
        assert head is not None
        framing = response_framing(head, "GET")
        return serialize_response(head, framing, is_http11=True, keep_alive=head.is_persistent, make_date=date_field)

    say("a response head, read and serialized", best(answer))


def measure_record() -> None:
    """Measure the audit log lines of admitted requests, in batches."""
    gate, encoder = make_gate(10), LineEncoder("first")
    request = make_request("http://origin.example/a/b")
    admission = gate.admit(request)
    assert isinstance(admission, Admission)
    connection = Connection("agents", "127.0.0.1", 40_000)

    def make(admitted: Admission) -> AuditEvent:
        asked = make_request("http://origin.example/a/b")
        asked.client = request.client
        phases = Phases(0.03, -1.0, 0.4, -1.0)
        return make_event(asked, connection, admitted, phases)

    phases = Phases(0.03, -1.0, 0.4, -1.0)
    say("a record made", best(lambda: make_event(request, connection, admission, phases)))
    waiting = [make(admission) for _ in range(BATCH)]
    say("a record formatted", best_of_batch(encoder, waiting))
    waiting = [make(evolve(admission)) for _ in range(STRANGERS)]
    say("a record formatted, of an admission not seen before", best_of_batch(encoder, waiting))


def make_event(request: Request, connection: Connection, admission: Admission, phases: Phases) -> AuditEvent:
    """Make the audit event of a tunnel, as a transaction does."""
    return AuditEvent(
        "end",
        1.5,
        request,
        request.client,
        connection,
        "5d1f-c2",
        "connect",
        admission,
        None,
        200,
        "93.184.216.34",
        None,
        517,
        4096,
        phases,
        12.5,
        "complete",
    )


def best_of_batch(encoder: LineEncoder, records: list[AuditEvent]) -> float:
    """Return the microseconds of one event of a batch."""
    shortest = float("inf")
    for _ in range(max(RUNS, USES // len(records))):
        begun = perf_counter()
        for record in records:
            encoder.encode(record)
        shortest = min(shortest, perf_counter() - begun)
    return shortest / len(records) * 1e6


def main() -> None:
    """Measure and print."""
    measure_heads()
    say("a first look at a tunnel's bytes", best(lambda: begins_tls(b"\x16\x03\x01")))
    for rules in RULES:
        measure_gate(rules)
    measure_record()
    timers, entry = TimerWheel(Clock()), Waiting()
    timers.start()
    say("a deadline set and cleared", best(lambda: (timers.expect(entry, 30.0), timers.clear(entry))))
    say("a deadline set and removed", best(lambda: (timers.expect(entry, 30.0), timers.forget(entry))))


if __name__ == "__main__":
    main()
