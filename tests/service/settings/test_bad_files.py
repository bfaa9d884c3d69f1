"""Faulty configuration files: each gives one line with the place and the fault, without a traceback."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main
from egress.config import structure
from egress.errors import ConfigError
from egress.service.dry_run import make_dry_run
from egress.service.settings.settings import Settings
from egress.service.settings.source import load
from tests.service.walk import POLICIES, all_keys

LISTENER = '[[listener]]\nname = "a"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
POLICY = '[[policy]]\nkind = "destinations"\n'
ALLOW = POLICY + '[[policy.allow]]\nhosts = ["a.example"]\n'

# What stands in the file, and how the error begins, behind the file's name.
CONTENTS: list[tuple[bytes | str, str]] = [
    # Not text, or not TOML.
    (b"\xff\xfe[\x00g\x00", "line 1: begins with a byte order mark"),
    (b"\xef\xbb\xbf[guard]\n", "line 1: begins with a byte order mark"),
    (b"[guard]\nenabled = \xe9\n", "line 2: is not UTF-8"),
    (b"state = '\x00'\n", "line 1, column 10: is not TOML"),
    (b"\x00", "line 1, column 1: is not TOML"),
    (b"\x7fELF\x02\x01\x01" + bytes(100), "line 1, column 1: is not TOML"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "line 1: is not UTF-8"),
    ('{"state": "/x"}', "line 1, column 1: is not TOML"),
    ("state: /x\n", "line 1, column 6: is not TOML"),
    ("<settings/>", "line 1, column 1: is not TOML"),
    ("state = '/x'\rengine = 'auto'\r", "line 1, column 13: is not TOML"),
    ("state = \n", "line 1, column 9: is not TOML"),
    ("state = '/x", "end of document: is not TOML"),
    ("[guard\n", "line 1, column 7: is not TOML"),
    ("[guard]\n[guard]\n", "line 2, column 7: is not TOML"),
    ("state = '/x'\nstate = '/y'\n", "line 2, column "),
    ("[[guard]]\n[guard]\n", "line 2, column 7: is not TOML"),
    ("a = " + "[" * 5000, "is nested too deeply"),
    ("a = " + "[" * 100 + "]" * 100 + "\n", "a: unknown key"),
    ("a." * 5000 + "b = 1\n", "a: unknown key"),
    ("n = " + "9" * 5000 + "\n", "holds a number that is too long"),
    (b"#" * (4 * 1024 * 1024 + 1), "is longer than 4 MiB"),
    # The wrong type, at every table.
    ("state = 5\n", "state: must be a string, not a whole number"),
    ("state = []\n", "state: must be a string, not an array"),
    ("state = 2026-01-01\n", "state: must be a string, not a date or time"),
    ('state = "\\u0000"\n', "state: no path holds a NUL"),
    ("engine = true\n", 'engine: must be "auto" or "twisted"'),
    ('engine = "fast"\n', 'engine: must be "auto" or "twisted", not "fast"'),
    ("listener = 5\n", "listener: must be an array"),
    ("listener = {}\n", "listener: must be an array"),
    ("listener = [5]\n", "listener[0]: must be a table"),
    ("listener = []\n", "listener: names no listener"),
    ("[listener]\nname = 'a'\n", "listener: must be an array"),
    ("[[listener]]\n", "listener[0].name: is missing"),
    ("[[listener]]\nname = 'a'\n", "listener[0].endpoint: is missing"),
    ("[[listener]]\nname = ''\nendpoint = 'tcp:0'\n", "listener[0].name: must be 1 to 64 printable"),
    ("[[listener]]\nname = 'a\\nb'\nendpoint = 5\n", "listener[0].endpoint: must be a string"),
    (LISTENER + "port = 3128\n", "listener[0].port: unknown key"),
    (LISTENER + LISTENER, "listener[1].name: listener[0] is called 'a' already"),
    (LISTENER.replace("tcp:0", "tcp:99999"), "listener[0].endpoint: must be tcp:PORT"),
    (LISTENER.replace("tcp:0", "ssl:0"), "listener[0].endpoint: must begin with tcp:"),
    (LISTENER + "tls = 5\n", "listener[0].tls: must be a table"),
    (LISTENER + 'tls.key = "k"\n', "listener[0].tls.key: means nothing without `certificate`"),
    (LISTENER + 'require = "password"\n', "listener[0].require: must be "),
    (LISTENER + 'require = "basic"\n', 'listener[0].require: "basic" needs `tokens`'),
    (LISTENER + 'tokens = "/nowhere"\n', "listener[0].tokens: "),
    (LISTENER + 'via = "nowhere"\n', 'listener[0].via: must be "direct"'),
    ("upstream = 5\n", "upstream: must be an array"),
    ("[[upstream]]\n", "upstream[0].name: is missing"),
    ("[[upstream]]\nname = 'a'\nurl = 'socks4://a'\n", "upstream[0].url: "),
    ("[[upstream]]\nname = 'direct'\nurl = 'http://a'\n", "upstream[0].name: is a word that means a route"),
    ("[[upstream]]\nname = 'a'\nurl = 'http://a'\n" * 2, "upstream[1].name: upstream[0] is called 'a' already"),
    ("[[upstream]]\nname = 'a'\nurl = 'http://a'\nthrough = 'a'\n", "upstream[0].through: goes round in a circle"),
    ("route = 5\n", "route: must be an array"),
    ("[[route]]\nname = 'a'\n", "route[0].via: is missing"),
    ("[[route]]\nname = 'a'\nvia = 'direct'\nhosts = []\n", "route[0].hosts: is empty"),
    ("[[route]]\nname = 'a'\nvia = 'direct'\nports = ['x']\n", "route[0].ports[0]: "),
    ("routing = 5\n", "routing: must be a table"),
    ("[routing]\ndirect = 'perhaps'\n", "routing.direct: must be "),
    ("policy = 5\n", "policy: must be an array"),
    ("policy = [5]\n", "policy[0]: must be a table"),
    ("[policy]\nkind = 'destinations'\n", "policy: must be an array"),
    ("[[policy]]\n", "policy[0].kind: is missing"),
    ("[[policy]]\nkind = 5\n", "policy[0].kind: must be a string"),
    ("[[policy]]\nkind = 'magic'\n", "policy[0].kind: no plugin makes policies of kind 'magic'"),
    (POLICY + POLICY, "policy[0].name: is missing"),
    (POLICY + "name = 'a'\n" + POLICY + "name = 'a'\n", "policy[1].name: policy[0] is called 'a' already"),
    (POLICY + "mode = 'off'\n", 'policy[0].mode: must be "enforce" or "audit"'),
    (POLICY + "allow = 5\n", "policy[0].allow: must be an array"),
    (POLICY + "allows = []\n", "policy[0].allows: unknown key (did you mean 'allow'?)"),
    (POLICY + "[[policy.allow]]\n", "policy[0].allow[0].hosts: is missing"),
    (POLICY + "[[policy.allow]]\nhosts = []\n", "policy[0].allow[0].hosts: is empty"),
    (POLICY + "[[policy.allow]]\nhosts = 'a.example'\n", "policy[0].allow[0].hosts: must be an array"),
    (POLICY + "[[policy.allow]]\nhosts = [5]\n", "policy[0].allow[0].hosts[0]: must be a string"),
    (POLICY + "[[policy.allow]]\nhosts = ['*']\n", "policy[0].allow[0].hosts[0]: "),
    (ALLOW + "ports = [0]\n", "policy[0].allow[0].ports[0]: a port is a number from 1 to 65535"),
    (ALLOW + "ports = [true]\n", "policy[0].allow[0].ports[0]: must be a whole number or a string"),
    (ALLOW + "methods = []\n", "policy[0].allow[0].methods: is empty"),
    (ALLOW + "methods = ['get']\n", "policy[0].allow[0].methods[0]: a method is a word in capitals"),
    (ALLOW + "paths = ['x']\n", "policy[0].allow[0].paths[0]: a path begins with"),
    (ALLOW + "clients = ['me']\n", "policy[0].allow[0].clients[0]: must be "),
    (ALLOW + "addresses = ['10.0.0.1/8']\n", "policy[0].allow[0].addresses[0]: "),
    ("[[policy]]\nkind = 'rate'\n", "policy[0]: limits nothing"),
    ("[[policy]]\nkind = 'rate'\nconnections = 0\n", "policy[0].connections: must be at least 1"),
    ("guard = false\n", "guard: must be a table, not true or false"),
    ("[guard]\nenabled = 'no'\n", "guard.enabled: must be true or false, not a string; write it without quotes"),
    ("[guard]\nenable = false\n", "guard.enable: unknown key (did you mean 'enabled'?)"),
    ("dns = 5\n", "dns: must be a table"),
    ("[dns]\nconcurrent = 0\n", "dns.concurrent: must be between"),
    ("[dns]\nconcurrent = 1.5\n", "dns.concurrent: must be a whole number, not a number"),
    ("[tls]\nech = 'allow'\n", 'tls.ech: must be "record" or "refuse", not "allow"'),
    ("[tls]\nsni = 'off'\n", 'tls.sni: must be "enforce" or "record", not "off"'),
    ("limits = []\n", "limits: must be a table"),
    ("[limits]\nconnections = -1\n", "limits.connections: must be between"),
    ("[limits]\nidle_seconds = inf\n", "limits.idle_seconds: must be a finite number"),
    ("[limits]\nidle_seconds = nan\n", "limits.idle_seconds: must be a finite number"),
    ("[limits]\nidle_seconds = 1e400\n", "limits.idle_seconds: must be a finite number"),
    ("[limits]\nidle = 5\n", "limits.idle: unknown key"),
    ("[audit]\nto = []\n", "audit.to: must name at least one"),
    ("[audit]\nto = ['file', 'file']\n", "audit.to: names a sink twice"),
    ("[audit]\nto = ['syslog']\n", "audit.to[0]: must be "),
    ("[audit]\nfile = ''\n", "audit.file: must be a file name"),
    ("status = 5\n", "status: must be a table"),
    ("[status]\nendpoint = 'here'\n", "status.endpoint: must begin with"),
    # Keys that only look like ours, and values that must not be repeated.
    ("[Guard]\n", "Guard: unknown key (did you mean 'guard'?)"),
    ("'guard ' = 1\n", '"guard ": unknown key'),
    ("'a\\nb' = 1\n", '"a\\\\nb": unknown key'),
    ('"\\u202e" = 1\n', '"\\u202e": unknown key'),
    ('"' + "k" * 5000 + '" = 1\n', ""),
]

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=8), st.just("a.example")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


class BadFileCase(SynchronousTestCase):
    """Holds errors to their form."""

    def refuse(self, name: str) -> str:
        """Build what would be started, which cannot be done, and give the error behind the file's name."""
        error = self.assertRaises(ConfigError, lambda: make_dry_run(load(name), MemoryReactorClock()))
        text = str(error)
        self.assertTrue(text.startswith(f"{name}: "), text)
        self.assertEqual(1, len(text.splitlines()), text)
        self.assertTrue(text.isprintable(), text)
        self.assertLess(len(text), len(name) + 600, text)
        return text.removeprefix(f"{name}: ")


