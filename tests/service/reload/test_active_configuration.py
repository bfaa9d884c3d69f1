"""A reload replaces the whole configuration or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import define, field
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import classImplements, implementer

from egress.audit import AuditLog
from egress.audit.encoder import LineEncoder
from egress.errors import ConfigError, Refused
from egress.model import Admission
from egress.proxy.factory import ProxyFactory
from egress.service.build.prepare import prepare
from egress.service.listen.endpoint import Endpoint, TcpEndpoint
from egress.service.listen.listeners import SwitchableFactory
from egress.service.listen.tls import find_changed_tls
from egress.service.process.control_protocol import ControlRefused
from egress.service.process.control_socket import ControlSocket
from egress.service.process.descriptors import DescriptorBudget
from egress.service.process.notify import Notifier
from egress.service.settings.source import load
from egress.service.supervisor import Supervisor
from egress.testing import make_request
from egress.transports.contract import IStreamTransport
from egress.upstream import CachingResolver
from egress.upstream.upstream_state import Stage
from tests.service.test_supervisor import MemorySocket, make_in_memory
from tests.upstream.certificates import Root
from tests.upstream.lookups import HandLookup

ROOT = Root()
ADDRESS = "93.184.216.34"
LISTENERS = """
[[listener]]
name = "agents"
endpoint = "tcp:3128:interface=127.0.0.1"

[[listener]]
name = "builds"
endpoint = "tcp:3129:interface=127.0.0.1"
"""
RULES = """
[[policy]]
kind = "destinations"
[[policy.allow]]
name = "example"
hosts = ["a.example"]
"""
STATUS = '[status]\nendpoint = "tcp:3181:interface=127.0.0.1"\n'
BASE = LISTENERS + RULES


@define(eq=False)
class Bound(MemorySocket):
    """A socket that may fail to be served."""

    is_broken: bool = False

    def serve(self, reactor: object, factory: IProtocolFactory) -> IListeningPort:
        """Take the factory, or run out of descriptors."""
        if self.is_broken:
            raise OSError(24, "Too many open files")
        return super().serve(reactor, factory)


class StreamTransport(StringTransport):
    """A transport in memory that has sent what was written to it."""

    unsent = None
    is_flushed = True


classImplements(StreamTransport, IStreamTransport)  # type: ignore[misc]  # not all of it


class Manager(Notifier):
    """Writes down what the service manager would be told."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.told: list[str] = []

    def ready(self, status: str) -> None:
        """Write it down."""
        self.told.append(f"ready: {status}")

    def reloading(self) -> None:
        """Write it down."""
        self.told.append("reloading")


@define(eq=False)
class Bench:
    """Everything of one supervisor, in memory but for its file."""

    file: Path
    reactor: Any = field(factory=MemoryReactorClock)
    bound: list[Bound] = field(factory=list)
    is_broken: bool = False
    allow: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()

    def bind(self, name: str, endpoint: Endpoint, where: str) -> Bound:
        """Bind in memory; port 1 is never free, and neither is one that is bound already."""
        own = (str(endpoint.address), endpoint.port) if isinstance(endpoint, TcpEndpoint) else None
        if own is not None and (own[1] == 1 or own[1] in self.taken()):
            raise ConfigError(where, f"{own[0]}:{own[1]} is in use")
        self.bound.append(Bound(name, str(endpoint), own, is_broken=self.is_broken))
        return self.bound[-1]

    def taken(self) -> set[int]:
        """Give the ports that are in use."""
        return {each.own[1] for each in self.bound if each.own is not None and not each.is_closed}

    def bind_for_reactor(self, name: str, _endpoint: Endpoint, _where: str) -> MemorySocket:
        """Bind the status listener in memory."""
        socket = MemorySocket(name, "127.0.0.1:3181", ("127.0.0.1", 3181))
        socket.port.closing.callback(None)
        return socket

    def close_rest(self) -> None:
        """Do nothing."""

    def make(self) -> Supervisor:
        """Build the supervisor."""
        reactor = self.reactor
        source = load(str(self.file), self.allow, self.listen)
        audit_log = AuditLog(reactor, [], LineEncoder("none"), 64)
        names = {"a.example": ADDRESS, "b.example": ADDRESS}
        control = ControlSocket(reactor, "/proc/nowhere")
        return make_in_memory(source, reactor, self, audit_log, names, Manager(reactor), control)


