"""What each part of the way from a head to its record costs: `python bench/micro/hot_path.py`.

Says for each part how long one use took, at best of some runs, on a CPU that should have nothing else to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter

from attrs import define, evolve
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from egress.audit.encoder import LineEncoder
from egress.gate.gate import Gate
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.model import Admission, AuditEvent, Connection, Phases, Request
from egress.policy.destinations import make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.proxy.limits import Limits
from egress.testing import FakeHost, FakeResolver, make_request
from egress.timing.timer_wheel import TimerWheel
from egress.upstream import DirectSelector, TunnelingAgent
from egress.wire.client_hello import is_tls_record
from egress.wire.request_head import RequestReader
from egress.wire.target import parse_target

USES = 20_000
RUNS = 7
RULES = (10, 100, 1_000, 10_000)
BATCH = 64
# More than the audit log remembers.
STRANGERS = 5_000

HEAD = (
    b"GET http://origin.example/packages/index.html?x=1 HTTP/1.1\r\nHost: origin.example\r\nUser-Agent: bench/1\r\n"
    b"Accept: */*\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\n\r\n"
)


def best(use: Callable[[], object]) -> float:
    """Give the microseconds of one use."""
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
    """Make a Gate whose last rule is the one that matches."""
    hosts = [{"hosts": [f"api{number}.example.com"]} for number in range(rules - 1)]
    table = {"allow": [*hosts, {"hosts": ["origin.example"]}]}
    resolver = FakeResolver({"origin.example": "93.184.216.34"})
    policy = make_destinations("rules", table, FakeHost(resolver=resolver))
    own = OwnAddresses((("127.0.0.1", 3128),), local=lambda address: address.is_loopback)
    agent = TunnelingAgent(MemoryReactorClock(), 1.0, 1.0)
    snapshot = Snapshot(1, (policy,), Guard(GuardSettings()), resolver, DirectSelector(), agent, own)
    return Gate(snapshot, Clock(), 5.0)


@define(eq=False)
class Waiting:
    """Something with a deadline."""

    due: int = 0
    visit: int = 0

    def expired(self) -> None:
        """Do nothing."""


def measure_gate(rules: int) -> None:
    """Measure a judgement that is remembered, and the policy's own."""
    gate = make_gate(rules)
    request = make_request("https://origin.example/")
    say(f"Gate, {rules} rules, remembered", best(lambda: gate.admit(request)))
    policy = gate.snapshot.policies[0]
    say(f"destinations, {rules} rules, not remembered", best(lambda: policy.decide(request, None)))


def measure_record() -> None:
    """Measure the audit log's line of a request that was admitted: a batch, as they come."""
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
    """Make the record of a tunnel, as a transaction does."""
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
    """Give the microseconds of one record of a batch."""
    shortest = float("inf")
    for _ in range(max(RUNS, USES // len(records))):
        begun = perf_counter()
        for record in records:
            encoder.encode(record)
        shortest = min(shortest, perf_counter() - begun)
    return shortest / len(records) * 1e6


def main() -> None:
    """Measure and say."""
    limits = Limits()
    reader = RequestReader(limits.head_bytes, limits.target_bytes, limits.head_fields)
    say(f"a head of {len(HEAD)} octets", best(lambda: reader.feed(HEAD)))
    say("a target, seen before", best(lambda: parse_target("GET", b"http://origin.example/packages/index.html?x=1")))
    say("a first look at a tunnel's bytes", best(lambda: is_tls_record(b"\x16\x03\x01")))
    for rules in RULES:
        measure_gate(rules)
    measure_record()
    timers, entry = TimerWheel(Clock()), Waiting()
    timers.start()
    say("a deadline set and cleared", best(lambda: (timers.expect(entry, 30.0), timers.clear(entry))))


if __name__ == "__main__":
    main()