class Contents(BadFileCase):
    """What stands in the file."""

    def test_table(self) -> None:
        """Each is refused with the file's name, the place and what would be right."""
        name = self.mktemp()
        for content, start in CONTENTS:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
            said = self.refuse(name)
            self.assertTrue(said.startswith(start), f"{content[:80]!r}: {said}")

    def test_command(self) -> None:
        """`egress check` says the same, and no traceback, with status 1."""
        name = self.mktemp()
        for content, start in CONTENTS[::7]:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
            result = CliRunner().invoke(main, ["check", name])
            self.assertEqual((1, SystemExit), (result.exit_code, type(result.exception)), result.output)
            self.assertIn(f"egress: {name}: {' '.join(start.split())[:60]}", result.output)

    @given(st.sampled_from(sorted(key.path for key in all_keys())), VALUES)
    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    def test_any_value_at_any_key(self, path: str, value: Any) -> None:
        """Whatever stands at a key is taken or refused in one line."""
        first, *rest = path.split(".")
        kind: type[Any] = POLICIES.get(first.removesuffix("[]"), Settings)
        table: Any = value
        for part in reversed(rest if kind is not Settings else [first, *rest]):
            table = {part.removesuffix("[]"): [table] if part.endswith("[]") else table}
        try:
            structure(kind, table)
        except ConfigError as error:
            self.assertEqual(1, len(str(error).splitlines()), str(error))
            self.assertTrue(str(error).isprintable(), str(error))