class ReloadCase(SynchronousTestCase):
    """Arranges a supervisor that serves."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: dict[str, Any]) -> None:
            if str(event.get("log_namespace")).startswith("egress.service") and "log_format" in event:
                self.said.append(str(event["log_format"]).format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def start(self, text: str = BASE, **options: Any) -> Supervisor:
        """Write the file and start."""
        self.file.write_text(text, "utf-8")
        self.bench = Bench(self.file, **options)
        self.supervisor = self.bench.make()
        self.supervisor.startService()
        self.bench.reactor.advance(0)
        self.addCleanup(self.stop)
        del self.said[:]
        return self.supervisor

    def stop(self) -> None:
        """Stop, unless that was done."""
        if self.supervisor.server.connections.is_stopping:
            return
        for each in self.bench.bound:
            each.port.closing.callback(None)
        stopped = self.supervisor.stopService()
        self.bench.reactor.pump([0.1] * 20)
        self.successResultOf(stopped)

    def reload(self, text: str) -> Any:
        """Write the file anew, and reload."""
        self.file.write_text(text, "utf-8")
        return self.supervisor.reload()

    def fails(self, text: str) -> str:
        """Reload what cannot be used, assert that nothing changed, and give the error."""
        configuration, server = self.supervisor.configuration, self.supervisor.server
        parts = (configuration.source, configuration.routing, configuration.listeners.all, configuration.factories)
        before = (*parts, server.gate.snapshot, server.limits, server.tls, server.identifier)
        open_before = [each for each in self.bench.bound if not each.is_closed]
        self.file.write_text(text, "utf-8")

        error = self.assertRaises(ConfigError, self.supervisor.reload)

        parts = (configuration.source, configuration.routing, configuration.listeners.all, configuration.factories)
        for old, new in zip(
            before, (*parts, server.gate.snapshot, server.limits, server.tls, server.identifier), strict=True
        ):
            self.assertIs(old, new)
        self.assertEqual(open_before, [each for each in self.bench.bound if not each.is_closed])
        self.assertEqual(str(error), configuration.problem)
        self.assertIn(str(error), "\n".join(self.said))
        self.assertNotIn("\n", str(error))
        return str(error)

    def admits(self, url: str) -> bool:
        """Ask the gate."""
        try:
            request = make_request(url, listener=self.supervisor.sockets[0].name)
            self.assertIsInstance(self.supervisor.server.gate.admit(request), Admission)
        except Refused:
            return False
        return True


class InForce(ReloadCase):
    """What a reload changes."""

    def test_rules(self) -> None:
        """New rules hold at once, and what changed is said: in the log, in the result, and on record."""
        supervisor = self.start()
        notes: list[Any] = []
        self.patch(supervisor._audit_log, "note", lambda kind, **facts: notes.append((kind, facts)))
        self.assertEqual((True, False), (self.admits("http://a.example/"), self.admits("http://b.example/")))

        done = self.reload(BASE.replace("a.example", "b.example"))

        self.assertEqual((False, True), (self.admits("http://a.example/"), self.admits("http://b.example/")))
        self.assertEqual((2, ("policy destinations changed",)), (done.generation, done.changed))
        weaker = "rule example of policy destinations allows more than before: hosts (b.example)"
        self.assertEqual((weaker,), done.weaker)
        self.assertIn("configuration 2 is in force: policy destinations changed", self.said)
        self.assertIn(f"it protects less than the one before: {weaker}", self.said)
        self.assertEqual([("reload", {"config_generation": 2, "changed": [*done.changed], "weaker": [weaker]})], notes)
        self.assertEqual(done.facts(), json.loads(json.dumps(done.facts())))

    def test_nothing_new(self) -> None:
        """The same file again is a new generation, for the files that it names may have changed."""
        self.start()

        done = self.reload(BASE)

        self.assertEqual((2, (), (), ()), (done.generation, done.changed, done.weaker, done.warnings))
        self.assertIn("configuration 2 is in force: nothing changed in the file", self.said)

    def test_limits_and_tls(self) -> None:
        """Limits, the treatment of names in tunnels and that of a FIN hold from the next request on."""
        supervisor = self.start()

        self.reload(
            BASE + '[limits]\npolicy_seconds = 1\npool_connections = 3\n[tls]\nsni = "record"\n'
            '[http]\nclient_half_close = "answer"\n'
        )

        server = supervisor.server
        self.assertEqual((1.0, 1.0), (server.limits.policy_seconds, server.gate.policy_seconds))
        self.assertEqual((3, "record"), (server.pool.limits.pool_connections, server.tls.sni))
        self.assertEqual("answer", server.http.client_half_close)

    def test_keepalive(self) -> None:
        """Connections that are accepted or dialled later are probed as the new configuration says."""
        configuration = self.start(BASE + STATUS).configuration

        def seconds(*sockets: MemorySocket) -> list[int]:
            dialler: Any = configuration.server.gate.snapshot.agent
            others = [cast(MemorySocket, each) for each in configuration.others]
            return [*(each.keepalive_seconds for each in (*sockets, *others)), dialler.reactor.keepalive_seconds]

        self.assertEqual([60] * 4, seconds(*self.bench.bound))

        self.reload(BASE.replace("3129", "4000") + STATUS + "[limits]\ntcp_keepalive_seconds = 0\n")

        self.assertEqual([0] * 4, seconds(self.bench.bound[0], self.bench.bound[2]))

    def test_names(self) -> None:
        """What is known of names stays, and its new lifetime holds for the next answer."""
        supervisor = self.start()
        configuration = supervisor.configuration
        settings, lookup = configuration.source.settings.dns, HandLookup()
        resolver = CachingResolver(self.bench.reactor, lookup, settings)
        configuration.host.resolver = resolver

        self.reload(BASE + "[dns]\nconcurrent = 17\npositive_seconds = 7\ndelegated_seconds = 9\n")

        self.assertEqual(7.0, resolver.settings.positive_seconds)
        self.assertEqual([17], [each.concurrent for each in lookup.renewed])
        self.assertEqual(9.0, supervisor.server.gate.delegated_seconds)
        self.assertIs(resolver, supervisor.server.gate.snapshot.resolver)

    def test_upstream_states_survive(self) -> None:
        """What is known of an upstream stays, unless it gets another address; `required` holds at once."""
        upstream = '[[upstream]]\nname = "corp"\nurl = "http://192.0.2.9:3128"\n'
        supervisor = self.start(BASE + upstream)
        routing = supervisor.configuration.routing
        routing.states.of(routing.upstreams["corp"]).failed("proxy_unreachable", "No.", Stage.REACH)
        self.assertEqual([], supervisor.faults())

        self.reload(BASE + upstream + "required = true\n")
        self.assertEqual({("corp",): False}, supervisor.configuration.routing.up())
        self.assertEqual(["The upstream 'corp' does not work: proxy_unreachable."], supervisor.faults())

        self.reload(BASE + upstream.replace("192.0.2.9", "192.0.2.10"))
        self.assertEqual({("corp",): True}, supervisor.configuration.routing.up())
        self.assertEqual([], supervisor.faults())

    def test_counters_survive(self) -> None:
        """Policies of the new snapshot go on counting where those of the old one stopped."""
        rate = '[[policy]]\nkind = "rate"\nrequests_per_minute = 1\n'
        self.start(BASE + rate)
        self.assertTrue(self.admits("http://a.example/"))

        self.reload(BASE + rate)

        self.assertFalse(self.admits("http://a.example/"))

    def test_what_only_a_start_can_change(self) -> None:
        """Where the record goes and what else was opened at the start stays, and each reload says so."""
        supervisor = self.start('engine = "twisted"\n' + BASE)
        more = '[audit]\nto = ["stdout"]\n[dns]\nhosts_file = false\npositive_seconds = 7\n'

        for _ in range(2):
            done = self.reload(f'state = "/elsewhere"\nengine = "auto"\n{BASE}{more}')
            said = {f"{key} takes effect at the next start" for key in ("state", "engine", "audit", "dns.hosts_file")}
            self.assertEqual(said, {*done.warnings})
            self.assertEqual((), done.weaker)

        settings = supervisor.configuration.source.settings
        self.assertEqual(("", "twisted", ("file",)), (settings.state, settings.engine, settings.audit.to))
        self.assertEqual((True, 7.0), (settings.dns.hosts_file, settings.dns.positive_seconds))

    def test_options_of_the_start(self) -> None:
        """What the command line said still holds; `--listen` still replaces the file's listeners."""
        self.start(RULES, allow=("b.example",), listen=("tcp:4000:interface=127.0.0.1",))

        self.reload(LISTENERS + RULES)

        self.assertTrue(self.admits("http://b.example/"))
        self.assertEqual(["default"], [each.name for each in self.supervisor.sockets])

    def test_where_a_daemon_is(self) -> None:
        """The file is found after the working directory changed."""
        self.start()
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        self.file.write_text(BASE.replace("a.example", "b.example"), "utf-8")
        os.chdir("/")

        self.supervisor.reload()

        self.assertTrue(self.admits("http://b.example/"))


