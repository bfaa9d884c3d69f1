"""Starting and stopping everything in order, in memory."""

from __future__ import annotations

import signal
from collections.abc import Callable
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
from egress.audit.encoder import LineEncoder
from egress.gate.gate import Gate
from egress.identity import ListenerIdentifier
from egress.proxy.factory import ProxyFactory
from egress.proxy.server import ProxyServer
from egress.service.build import HostServices, make_lookup, make_policies, make_snapshot, parse_endpoints
from egress.service.listen.endpoint import Endpoint
from egress.service.listen.listeners import Listener, Listeners
from egress.service.process.descriptors import raise_descriptor_limit
from egress.service.process.signals import Signals
from egress.service.reload.configuration import Configuration
from egress.service.routing import make_routing
from egress.service.settings.settings import load
from egress.service.settings.summary import audit_log_places, summary
from egress.service.supervisor import Supervisor
from egress.testing.host import FakeResolver


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

    def serve(self, reactor: object, factory: IProtocolFactory) -> IListeningPort:
        """Take the factory."""
        self.factory = factory
        return self.port

    def close(self) -> None:
        """Close."""
        self.is_closed = True


class SupervisorTests(SynchronousTestCase):
    """The service as twistd sees it."""

    def make(self, *allow: str, own: tuple[str, int] | None = ("127.0.0.1", 3128)) -> Supervisor:
        """Build a supervisor around memory."""
        self.reactor: Any = MemoryReactorClock()
        self.source = load(None, allow)
        limits = self.source.settings.limits
        host = HostServices(self.reactor, FakeResolver())
        routing = make_routing(self.source, self.reactor, {})
        policies = make_policies(self.source, host)
        snapshot = make_snapshot(self.source, host, policies, routing, [("127.0.0.1", 3128)], self.reactor)
        self.audit_log = AuditLog(self.reactor, [], LineEncoder("none"), 64)
        server = ProxyServer(
            Gate(snapshot, self.reactor, limits.policy_seconds),
            ListenerIdentifier(),
            self.audit_log,
            self.reactor,
            limits,
        )
        self.socket = MemorySocket("agents", "127.0.0.1:3128", own)
        lookup = make_lookup(self.source.settings.dns, self.reactor)
        listeners = Listeners(self.reactor, (Listener(self.socket, parse_endpoints(self.source)[0]),), self.bind)
        factories = {"agents": ProxyFactory("agents", server)}
        configuration = Configuration(self.source, routing, listeners, factories, server, host, self.reactor)
        return Supervisor(self.reactor, configuration, self.audit_log, lookup)

    def bind(self, name: str, _endpoint: Endpoint, where: str) -> MemorySocket:
        """Make the socket of a listener that a reload brings."""
        return MemorySocket(name, where)

    def start(self, supervisor: Supervisor) -> list[str]:
        """Start it.

        Returns:
            What it told the log.
        """
        said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: dict[str, Any]) -> None:
            if event.get("log_namespace") == "egress.service.supervisor":
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

    def test_says_what_it_serves(self) -> None:
        """The start message names the listeners, the audit log and what is allowed."""
        supervisor = self.make("example.com")
        said = "\n".join(self.start(supervisor))
        self.stop(supervisor)

        self.assertIn("listener agents: 127.0.0.1:3128", said)
        self.assertIn("/audit.jsonl", said)
        self.assertIn("1 policy, 1 rule, guard on", said)
        self.assertNotIn("nothing is allowed", said)
        self.assertNotIn("other machines", said)

    def test_says_what_to_do_next(self) -> None:
        """Where nothing is allowed the start message says how to allow something."""
        supervisor = self.make()
        said = "\n".join(self.start(supervisor))
        self.stop(supervisor)

        self.assertIn("nothing is allowed", said)
        self.assertIn("--allow HOST", said)

    def test_warns_of_an_open_listener(self) -> None:
        """A listener that other machines can reach is warned of."""
        supervisor = self.make(own=("0.0.0.0", 3128))
        said = "\n".join(self.start(supervisor))
        self.stop(supervisor)

        self.assertIn("listener agents can be reached by other machines", said)

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

    def test_signals_are_given_back(self) -> None:
        """The handlers of SIGHUP, SIGTERM and SIGINT are what they were, once it has stopped."""
        numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
        before = [signal.getsignal(number) for number in numbers]
        supervisor = self.make()
        self.start(supervisor)
        self.assertIsNot(before[0], signal.getsignal(signal.SIGHUP))

        self.stop(supervisor)

        self.assertEqual(before, [signal.getsignal(number) for number in numbers])


class MemoryWaker:
    """Keeps what it is handed from elsewhere."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        """Keep a call."""
        self.calls.append(call)


class SignalTests(SynchronousTestCase):
    """Signals reach the reactor's thread."""

    def test_action_runs_in_the_reactor(self) -> None:
        """A signal's action is not run in the handler but handed to the reactor."""
        reactor: Any = MemoryWaker()
        heard: list[str] = []
        signals = Signals(reactor, {signal.SIGUSR2: lambda: heard.append("usr2")})
        signals.start()
        self.addCleanup(signals.stop)

        signal.raise_signal(signal.SIGUSR2)

        self.assertEqual([], heard)
        for call in reactor.calls:
            call()
        self.assertEqual(["usr2"], heard)


class SummaryTests(SynchronousTestCase):
    """Small facts for people."""

    def test_counts(self) -> None:
        """Policies and rules are counted, with the right noun."""
        self.assertEqual("0 policies, 0 rules, guard on", summary(load(None).settings))
        self.assertEqual("1 policy, 2 rules, guard on", summary(load(None, ["a.example", "b.example"]).settings))

    def test_audit_log_places(self) -> None:
        """The audit log's file is named with its directory."""
        self.patch(__import__("os"), "environ", {"EGRESS_STATE": "/var/lib/elsewhere"})

        self.assertEqual(["/var/lib/elsewhere/audit.jsonl"], audit_log_places(load(None).settings))

    def test_descriptor_limit(self) -> None:
        """The limit that holds afterwards is told, and raising it twice changes nothing."""
        self.assertEqual(raise_descriptor_limit(), raise_descriptor_limit())
