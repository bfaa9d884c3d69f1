"""A sink that can fail, a writer without a thread, and events."""

from __future__ import annotations

import errno
import json
import os
from ipaddress import ip_address

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from egress.audit.audit_log import AuditLog
from egress.audit.encoder import LineEncoder
from egress.audit.sink_queue import SinkQueue
from egress.audit.sinks import StreamSink
from egress.errors import Refused
from egress.model import (
    Admission,
    AuditEvent,
    Authority,
    Client,
    Connection,
    HelloFacts,
    Outcome,
    Phases,
    Request,
    Resolution,
    Route,
    RoutePlan,
    Verdict,
)

EPOCH = 1_790_000_000.25
RETRY_SECONDS = 0.2

CLIENT = Client("listener:agents", frozenset({"listener:agents", "address:127.0.0.1"}))
CONNECTION = Connection("agents", "127.0.0.1", 40_000)
VERDICT = Verdict(Outcome.ALLOW, "destinations", "github", "api.github.com is allowed by rule github.")
RESOLUTION = Resolution("api.github.com", (ip_address("140.82.121.6"), ip_address("2001:db8::6")))
PLAN = RoutePlan("direct", "none")
AUTHORITY = Authority("api.github.com", 443)
ADMISSION = Admission(VERDICT, (VERDICT,), PLAN, Route("direct", (), RESOLUTION.addresses), RESOLUTION, 3, AUTHORITY)


class MemorySink(StreamSink):
    """A stream in memory with `room` for so many octets, which then fails with `fault`."""

    def __init__(self, unit_bytes: int = 65_536) -> None:
        super().__init__("memory", self._take, batch_lines=16, unit_bytes=unit_bytes)
        self.files = [b""]
        self.room: int | None = None
        self.fault = errno.ENOSPC
        self.reopening = 0
        self.is_closed = False

    @property
    def lines(self) -> list[dict[str, object]]:
        """The parsed lines of the file."""
        return [json.loads(line) for line in self.files[-1].splitlines()]

    def prepare(self) -> bool:
        if self.reopening:
            raise OSError(self.reopening, os.strerror(self.reopening))
        return True

    def switch(self) -> None:
        super().switch()
        self.files.append(b"")

    def close(self) -> None:
        super().close()
        self.is_closed = True

    def _take(self, data: bytes) -> int:
        if self.room is None:
            self.files[-1] += data
            return len(data)
        if not self.room:
            raise OSError(self.fault, os.strerror(self.fault))
        taken = data[: self.room]
        self.room -= len(taken)
        self.files[-1] += taken
        return len(taken)


class TurnWriter:
    """Works an queue off whenever it is woken, and tries again on a clock."""

    def __init__(self, queue: SinkQueue, clock: Clock) -> None:
        self.is_finished = False
        self.is_hung = False
        self._queue = queue
        self._clock = clock

    def wake(self) -> None:
        if not self.is_hung:
            self._queue.work()

    def finish(self) -> None:
        if not self.is_hung:
            self._queue.work()
            self._queue.close()
            self.is_finished = True


class Scene:
    """An audit log on a clock of its own, with one sink in memory."""

    def __init__(
        self,
        is_strict: bool = False,
        is_chained: bool = False,
        backlog_records: int = 100,
        backlog_bytes: int = 1 << 20,
    ) -> None:
        self.clock = Clock()
        self.sink = MemorySink()
        self.queue = SinkQueue(self.sink, is_chained, backlog_records, backlog_bytes, self.now)
        self.writers: list[TurnWriter] = []
        self.audit_log = AuditLog(
            self.clock, [self.queue], LineEncoder("first"), backlog_records, is_strict, self.spawn, self.now
        )

    def now(self) -> float:
        return EPOCH + self.clock.seconds()

    def spawn(self, queue: SinkQueue) -> TurnWriter:
        self.writers.append(TurnWriter(queue, self.clock))
        return self.writers[-1]

    def settle(self, seconds: float = 1.0) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / 0.025)):
            self.clock.advance(0.025)

    def types(self) -> list[object]:
        """The types of the lines in the file."""
        return [line["event"] for line in self.sink.lines]


def listen(case: SynchronousTestCase) -> list[str]:
    """Collect the messages of the audit log."""
    said: list[str] = []

    @provider(ILogObserver)
    def hear(event: LogEvent) -> None:
        if str(event.get("log_namespace")).startswith("egress.audit."):
            said.append(str(event["log_format"]).format(**event))

    globalLogPublisher.addObserver(hear)
    case.addCleanup(globalLogPublisher.removeObserver, hear)
    return said


def make_request(
    method: str = "CONNECT", path: str | None = None, request_id: str = "r1", host: str = "api.github.com"
) -> Request:
    request_form = "connect" if path is None else "http"
    return Request(request_id, request_form, method, Authority(host, 443), path, CLIENT, "agents", 0.0)


def make_event(
    event: str = "end",
    request: Request | None = None,
    admission: Admission | None = ADMISSION,
    refused: Refused | None = None,
    hello: HelloFacts | None = None,
    timestamp: float = EPOCH,
) -> AuditEvent:
    return AuditEvent(
        event=event,
        timestamp=timestamp,
        request=request or make_request(),
        client=CLIENT,
        connection=CONNECTION,
        connection_id="c1",
        request_form="connect",
        admission=admission,
        refused=refused,
        status=200,
        dialled="140.82.121.6",
        hello=hello,
        client_bytes=517,
        server_bytes=4096,
        phases=Phases(judge=0.0213, dial=12.5),
        duration_ms=130.25,
        cause="complete",
        response_source="egress",
    )