class KeptListeners(ReloadCase):
    """Listeners are compared by name, and kept."""

    def entrance(self, at: int) -> ProxyFactory:
        """Give the factory behind a port."""
        entrance = self.bench.bound[at].factory
        assert isinstance(entrance, SwitchableFactory) and isinstance(entrance.factory, ProxyFactory)
        return entrance.factory

    def test_kept(self) -> None:
        """A listener whose route changes is neither bound again nor closed; what is behind it is new."""
        self.start()
        before = self.entrance(0)

        self.reload(BASE.replace('127.0.0.1"\n', '127.0.0.1"\nvia = "direct"\n', 1))

        self.assertEqual(2, len(self.bench.bound))
        self.assertFalse(self.bench.bound[0].port.is_closing)
        self.assertIsNot(before, self.entrance(0))
        self.assertEqual("agents", self.entrance(0).listener)

    def test_new_and_gone(self) -> None:
        """A new one is served and is no destination; one that is gone takes no more connections."""
        supervisor = self.start(BASE + STATUS)

        done = self.reload(BASE.replace('"builds"', '"tests"').replace("3129", "4000") + STATUS)

        self.assertEqual(("listener builds is gone", "listener tests is new"), done.changed)
        gone, new = self.bench.bound[1:]
        self.assertEqual((True, True, False), (gone.port.is_closing, gone.is_closed, new.port.is_closing))
        self.assertEqual("tests", self.entrance(2).listener)
        self.assertEqual(["agents", "tests"], [each.name for each in supervisor.sockets])
        own = supervisor.server.gate.snapshot.own.sockets
        self.assertEqual({("127.0.0.1", port) for port in (3128, 4000, 3181)}, {*own})

    def test_moved(self) -> None:
        """Another endpoint under the same name: the new one is bound, the old one closed."""
        self.start()

        self.reload(BASE.replace("3129", "4000"))

        old, new = self.bench.bound[1:]
        self.assertEqual((True, False), (old.port.is_closing, new.port.is_closing))
        self.assertEqual(("127.0.0.1", 4000), new.own)

    def test_renamed(self) -> None:
        """A listener that only gets another name keeps its socket."""
        supervisor = self.start()

        self.reload(BASE.replace('"builds"', '"tests"'))

        self.assertEqual(2, len(self.bench.bound))
        self.assertFalse(self.bench.bound[1].port.is_closing)
        self.assertEqual(["agents", "tests"], [each.name for each in supervisor.sockets])
        self.assertEqual("tests", self.entrance(1).listener)

    def test_names_changed_for_each_other(self) -> None:
        """So do two that exchange their names."""
        supervisor = self.start()

        self.reload(BASE.replace('"agents"', '"x"').replace('"builds"', '"agents"').replace('"x"', '"builds"'))

        self.assertEqual(2, len(self.bench.bound))
        self.assertEqual(["builds", "agents"], [each.name for each in supervisor.sockets])
        self.assertEqual(("builds", "agents"), (self.entrance(0).listener, self.entrance(1).listener))

    def connect(self, at: int) -> StringTransport:
        """Connect a client that says nothing, and goes away when the test is over."""
        factory = self.bench.bound[at].factory
        assert factory is not None
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5))
        assert protocol is not None
        transport = StreamTransport()
        protocol.makeConnection(transport)
        self.addCleanup(protocol.connectionLost, Failure(ConnectionDone()))
        return transport

    def leaves(self, text: str) -> list[bool]:
        """Start with a client of each listener, reload, and tell which connections were closed."""
        self.start()
        clients = [self.connect(0), self.connect(1)]
        self.reload(text)
        return [client.disconnecting for client in clients]

    def test_connections_of_a_kept_one(self) -> None:
        """Connections stay with a listener that stays, whatever else changes in its table."""
        self.assertEqual([False, False], self.leaves(BASE.replace('127.0.0.1"\n', '127.0.0.1"\nvia = "direct"\n', 1)))

    def test_connections_of_one_that_is_gone(self) -> None:
        """Connections of a listener that is gone are closed: what it asked for is asked for no more."""
        self.assertEqual([False, True], self.leaves(BASE[: BASE.index("[[listener]]", 5)] + RULES))

    def test_connections_of_a_moved_one(self) -> None:
        """So are those of one that listens elsewhere now."""
        self.assertEqual([False, True], self.leaves(BASE.replace("3129", "4000")))

    def test_connections_of_a_renamed_one(self) -> None:
        """And those of a socket that has another name: they would go on under the old one."""
        self.assertEqual([False, True], self.leaves(BASE.replace('"builds"', '"tests"')))

    def secured(self, directory: Path, text: str = BASE, more: str = "") -> str:
        """Give the listener `builds` TLS, with the files of a directory."""
        port = 'endpoint = "tcp:3129:interface=127.0.0.1"\n'
        return text.replace(port, f"{port}{more}[listener.tls]\n{self.tables(directory)}")

    def tables(self, directory: Path) -> str:
        """Spell the keys of a listener's TLS."""
        files = {"certificate": "cert.pem", "key": "key.pem", "client_ca": "ca.pem"}
        return "".join(f"{key} = {json.dumps(str(directory / name))}\n" for key, name in files.items())

    def certificates(self) -> Path:
        """Make the files of a listener's TLS."""
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        served = ROOT.issue("proxy.example")
        for name, content in (("cert.pem", served.pem), ("key.pem", served.key_pem), ("ca.pem", ROOT.pem)):
            (directory / name).touch(mode=0o600)
            (directory / name).write_bytes(content)
        return directory

    def test_connections_of_one_that_begins_to_speak_tls(self) -> None:
        """Connections without TLS are closed where TLS is added to their listener, whose socket is kept."""
        self.assertEqual([False, True], self.leaves(self.secured(self.certificates())))
        self.assertEqual(2, len(self.bench.bound))

    def test_changes_of_tls(self) -> None:
        """Other terms for clients displace a listener's connections; a renewed certificate of its own does not."""
        directory = self.certificates()
        text = self.secured(directory)
        self.start(text)
        key = load_pem_private_key((directory / "key.pem").read_bytes(), None)
        changes: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "authority": lambda: (directory / "ca.pem").write_bytes(Root().pem),
            "certificate": lambda: (directory / "cert.pem").write_bytes(ROOT.issue("b.example", key=key).pem),
        }
        for name, change in changes.items():
            change()
            self.assertEqual(["builds"] if name == "authority" else [], self.moved(text), name)
            self.reload(text)
            self.assertEqual([], self.moved(text), name)
        required = self.secured(directory, more='require = "certificate"\n')
        for other in (required, text.replace("client_ca = ", "# "), BASE):
            self.assertEqual(["builds"], self.moved(other), other)
        self.assertEqual([], self.moved(text.replace('"builds"', '"tests"')))

    def moved(self, text: str) -> list[str]:
        """Tell which listeners a reload would take for moved."""
        self.file.write_text(text, "utf-8")
        configuration = self.supervisor.configuration
        prepared = prepare(load(str(self.file)), configuration.host, self.bench.reactor, {})
        resecured = find_changed_tls(configuration.prepared.tls, prepared.tls)
        change = configuration.listeners.plan(prepared.source, prepared.endpoints, resecured)
        change.abandon()
        return sorted(change.displaced.moved)

    def test_connections_of_two_that_change_places(self) -> None:
        """Where two listeners exchange their sockets, no connection is taken for one of the other."""
        self.assertEqual(
            [True, True], self.leaves(BASE.replace("3128", "x").replace("3129", "3128").replace("x", "3129", 1))
        )

    def test_what_is_lost(self) -> None:
        """A name whose socket is closed may live on; one whose socket has another name, or that is gone, does not."""
        self.start()
        listeners = self.supervisor.configuration.listeners
        table = {
            BASE.replace("3129", "4000"): ([], ["builds"]),
            BASE.replace('"builds"', '"tests"'): (["builds"], []),
            BASE.replace('"builds"', '"tests"').replace("3129", "4000"): (["builds"], []),
            BASE.replace('"agents"', '"x"').replace('"builds"', '"agents"'): (["agents", "builds"], []),
            BASE: ([], []),
        }
        for text, (lost, moved) in table.items():
            self.file.write_text(text, "utf-8")
            configuration = self.supervisor.configuration
            prepared = prepare(load(str(self.file)), configuration.host, self.bench.reactor, {})
            change = listeners.plan(prepared.source, prepared.endpoints)
            self.assertEqual((lost, moved), (sorted(change.displaced.lost), sorted(change.displaced.moved)), text)
            change.abandon()

    def test_all_at_the_end(self) -> None:
        """Whatever a reload brought is closed at the end."""
        self.start()
        self.reload(BASE.replace("3129", "4000"))

        self.stop()

        self.assertTrue(all(each.is_closed and each.port.is_closing for each in self.bench.bound))


