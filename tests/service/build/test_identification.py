"""Tokens, from the configuration to the request."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.gate.gate import Gate
from egress.identity import Identifier
from egress.proxy.factory import ProxyFactory
from egress.proxy.server import ProxyServer
from egress.service.build.activate import make_snapshot
from egress.service.build.host_services import HostServices
from egress.service.build.identification import (
    check_listener_authentication,
    is_endpoint_local,
    is_socket_local,
    make_identifier,
)
from egress.service.build.prepare import prepare
from egress.service.dry_run import make_dry_run
from egress.service.listen.endpoint import parse_endpoint
from egress.service.listen.sockets import BoundSocket
from egress.service.settings.source import Source, load
from egress.testing import FakeResolver
from egress.testing.audit_log import MemoryAuditLog
from egress.testing.network import Network
from egress.testing.peers import NetworkPeer
from tests.identity.support import OTHER_TOKEN, QUICK, TOKEN, basic, generated_line

ADDRESS = "93.184.216.34"

CONFIGURATION = """
[[listener]]
name = "agents"
endpoint = "tcp:3128:interface=127.0.0.1"
require = "basic"
tokens = "tokens.txt"

[[policy]]
kind = "destinations"
[[policy.allow]]
hosts = ["origin.example"]
clients = ["token:research-*"]
"""


class CallersCase(SynchronousTestCase):
    """A directory with a configuration and a tokens file."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.tokens = self.directory / "tokens.txt"
        self.tokens.write_text(generated_line("research-1") + generated_line("ci", OTHER_TOKEN))

    def load(self, text: str) -> Source:
        """Write a configuration, and read it."""
        file = self.directory / "egress.toml"
        file.write_text(text)
        return load(str(file))


