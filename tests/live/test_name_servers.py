"""Name servers that lose questions, answer some never, or are dead; and clients whose names are slow."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from tests.live.certificates import CertificateAuthority
from tests.live.name_server import LiveNameServer
from tests.live.routes.client import Answer, ask
from tests.live.routes.namespaces import Namespace, needs_networks
from tests.live.support import LiveCase, Supervisor, await_that
from tests.upstream.dns.server import Record

SERVER, DEAD, CLOSED = "127.0.0.1", "127.0.0.77", "127.0.0.99"
SHARE = 16
"""What one client has of the look-ups."""
PROXY_PORT = 3128
PROXY_NAME = "proxy.corp.test"

RULES = """
[[policy]]
kind = "destinations"

[[policy.allow]]
name = "by name"
hosts = ["*.test"]
ports = ["1-65535"]
addresses = ["127.0.0.0/8"]
clients = ["listener:agents", "listener:greedy"]

[[policy.allow]]
name = "by the proxy"
hosts = ["any.test"]
ports = ["1-65535"]
clients = ["listener:corporate"]

[limits]
drain_seconds = 1
"""

CONFIGURATION = f"""
[[listener]]
name = "agents"
endpoint = "tcp:0:interface=127.0.0.1"

[[listener]]
name = "greedy"
endpoint = "tcp:0:interface=127.0.0.1"

[[listener]]
name = "corporate"
endpoint = "tcp:0:interface=127.0.0.1"
via = "corp"

[[upstream]]
name = "corp"
url = "http://{PROXY_NAME}:{PROXY_PORT}"
dns = "remote"
{RULES}"""


class Zone:
    """What the names of the tests are like, by how they begin.

    Attributes:
        seen: how often each name and type was asked for.
        knows_proxy: whether questions for the proxy's name are answered.
    """

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.knows_proxy = True

    def __call__(self, name: str, kind: str) -> Sequence[Record] | str | None:
        """Answer."""
        self.seen[name, kind] += 1
        if name.startswith("slow") or (name == PROXY_NAME and not self.knows_proxy):
            return None
        if name.startswith("lost") and self.seen[name, kind] == 1:
            return None
        if name.startswith("dropped") and kind == "AAAA":
            return None
        if name.startswith("gone"):
            return "NXDOMAIN"
        if name.startswith("failing"):
            return "SERVFAIL"
        if kind == "AAAA":
            return []
        if name.startswith("long"):
            return [("A", "127.0.0.1")] + [("A", f"127.0.1.{number}") for number in range(1, 60)]
        return [("A", "127.0.0.1")]

    def slow(self) -> int:
        """Count the slow names that were asked for."""
        return len({name for name, _ in list(self.seen) if name.startswith("slow")})


class Proxy(BaseHTTPRequestHandler):
    """An upstream proxy that answers every request itself."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"proxy")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class NameServersCase(LiveCase):
    """A supervisor in a network of its own, with name servers of the test's.

    Attributes:
        namespace: of the class.
        zone: what its name server answers.
        resolv_conf: what the machine knows of name servers.
        settings: more of the configuration.
    """

    namespace: ClassVar[Namespace]
    zone: ClassVar[Zone]
    resolv_conf: ClassVar[str] = f"nameserver {SERVER}\n"
    settings: ClassVar[str] = ""
    _shared: ClassVar[ExitStack]

    def setUp(self) -> None:
        """Look for what it takes, and enter the network."""
        needs_networks()
        super().setUp()
        there = ExitStack()
        there.enter_context(self.namespace.entered())
        self.addCleanup(there.close)

    def start_shared(self) -> None:
        """Start the network, its name servers, a proxy and the supervisor."""
        kind, directory = type(self), self.directory()
        kind.authority = CertificateAuthority(directory)
        kind._shared = ExitStack()
        with ExitStack() as until_made:
            until_made.callback(kind._shared.close)
            kind.namespace = Namespace()
            kind._shared.callback(kind.namespace.stop)
            self._show(directory, "/etc/hosts", "127.0.0.1 localhost\n")
            self._show(directory, "/etc/resolv.conf", self.resolv_conf)
            self._show(directory, "/etc/nsswitch.conf", "hosts: files dns\n")
            kind.zone = Zone()
            with self.namespace.entered():
                server = LiveNameServer(SERVER, kind.zone)
                kind._shared.callback(server.stop)
                # It takes questions, and reads none.
                dead = kind._shared.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                dead.bind((DEAD, 53))
                proxy = ThreadingHTTPServer(("127.0.0.1", PROXY_PORT), Proxy)
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            kind._shared.callback(proxy.server_close)
            kind._shared.callback(proxy.shutdown)
            configuration = CONFIGURATION + self.settings
            kind.supervisor = Supervisor(directory, configuration, within=self.namespace.words())
            until_made.pop_all()

    def _show(self, directory: Path, place: str, text: str) -> None:
        path = directory / place.rpartition("/")[2]
        path.write_text(text, "ascii")
        self.namespace.show_file(path, place)

    def stop_shared(self) -> None:
        """End the supervisor and what is around it."""
        with self._shared:
            super().stop_shared()

    def get(self, name: str, listener: str = "agents") -> Answer:
        """Ask for a page of an origin under a name."""
        return ask(self.supervisor.port_of(listener), "http", f"{name}:{self.origin().port}")

    def assert_reached(self, name: str, listener: str = "agents") -> None:
        """Ask for a page, and get it."""
        answer = self.get(name, listener)
        self.assertEqual(200, answer.status, answer.text)

    def refusal_of(self, name: str) -> tuple[int, str, str]:
        """Ask for a page, and give the refusal."""
        answer = self.get(name)
        return answer.status, answer.problem["code"], answer.problem["reason"]