class Failures(ReloadCase):
    """What cannot be used changes nothing."""

    def test_files(self) -> None:
        """Each kind of fault leaves the old configuration in force."""
        self.start()
        name = os.path.abspath(self.file)
        table = {
            "state = 5\n": f"{name}: state: ",
            "]": f"{name}: line 1",
            BASE + "[guards]\n": f"{name}: guards: unknown key",
            BASE + '[[policy]]\nkind = "nobody"\n': f"{name}: policy[1].kind: ",
            BASE + '[[upstream]]\nname = "a"\nurl = "ftp://x"\n': f"{name}: upstream[0].url: ",
            BASE + '[[route]]\nname = "a"\nvia = "b"\n': f"{name}: route[0].via: ",
            BASE + '[routing]\ndefault = "environment"\n': f"{name}: routing.default: ",
            BASE.replace("tcp:3129", "tcp:x"): f"{name}: listener[1].endpoint: ",
            BASE.replace("tcp:3129", "tcp:1"): f"{name}: listener[1].endpoint: 127.0.0.1:1 is in use",
            BASE.replace("3129:interface=127.0.0.1", "3129"): f"{name}: listener[1].endpoint: is in use by listener "
            "builds of this proxy",
            BASE.replace('3129:interface=127.0.0.1"', '4000"\ntokens = "nowhere"'): f"{name}: listener[1].tokens: ",
            BASE.replace('127.0.0.1"\n', '127.0.0.1"\ntls.certificate = "no"\n', 1): f"{name}: listener[0].tls.",
        }
        for text, start in table.items():
            self.assertTrue(self.fails(text).startswith(start), f"{start}: {self.supervisor.configuration.problem}")
        self.assertTrue(self.admits("http://a.example/"))

    def test_no_file(self) -> None:
        """A file that is gone is one of them; once it is back, it is read."""
        self.start()
        self.file.unlink()
        self.assertRaises(ConfigError, self.supervisor.reload)
        self.assertIn("No such file", self.supervisor.configuration.problem)
        self.assertIn("the last reload failed", self.supervisor.status())

        self.assertEqual(2, self.reload(BASE).generation)

        self.assertEqual("", self.supervisor.configuration.problem)
        self.assertNotIn("failed", self.supervisor.status())

    def test_no_descriptors(self) -> None:
        """A listener that was bound and cannot be served is closed again."""
        self.start()
        self.bench.is_broken = True

        error = self.fails(BASE.replace("3129", "4000"))

        self.assertIn("a new one cannot be served: Too many open files", error)
        self.assertTrue(self.bench.bound[-1].is_closed)

    def test_limits_that_descriptors_do_not_permit(self) -> None:
        """A reload is fitted into the descriptors too, with a warning; too few of them leave the old one in force."""
        self.start()
        configuration = self.supervisor.configuration
        available = [1_024]
        configuration.budget = budget = DescriptorBudget(lambda: available[0])

        done = self.reload(BASE + "[limits]\nconnections = 5000\n")

        self.assertEqual(250, self.supervisor.server.limits.connections)
        self.assertEqual(250, self.supervisor.server.connections.limits.connections)
        self.assertIn("limits.connections = 250 (not 5000)", done.warnings[-1])
        self.assertEqual(768, budget.ceiling.number)
        available[0] = 60
        self.assertIn("60 descriptors (RLIMIT_NOFILE) permit no proxy", self.fails(BASE))
        self.assertEqual((250, 768), (self.supervisor.server.limits.connections, budget.ceiling.number))
        available[0] = 65_536
        self.assertEqual((), self.reload(BASE).warnings)
        self.assertEqual(8_192, self.supervisor.server.limits.connections)

    def test_two_of_which_one_fails(self) -> None:
        """Where one of two new listeners cannot be bound, the other one is closed again."""
        self.start()
        more = '[[listener]]\nname = "{}"\nendpoint = "tcp:{}:interface=127.0.0.1"\n'

        self.fails(more.format("x", 4000) + more.format("y", 1) + BASE)

        self.assertEqual((3, True), (len(self.bench.bound), self.bench.bound[-1].is_closed))