class WholeTests(CallersCase):
    """A proxy server in memory, put together as the supervisor does it."""

    def setUp(self) -> None:
        super().setUp()
        self.network = Network()
        reactor = self.network.reactor
        source = self.load(CONFIGURATION)
        limits = source.settings.limits
        resolver = FakeResolver({"origin.example": ADDRESS})
        host = HostServices(reactor, resolver, resolver)
        prepared = prepare(source, host, reactor, {})
        snapshot = make_snapshot(prepared, host, [("127.0.0.1", 3128)], reactor)
        self.audit_log = MemoryAuditLog()
        server = ProxyServer(
            Gate(snapshot, reactor, limits.policy_seconds),
            prepared.identifier,
            self.audit_log,
            reactor,
            limits,
            now=reactor.seconds,
        )
        server.start()
        self.addCleanup(server.stop)
        self.network.listen("127.0.0.1", 3128, ProxyFactory("agents", server))
        self.heard: list[bytes] = []
        self.network.origin(ADDRESS, 80, self.answer)

    def answer(self, peer: NetworkPeer, data: bytes) -> None:
        """Answer as the origin."""
        self.heard.append(data)
        peer.says(b"HTTP/1.1 204 No Content\r\n\r\n")

    def ask(self, *credentials: bytes) -> NetworkPeer:
        """Ask the proxy for the origin."""
        client = self.network.dial("127.0.0.1", 3128)
        fields = b"".join(b"Proxy-Authorization: " + each + b"\r\n" for each in credentials)
        client.says(b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n" + fields + b"\r\n")
        self.network.settle()
        return client

    def test_a_token_opens_the_server(self) -> None:
        """Rules name its client, the record has it, and the origin never sees it."""
        for credentials in (b"Bearer " + TOKEN.encode(), basic("research-1", TOKEN)):
            self.ask(credentials).heard(b"HTTP/1.1 204 ")

            record = self.audit_log.records[-1]
            self.assertEqual("agents/token:research-1", record.client.key)
            self.assertIn("token:research-1", record.client.labels)
        self.assertEqual(2, len(self.heard))
        for data in self.heard:
            self.assertNotIn(b"authorization", data.lower())

    def test_rules_tell_tokens_apart(self) -> None:
        """A right token is not yet an allowed request."""
        self.ask(b"Bearer " + OTHER_TOKEN.encode()).heard(b"HTTP/1.1 403 ")

        self.assertEqual("agents/token:ci", self.audit_log.records[-1].client.key)

    def test_no_token_and_a_wrong_one(self) -> None:
        """Both are asked for credentials, and nothing goes out."""
        for credentials in ((), (b"Bearer egr_wrong",)):
            client = self.ask(*credentials)

            client.heard(b"HTTP/1.1 407 ")
            self.assertIn(b"\r\nProxy-Authenticate: Basic ", client.received)
        self.assertEqual([], self.heard)

    def test_new_token(self) -> None:
        """A token that is added to the file holds without a restart."""
        self.tokens.write_text(generated_line("research-2", OTHER_TOKEN))
        self.network.advance(1)

        self.ask(b"Bearer " + OTHER_TOKEN.encode()).heard(b"HTTP/1.1 204 ")
        self.ask(b"Bearer " + TOKEN.encode()).heard(b"HTTP/1.1 407 ")


class SettingsTests(CallersCase):
    """What is found before anything is served."""

    def make(self, *lines: str, is_local: bool = True) -> Identifier:
        """Build the identifier of one listener."""
        text = "\n".join(('[[listener]]\nname = "agents"\nendpoint = "tcp:3128:interface=0.0.0.0"', *lines))
        source = self.load(text)
        try:
            check_listener_authentication(source, [is_local])
            return make_identifier(source, Network().reactor)
        except ConfigError as error:
            raise source.place(error)

    def test_faults(self) -> None:
        """Each names the file and the key, or the tokens file and its line."""
        wrong = self.directory / "wrong.txt"
        wrong.write_text("# fine\nhunter2")
        tokens = 'tokens = "tokens.txt"'
        for lines, is_local, words in (
            (['require = "basic"'], True, "egress.toml: listener[0].require: "),
            (['require = "certificate"'], True, "egress.toml: listener[0].require: "),
            (["allow_plaintext_tokens = true"], True, "egress.toml: listener[0].allow_plaintext_tokens: "),
            ([tokens], False, "egress.toml: listener[0].tokens: "),
            (['tokens = "gone.txt"'], True, "egress.toml: listener[0].tokens: its file cannot be read"),
            (['tokens = "wrong.txt"'], True, "wrong.txt: line 2: is not `name:hash`"),
        ):
            with self.assertRaises(ConfigError) as caught:
                self.make(*lines, is_local=is_local)
            self.assertIn(words, str(caught.exception))
            self.assertNotIn("hunter2", str(caught.exception))

    def test_consent(self) -> None:
        """Tokens in the clear are taken where the operator says so."""
        identifier = self.make('tokens = "tokens.txt"', "allow_plaintext_tokens = true", is_local=False)

        tokens = identifier.authentication["agents"].tokens
        assert tokens is not None
        self.assertEqual(2, tokens.current().count)

    def test_one_file_for_two(self) -> None:
        """Two listeners with one file are looked after together."""
        text = "".join(
            f'[[listener]]\nname = "{name}"\nendpoint = "unix:/run/{name}"\ntokens = "tokens.txt"\n' for name in "ab"
        )

        authentication = make_identifier(self.load(text), Network().reactor).authentication

        self.assertIs(authentication["a"].tokens, authentication["b"].tokens)

    def test_check(self) -> None:
        """`egress check` finds a tokens file that cannot be used."""
        self.tokens.write_text(f"bob:{QUICK}\n")
        self.tokens.chmod(0o644)

        with self.assertRaises(ConfigError) as caught:
            make_dry_run(self.load(CONFIGURATION), Network().reactor, {})

        self.assertIn("open to every user", str(caught.exception))

    def test_who_can_reach_it(self) -> None:
        """Loopback addresses and unix sockets are of this machine; what is handed over is known when it is there."""
        endpoints = (
            ("tcp:1:interface=127.0.0.1", True),
            ("tcp:1:interface=127.9.9.9", True),
            ("tcp6:1:interface=\\:\\:1", True),
            ("unix:/run/a", True),
            ("systemd:a", True),
            ("tcp:1", False),
            ("tcp6:1", False),
            ("tcp:1:interface=192.0.2.1", False),
        )
        for text, is_local in endpoints:
            self.assertEqual(is_local, is_endpoint_local(parse_endpoint(text, "here")), text)

    def test_what_is_bound(self) -> None:
        """The socket's own address says it."""
        owns = (None, ("127.0.0.1", 1), ("::1", 1), ("0.0.0.0", 1), ("::", 1), ("192.0.2.1", 1))
        sockets = [BoundSocket("a", None, "", own) for own in owns]  # type: ignore[arg-type]  # it is not looked at

        self.assertEqual([True, True, True, False, False, False], [*map(is_socket_local, sockets)])
