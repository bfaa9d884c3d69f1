"""Compares the lines of the audit log with what clients know about their requests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from tests.live.soak.server import serial_of

_FAULTS_KEPT = 50
# An `open` line is due after two seconds; a busy machine may write it later.
_OPEN_LINE_MS = 6000.0
_SHOWN = (
    *("timestamp", "event", "request_id", "listener", "client_port", "http_request_method", "server_address"),
    *("server_port", "url_path", "verdict", "code", "detail", "config_generation", "http_response_status_code"),
    *("response_source", "client_bytes", "server_bytes", "duration_ms", "cause"),
)
_NEVER = 1 << 62
Range = tuple[int, int]


@frozen
class Outcome:
    """One way in which a request may end, as its line tells it."""

    cause: str
    status: int | None = 200
    code: str | None = None


COMPLETE = Outcome("complete")


@frozen
class Expectation:
    """What the line of one admitted request must hold.

    Attributes:
        serial: the serial number that its path or its destination holds.
        kind: the kind of client, for messages.
        outcomes: one of these must be in the line.
        client_bytes: the least and the most octets from the client.
        server_bytes: the least and the most octets to the client.
        facts: further fields with their values.
        is_certain: whether there must be a line; a request that was reset may not have been read.
    """

    serial: int
    kind: str
    outcomes: tuple[Outcome, ...] = (COMPLETE,)
    client_bytes: Range = (0, 0)
    server_bytes: Range = (0, 0)
    facts: Mapping[str, object] = field(factory=dict)
    is_certain: bool = True

    def fault(self, line: Mapping[str, Any]) -> str:
        """Compare with the line.

        Returns:
            The difference; "" where there is none.
        """
        told = Outcome(line["cause"], line["http_response_status_code"], line["code"])
        if told not in self.outcomes:
            return f"{told} is none of {self.outcomes}"
        for name, (least, most) in (("client_bytes", self.client_bytes), ("server_bytes", self.server_bytes)):
            if not least <= line[name] <= most:
                return f"{name} {line[name]} is not within {least} and {most}"
        for name, value in self.facts.items():
            if line[name] != value:
                return f"{name} is {line[name]!r}, not {value!r}"
        return ""


def at_least(size: int) -> Range:
    """A range without an upper end."""
    return size, _NEVER


def exactly(size: int) -> Range:
    """A range of one number."""
    return size, size


class Comparison:
    """Collects expectations and lines, which come in any order, and what differs.

    Each admitted request has one line of its own. Requests that were not admitted may be counted in other lines, so
    their numbers are compared, by code, or by cause where they have no code.

    Args:
        unknown_ports: origins whose requests nobody counts.
        uncounted: codes for which `count` gives the least number only.

    Attributes:
        faults: what differed, or went wrong for a client.
        matched: how many lines were those that a client expected, by kind.
        events: how many lines there were, by event.
        requests: how many requests the lines tell of.
    """

    def __init__(self, unknown_ports: range = range(0), uncounted: tuple[str, ...] = ()) -> None:
        self.faults: list[str] = []
        self.matched: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.requests = 0
        self._unknown_ports = unknown_ports
        self._uncounted = uncounted
        self._lock = threading.Lock()
        self._serial = 0
        self._expected: dict[int, Expectation] = {}
        self._lines: dict[int, dict[str, Any]] = {}
        self._opened: dict[int, dict[str, Any]] = {}
        self._ended: set[int] = set()
        self._least: Counter[str] = Counter()
        self._most: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    @property
    def is_hopeless(self) -> bool:
        """Whether there are so many faults that no more are kept."""
        return len(self.faults) >= _FAULTS_KEPT

    # What clients know.

    def next_serial(self) -> int:
        """Give a serial number that nobody else has."""
        with self._lock:
            self._serial += 1
            return self._serial

    def expect(self, expectation: Expectation) -> None:
        """Say what the line of a request must hold, once its client knows."""
        with self._lock:
            if (line := self._lines.pop(expectation.serial, None)) is None:
                self._expected[expectation.serial] = expectation
            else:
                self._compare(expectation, line)

    def count(self, code: str, least: int = 1, most: int | None = None) -> None:
        """Say that requests were not admitted.

        Args:
            code: their code; the cause where they have no code.
            least: how many there were at least.
            most: how many at most; None for as many as `least`.
        """
        with self._lock:
            self._least[code] += least
            self._most[code] += least if most is None else most

    def fail(self, fault: str) -> None:
        """Note what went wrong."""
        with self._lock:
            self._fail(fault)

    def _fail(self, fault: str) -> None:
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(fault)

    # What the audit log says.

    def take_line(self, line: dict[str, Any]) -> None:
        """Compare one line."""
        event = line["event"]
        with self._lock:
            self.events[event] += 1
            if event in ("end", "refused", "repeated"):
                self._take_end(line)
            elif event == "open":
                self._take_open(line)
            elif event == "loss":
                self._fail(f"lines were lost: {line}")

    def _take_end(self, line: dict[str, Any]) -> None:
        count = line.get("count", 1)
        self.requests += count
        if line["verdict"] != "allow":
            self._told[line["code"] or line["cause"]] += count
            return
        serial = _serial_of(line)
        if serial <= 0:
            if line["server_port"] not in self._unknown_ports:
                self._fail(f"nobody made this request: {_shown(line)}")
            return
        if serial in self._ended:
            self._fail(f"a request has ended twice: {_shown(line)}")
            return
        self._ended.add(serial)
        self._compare_open(self._opened.pop(serial, None), line)
        if (expectation := self._expected.pop(serial, None)) is None:
            self._lines[serial] = line
        else:
            self._compare(expectation, line)

    def _take_open(self, line: dict[str, Any]) -> None:
        serial = _serial_of(line)
        if serial <= 0:
            return
        if serial in self._opened or serial in self._ended:
            self._fail(f"a tunnel was opened twice, or after its end: {_shown(line)}")
        self._opened[serial] = line

    def _compare_open(self, opened: dict[str, Any] | None, line: dict[str, Any]) -> None:
        if opened is None:
            is_tunnel = line["http_response_status_code"] in (101, 200) and line["url_path"] is None
            if is_tunnel and line["duration_ms"] > _OPEN_LINE_MS:
                self._fail(f"a tunnel has no line of its beginning: {_shown(line)}")
            return
        for name in ("client_bytes", "server_bytes", "duration_ms"):
            if opened[name] > line[name]:
                self._fail(f"{name} has become less, from {opened[name]}: {_shown(line)}")

    def _compare(self, expectation: Expectation, line: dict[str, Any]) -> None:
        self.matched[expectation.kind] += 1
        if fault := expectation.fault(line):
            self._fail(f"the line of request {expectation.serial} ({expectation.kind}): {fault}: {_shown(line)}")

    # The end.

    def missing(self) -> list[Expectation]:
        """Return what has no line yet."""
        with self._lock:
            return [each for each in self._expected.values() if each.is_certain]

    def finish(self) -> None:
        """Compare what is left, once all lines were taken."""
        for each in self.missing():
            self.fail(f"request {each.serial} ({each.kind}) has no line")
        for line in self._lines.values():
            self.fail(f"no client has told of this line: {_shown(line)}")
        for line in self._opened.values():
            self.fail(f"a tunnel was opened and did not end: {_shown(line)}")
        for code in sorted(self._told.keys() | self._least.keys()):
            told, least, most = self._told[code], self._least[code], self._most[code]
            if told < least or (told > most and code not in self._uncounted):
                self.fail(f"{told} requests were not admitted ({code}), not {least} to {most}")


def _shown(line: Mapping[str, Any]) -> str:
    """Return what tells a line from others, for a message."""
    return ", ".join(f"{name} {line[name]!r}" for name in _SHOWN if line[name] is not None)


def _serial_of(line: Mapping[str, Any]) -> int:
    """Return the serial number that a line's path or destination holds; 0 without one."""
    path = line["url_path"]
    if path is None:
        return serial_of(line["server_address"])
    number = path.split("/", 2)[1]
    return int(number) if number.isdigit() else 0