class Life(ReloadCase):
    """Signals, the service manager, the control socket, and the end."""

    def test_service_manager(self) -> None:
        """The service manager hears of the beginning and of the end, well or not."""
        supervisor = self.start()
        manager = supervisor.notifier
        assert isinstance(manager, Manager)
        del manager.told[:]

        self.reload(BASE)
        self.fails("state = 5\n")

        self.assertEqual(
            ["reloading", "ready", "reloading", "ready"], [told.partition(":")[0] for told in manager.told]
        )
        self.assertIn("2 listeners, 1 policy, 1 rule", manager.told[1])
        self.assertIn("the last reload failed", manager.told[3])

    def test_hang_up(self) -> None:
        """SIGHUP opens the audit log anew and reads the file, and a file that cannot be used does no harm."""
        supervisor = self.start()
        reopened: list[bool] = []
        self.patch(supervisor._audit_log, "reopen", lambda: reopened.append(True))
        self.file.write_text(BASE.replace("a.example", "b.example"), "utf-8")
        supervisor._hang_up()
        self.assertTrue(self.admits("http://b.example/"))
        self.file.write_text("]", "utf-8")

        supervisor._hang_up()

        self.assertEqual([True, True], reopened)
        self.assertTrue(self.admits("http://b.example/"))

    def test_control(self) -> None:
        """The control socket knows how to reload."""
        supervisor = self.start()
        assert supervisor._control is not None

        answer = supervisor._control.commands["reload"]({"do": "reload"})

        self.assertEqual({"generation": 2, "changed": [], "weaker": [], "warnings": []}, answer)

    def test_while_it_stops(self) -> None:
        """A reload while the proxy stops is refused, and SIGHUP does nothing worse."""
        supervisor = self.start()
        for each in self.bench.bound:
            each.port.closing.callback(None)
        stopped = supervisor.stopService()

        self.assertRaises(ControlRefused, supervisor.reload)
        supervisor._hang_up()

        self.assertEqual(1, supervisor.server.gate.snapshot.generation)
        self.bench.reactor.pump([0.1] * 20)
        self.successResultOf(stopped)

    def test_many_times(self) -> None:
        """A hundred reloads leave no more behind than one."""
        self.start()
        for at in range(100):
            self.assertEqual(at + 2, self.reload(BASE.replace("3129", str(4000 + at % 2))).generation)

        self.assertEqual(2, sum(not each.is_closed for each in self.bench.bound))
        self.bench.reactor.advance(0.1)
        # The wheel's and the observers' call, and the audit log's own.
        self.assertLess(len(self.bench.reactor.getDelayedCalls()), 6)
