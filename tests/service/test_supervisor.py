"""Start and stop of all parts in order, in memory."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.audit import AuditLog
from egress.audit.chain_head import ChainHead, parse_head
from egress.audit.encoder import LineEncoder
from egress.audit.head_recorder import HeadRecorder
from egress.audit.sink_queue import SinkQueue
from egress.service.build.activate import Binder, activate
from egress.service.build.host_services import HostServices, make_resolvers
from egress.service.build.prepare import prepare
from egress.service.listen.endpoint import Endpoint
from egress.service.process.control_socket import ControlSocket
from egress.service.process.notify import Notifier
from egress.service.reload.active_configuration import ActiveConfiguration
from egress.service.settings.source import Source, load
from egress.service.supervisor import Supervisor
from egress.testing.host import FakeResolver
from tests.audit.fakes import MemorySink, TurnWriter

LISTENER = '[[listener]]\nname = "agents"\nendpoint = "tcp:3128:interface=127.0.0.1"\n'


@implementer(IListeningPort)
@define(eq=False)
class MemoryPort:
    """A port whose closing takes until it is told."""

    closing: Deferred[None] = field(factory=Deferred)
    is_closing: bool = False

    def startListening(self) -> None:
        """Do nothing."""

    def stopListening(self) -> Deferred[None]:
        """Begin to close."""
        self.is_closing = True
        return self.closing

    def getHost(self) -> IPv4Address:
        """Give an address."""
        return IPv4Address("TCP", "127.0.0.1", 3128)


@define(eq=False)
class MemorySocket:
    """A listener's socket that nobody can connect to."""

    name: str
    address: str
    own: tuple[str, int] | None = None
    port: MemoryPort = field(factory=MemoryPort)
    factory: IProtocolFactory | None = None
    is_closed: bool = False
    pauses: int = 0
    keepalive_seconds: int = -1

    def serve(self, reactor: object, factory: IProtocolFactory) -> IListeningPort:
        """Take the factory."""
        self.factory = factory
        return self.port

    def keep_alive(self, seconds: int) -> None:
        """Note it."""
        self.keepalive_seconds = seconds

    def close(self) -> None:
        """Close."""
        self.is_closed = True


def make_in_memory(
    source: Source,
    reactor: Any,
    binder: Binder,
    audit_log: AuditLog,
    names: Mapping[str, str] | None = None,
    notifier: Notifier | None = None,
    control: ControlSocket | None = None,
) -> Supervisor:
    """Build a supervisor as `make_supervisor` does, with sockets, names and an audit log in memory."""
    host = HostServices(reactor, FakeResolver(names), FakeResolver(names))
    prepared = prepare(source, host, reactor, {})
    active = activate(prepared, host, reactor, binder, lambda: audit_log)
    own = () if active.status is None else (active.status.socket,)
    configuration = ActiveConfiguration(
        prepared, active.listeners, active.factories, active.server, host, reactor, None, {}, own
    )
    resolvers = make_resolvers(source.settings.dns, reactor)
    return Supervisor(reactor, configuration, audit_log, resolvers, None, notifier, active.status, control)