class FaultTests(NameServersCase):
    """One name server, which has faults."""

    def test_lost_datagram(self) -> None:
        """A question that is lost is asked again in time."""
        self.assert_reached("lost.test")

    def test_aaaa_is_never_answered(self) -> None:
        """A name server that drops questions for IPv6 is none that fails."""
        self.assert_reached("dropped.test")

    def test_answer_by_tcp(self) -> None:
        """An answer that is too long for a datagram is read whole."""
        name = "long.test"
        self.assert_reached(name)

        self.assertEqual(2, self.zone.seen[name, "A"])

    def test_reasons(self) -> None:
        """Each failure has its code and its reason."""
        self.assertEqual((502, "name_not_found", "The host name does not exist."), self.refusal_of("gone.test"))
        self.assertEqual((502, "resolver_failed", "A name server answered SERVFAIL."), self.refusal_of("failing.test"))
        self.assertEqual(
            (504, "resolver_timeout", "The resolver did not answer in time."), self.refusal_of("slow.test")
        )


class DeadFirstTests(NameServersCase):
    """The first name server takes questions and never answers."""

    resolv_conf: ClassVar[str] = f"nameserver {DEAD}\nnameserver {SERVER}\n"

    def test_dead_first_server(self) -> None:
        """The next one is asked in time, for each name."""
        for number in range(3):
            self.assert_reached(f"fine{number}.test")


class ClosedFirstTests(NameServersCase):
    """Nothing listens at the address of the first name server, and the kernel says so."""

    resolv_conf: ClassVar[str] = f"nameserver {CLOSED}\nnameserver {SERVER}\n"

    def test_closed_first_server(self) -> None:
        """The next one is asked."""
        self.assert_reached("fine.test")


class NobodyTests(NameServersCase):
    """There is no name server at all."""

    resolv_conf: ClassVar[str] = f"nameserver {CLOSED}\n"

    def test_nobody(self) -> None:
        """The refusal says so."""
        self.assertEqual((502, "resolver_failed", "A name server cannot be reached."), self.refusal_of("fine.test"))


class SharesCase(NameServersCase):
    """One client asks for names that are never answered, all the time.

    Attributes:
        is_stoppable: the names of an earlier test are not looked up any more.
    """

    is_stoppable: ClassVar[bool] = True

    def setUp(self) -> None:
        """Ask for slow names until the name server has seen as many as it will."""
        super().setUp()
        self._greedy = ExitStack()
        self.addCleanup(self._greedy.close)
        before = self.zone.slow()
        for number in range(40):
            client = socket.create_connection(("127.0.0.1", self.supervisor.port_of("greedy")))
            self._greedy.callback(client.close)
            name = f"slow{before + number}.test".encode()
            client.sendall(b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n" % (name, name))
        busy = SHARE + (before if self.is_stoppable else 0)
        await_that(lambda: self.zone.slow() >= busy, lambda: f"{self.zone.slow()} slow names were asked for")


class SharesTests(SharesCase):
    """The others, meanwhile."""

    def test_names_of_others(self) -> None:
        """New names of another client are looked up."""
        for number in range(3):
            self.assert_reached(f"other{number}.test")

    def test_upstream_proxy(self) -> None:
        """Requests through a proxy that has a name reach it."""
        self.assert_reached("any.test", "corporate")

    def test_a_name_of_both(self) -> None:
        """A name that waits behind slow names of one client is looked up for another one."""
        client = socket.create_connection(("127.0.0.1", self.supervisor.port_of("greedy")))
        self._greedy.callback(client.close)
        client.sendall(b"GET http://shared.test/ HTTP/1.1\r\nHost: shared.test\r\n\r\n")

        self.assert_reached("shared.test")


class StaleTests(NameServersCase):
    """The name of an upstream proxy."""

    settings: ClassVar[str] = "\n[dns]\npositive_seconds = 0.2\nfailure_seconds = 0.1\ntimeout_seconds = 0.5\n"

    def test_kept(self) -> None:
        """A proxy whose name resolves no more is used at its last addresses, and the log says so."""
        self.assert_reached("any.test", "corporate")

        def is_said() -> bool:
            self.assert_reached("any.test", "corporate")
            return words in self.supervisor.said()

        words = "does not resolve any more: proxy.corp.test: the resolver did not answer in time"
        self.zone.knows_proxy = False
        self.addCleanup(setattr, self.zone, "knows_proxy", True)
        await_that(is_said, self.supervisor.said)
        self.assert_reached("any.test", "corporate")

        self.zone.knows_proxy = True
        await_that(lambda: "resolves again: proxy.corp.test" in self.supervisor.said(), self.supervisor.said)


class SystemFaultTests(NameServersCase):
    """The system's resolver, where the configuration asks for it."""

    settings: ClassVar[str] = '\n[dns]\nresolver = "system"\ntimeout_seconds = 15\n'

    def test_lost_datagram(self) -> None:
        """It has tries and deadlines of its own, so it needs a longer one of ours."""
        self.assert_reached("lost.test")


class SystemSharesTests(SharesTests):
    """The system's resolver and slow names: threads have shares too."""

    settings: ClassVar[str] = '\n[dns]\nresolver = "system"\n'
    is_stoppable: ClassVar[bool] = False