class Files(BadFileCase):
    """What stands in the file's place."""

    def test_what_is_no_file(self) -> None:
        """A directory, a FIFO, a device, a socket, nothing: refused at once, and nothing is waited for."""
        directory, fifo, missing, place, link = (self.mktemp() for _ in range(5))
        os.mkdir(directory)
        os.mkfifo(fifo)
        os.symlink(os.path.basename(link), link)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(place)
            for name, start in {
                directory: "is not a regular file",
                fifo: "is not a regular file",
                "/dev/null": "is not a regular file",
                "/dev/zero": "is not a regular file",
                "/dev/tty": "",
                missing: "cannot be read: No such file or directory",
                place: "cannot be read: No such device or address",
                link: "cannot be read: Too many levels of symbolic links",
                f"{directory}/{'x' * 300}": "cannot be read: File name too long",
            }.items():
                said = self.refuse(name)
                self.assertTrue(said.startswith(start), said)

    def test_unreadable(self) -> None:
        """A file that may not be read is refused."""
        name = self.mktemp()
        Path(name).write_text("")
        os.chmod(name, 0)
        if os.access(name, os.R_OK):
            name = "/proc/self/mem"
        self.assertIn("cannot be read: ", self.refuse(name))

    def test_names_that_are_none(self) -> None:
        """A name with a NUL is none; the error does not hold it."""
        error = self.assertRaises(ConfigError, load, "a\0b")
        self.assertEqual("a?b: is not a file name", str(error))