class SupervisorCase(SynchronousTestCase):
    """Arranges a supervisor around memory."""

    def make(self, *allow: str, own: tuple[str, int] | None = ("127.0.0.1", 3128), text: str = "") -> Supervisor:
        """Build a supervisor around memory."""
        self.reactor: Any = MemoryReactorClock()
        file = Path(self.mktemp())
        file.write_text(text or LISTENER, "utf-8")
        self.source = load(str(file), allow)
        self.audit_log = AuditLog(self.reactor, [], LineEncoder("none"), 64)
        self.socket = MemorySocket("agents", "127.0.0.1:3128", own)
        return make_in_memory(self.source, self.reactor, self, self.audit_log)

    def bind(self, _name: str, _endpoint: Endpoint, _where: str) -> MemorySocket:
        """Give the listener's socket."""
        return self.socket

    def bind_for_reactor(self, _name: str, _endpoint: Endpoint, _where: str) -> MemorySocket:
        """Give the status listener's socket."""
        self.place = MemorySocket("status", "127.0.0.1:3181", ("127.0.0.1", 3181))
        self.place.port.closing.callback(None)
        return self.place

    def close_rest(self) -> None:
        """Do nothing."""

    def start(self, supervisor: Supervisor) -> list[str]:
        """Start it.

        Returns:
            What it told the log.
        """
        said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: dict[str, Any]) -> None:
            if str(event.get("log_namespace")).startswith("egress.service.") and "log_format" in event:
                said.append(str(event["log_format"]).format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        supervisor.startService()
        return said

    def stop(self, supervisor: Supervisor) -> None:
        """Stop it, and let everything come to its end."""
        stopped = supervisor.stopService()
        self.socket.port.closing.callback(None)
        self.reactor.pump([0.1] * 20)
        self.successResultOf(stopped)


class SupervisorTests(SupervisorCase):
    """The service as twistd sees it."""

    def test_stops_in_order(self) -> None:
        """Ports close first; the socket's file goes and the service has stopped once they are closed."""
        supervisor = self.make()
        self.start(supervisor)
        self.assertFalse(supervisor.server.connections.is_stopping)

        stopped = supervisor.stopService()

        self.assertTrue(self.socket.port.is_closing)
        self.assertTrue(supervisor.server.connections.is_stopping)
        self.assertFalse(self.socket.is_closed)
        self.assertNoResult(stopped)
        self.socket.port.closing.callback(None)
        self.assertTrue(self.socket.is_closed)
        self.reactor.pump([0.1] * 20)
        self.successResultOf(stopped)

    def test_stops_although_a_port_fails(self) -> None:
        """A port that cannot be closed does not keep the audit log from being written."""
        supervisor = self.make()
        self.start(supervisor)

        stopped = supervisor.stopService()
        self.socket.port.closing.errback(OSError("no"))
        self.reactor.pump([0.1] * 20)

        self.successResultOf(stopped)
        self.assertTrue(self.socket.is_closed)
        self.assertEqual(1, len(self.flushLoggedErrors()))

    def test_status_command(self) -> None:
        """The control socket tells the status, the faults, and the heads of the audit log."""
        self.make()
        queue = SinkQueue(MemorySink(), True, 64, 65_536, self.reactor.seconds, HeadRecorder("/log", self.mktemp()))
        audit_log = AuditLog(self.reactor, [queue], LineEncoder("none"), 64, spawn=self.spawn)
        control = ControlSocket(self.reactor, self.mktemp())
        supervisor = make_in_memory(self.source, self.reactor, self, audit_log, control=control)
        self.start(supervisor)
        self.reactor.pump([0.1] * 3)

        facts: Any = control.commands["status"]({})

        self.assertIn("1 listener, 0 policies", facts["status"])
        self.assertEqual(([], 1, 0), (facts["faults"], facts["generation"], facts["audit"]["lost"]))
        head = ChainHead(**facts["audit"]["heads"][0])
        self.assertEqual(("/log", 0), (head.place, head.seq))
        self.assertEqual(head, parse_head(json.dumps(facts["audit"]["heads"][0]).encode()))
        self.stop(supervisor)

    def test_audit_log_that_loses_lines(self) -> None:
        """A full disk is a warning where requests are served all the same, and a fault where they are refused."""
        for is_strict in (False, True):
            self.make()
            sink = MemorySink()
            queue = SinkQueue(sink, False, 64, 65_536, self.reactor.seconds)
            audit_log = AuditLog(self.reactor, [queue], LineEncoder("none"), 64, is_strict, self.spawn)
            supervisor = make_in_memory(self.source, self.reactor, self, audit_log)
            self.start(supervisor)
            self.reactor.pump([0.1] * 3)
            self.assertEqual(([], []), (supervisor.warnings(), supervisor.faults()))

            sink.room = 0
            audit_log.note("reload")
            self.reactor.pump([0.1] * 3)

            said = "The audit log cannot be written, and requests are served without it: 0 lines lost so far."
            self.assertEqual([] if is_strict else [said], supervisor.warnings())
            self.assertEqual(["The audit log cannot take records."] if is_strict else [], supervisor.faults())
            sink.room = None
            self.stop(supervisor)

    def spawn(self, queue: SinkQueue) -> TurnWriter:
        """Write on this thread."""
        return TurnWriter(queue, self.reactor)

    def test_signals_are_given_back(self) -> None:
        """The handlers of SIGHUP, SIGTERM and SIGINT are what they were, once it has stopped."""
        numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
        before = [signal.getsignal(number) for number in numbers]
        supervisor = self.make()
        self.start(supervisor)
        self.assertIsNot(before[0], signal.getsignal(signal.SIGHUP))

        self.stop(supervisor)

        self.assertEqual(before, [signal.getsignal(number) for number in numbers])
