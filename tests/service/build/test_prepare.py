"""The start, a reload, `egress check` and `egress explain` find equal faults."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main
from egress.errors import ConfigError
from egress.service.dry_run import make_dry_run
from egress.service.settings.source import load
from egress.service.supervisor import make_supervisor
from tests.identity.support import QUICK
from tests.service.reload.test_active_configuration import BASE as UNNAMED
from tests.service.reload.test_active_configuration import Bench

BASE = UNNAMED.replace("[[policy]]\n", '[[policy]]\nname = "first"\n')
HERE = "tcp:4000:interface=127.0.0.1"


def listener(*lines: str, endpoint: str = HERE) -> str:
    """Write one more listener."""
    return "\n".join(('[[listener]]\nname = "more"', f'endpoint = "{endpoint}"', *lines, ""))


RULE = '[[policy]]\nname = "more"\nkind = "destinations"\n[[policy.allow]]\nhosts = ["a.example"]\n{}\n'
REMOTE = '[[upstream]]\nname = "far"\nurl = "http://192.0.2.1"\ndns = "remote"\n[routing]\ndefault = "far"\n'

# What is added to a good file, and how its error goes on behind the file's name.
FAULTS: list[tuple[str, str]] = [
    # Reading the file.
    ("]\n", "line 16, column 1: is not TOML"),
    ("[guards]\n", "guards: unknown key (did you mean 'guard'?)"),
    # Endpoints.
    (listener(endpoint="udp:1"), "listener[2].endpoint: must begin with tcp:"),
    (listener(endpoint="tcp:3128:interface=127.0.0.1"), "listener[2].endpoint: listener[0] listens there already"),
    (listener(endpoint="tcp:3129"), "listener[2].endpoint: listener[1] listens there already"),
    ('[status]\nendpoint = "here"\n', "status.endpoint: must begin with tcp:"),
    ('[status]\nendpoint = "tcp6:3129"\n', "status.endpoint: listener[1] listens there already"),
    # Authentication of clients.
    (listener('require = "basic"'), 'listener[2].require: "basic" needs `tokens`'),
    (listener('tokens = "open"', endpoint="tcp:4000"), "listener[2].tokens: "),
    (listener('tokens = "nowhere"'), "listener[2].tokens: its file cannot be read"),
    # Policies.
    ('[[policy]]\nkind = "acme"\n', "policy[1].kind: no plugin makes policies of kind 'acme'"),
    ('[[policy]]\nkind = "rate"\n', "policy[1]: limits nothing"),
    (RULE.format("ports = [0]"), "policy[1].allow[0].ports[0]: a port is a number"),
    # Routes and upstreams.
    ('[[route]]\nname = "a"\nvia = "b"\n', "route[0].via: "),
    ('[routing]\ndefault = "environment"\n', "routing.default: "),
    ('[[upstream]]\nname = "a"\nurl = "https://a"\ncredentials = "/nowhere"\n', "upstream[0].credentials: "),
    ('[[upstream]]\nname = "a"\nurl = "https://a"\nca = "/nowhere"\n', "upstream[0].ca: "),
    # Consistency across tables.
    (RULE.format('addresses = ["10.0.0.0/8"]') + REMOTE, "policy[1].allow[0].addresses: admits nothing: a.example"),
    (RULE.format('clients = ["listener:agnets"]'), "policy[1].allow[0].clients: listener:agnets is no listener"),
    ('[[policy]]\nkind = "rate"\nconnections = 1\nclients = ["listener:x"]\n', "policy[1].clients: listener:x is no"),
    ('[[route]]\nname = "a"\nvia = "direct"\nclients = ["listener:x"]\n', "route[0].clients: listener:x is no"),
    # Certificates of listeners.
    (listener('tls.certificate = "nowhere"'), "listener[2].tls.certificate: "),
    (listener('tls.certificate = "open"'), "listener[2].tls.certificate: "),
]


class SameFaults(SynchronousTestCase):
    """Each kind of fault that needs no socket to be found."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        (self.directory / "open").write_text(f"bob:{QUICK}\n")
        (self.directory / "open").chmod(0o644)
        self.file = self.directory / "egress.toml"
        # The environment must not name proxies, and the tests must not read the developer's state.
        self.patch(os, "environ", {"HOME": str(self.directory), "PATH": os.environ["PATH"]})

    def at_start(self) -> str:
        """Start with the file."""
        return str(self.assertRaises(ConfigError, lambda: make_supervisor(load(str(self.file)), MemoryReactorClock())))

    def at_reload(self) -> str:
        """Reload the file."""
        return str(self.assertRaises(ConfigError, self.running.reload))

    def by_command(self, *arguments: str) -> str:
        """Give what a command prints about the file."""
        result = CliRunner().invoke(main, [*arguments])
        self.assertEqual(("", SystemExit), (result.stdout, type(result.exception)), result.output)
        return result.stderr.removeprefix("egress: ").rstrip("\n")

    def test_one_line(self) -> None:
        """The start, a reload, `egress check` and `egress explain` tell of it in one and the same line."""
        self.file.write_text(BASE, "utf-8")
        self.running = Bench(self.file).make()
        for added, words in FAULTS:
            self.file.write_text(BASE + added, "utf-8")
            line = self.at_start()
            self.assertTrue(line.startswith(f"{self.file}: {words}"), f"{added}: {line}")
            self.assertEqual(line, self.at_reload(), added)
            self.assertEqual(line, self.by_command("check", str(self.file)), added)
            self.assertEqual(line, self.by_command("explain", "--config", str(self.file), "https://a.example"), added)

    def test_first_fault(self) -> None:
        """Of two faults all of them tell of the one that the recipe meets first."""
        self.file.write_text(BASE, "utf-8")
        self.running = Bench(self.file).make()
        self.file.write_text(BASE + listener('tls.certificate = "nowhere"', 'via = "b"'), "utf-8")

        line = self.at_start()

        self.assertIn("listener[2].via: ", line)
        self.assertEqual(line, self.at_reload())
        self.assertEqual(line, self.by_command("check", str(self.file)))

    def test_fixed_tables(self) -> None:
        """A reload refuses a fault in a table that only a start applies, for the next start would fail by it."""
        self.file.write_text(BASE, "utf-8")
        self.running = Bench(self.file).make()
        self.file.write_text(BASE + '[status]\nendpoint = "tcp:3129"\n', "utf-8")

        self.assertIn("status.endpoint: listener[1] listens there already", self.at_reload())

    def test_good_file(self) -> None:
        """A file without a fault is prepared, with every part of it."""
        self.file.write_text(BASE + '[status]\nendpoint = "tcp:0"\n', "utf-8")

        prepared = make_dry_run(load(str(self.file)), MemoryReactorClock(), {}).prepared

        self.assertEqual(2, len(prepared.endpoints))
        self.assertIsNotNone(prepared.status_endpoint)
        self.assertEqual(["first"], [policy.name for policy in prepared.policies])
        self.assertEqual({"agents", "builds"}, set(prepared.identifier.authentication))
        self.assertEqual({}, prepared.tls)
