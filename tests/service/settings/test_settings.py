"""The whole file's settings, and what options add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.settings.settings import DEFAULT_ENDPOINT, Settings, Source, is_mute, load


class SettingsCase(SynchronousTestCase):
    """Loads settings from files."""

    def load(self, text: str | None = None, allow: Sequence[str] = (), listen: Sequence[str] = ()) -> Source:
        """Load a file with this text, or none."""
        self.name: str | None = None
        if text is not None:
            self.name = self.mktemp()
            Path(str(self.name)).write_text(text, "utf-8")
        return load(self.name, allow, listen)

    def fault(self, text: str | None = None, allow: Sequence[str] = (), listen: Sequence[str] = ()) -> str:
        """Load what cannot be loaded.

        Returns:
            The error without the file's name.
        """
        error = self.assertRaises(ConfigError, self.load, text, allow, listen)
        self.assertEqual(self.name or "", error.file)
        return f"{error.where}: {error.problem}"


class FileTests(SettingsCase):
    """What stands in a file."""

    def test_defaults(self) -> None:
        """Without a file: one listener on the loopback address, the guard on, and nothing allowed."""
        settings = self.load().settings

        self.assertEqual([("default", DEFAULT_ENDPOINT)], [(each.name, each.endpoint) for each in settings.listener])
        self.assertTrue(settings.guard.enabled)
        self.assertEqual((), settings.policy)
        self.assertTrue(is_mute(settings))

    def test_empty_file(self) -> None:
        """An empty file is the defaults."""
        self.assertEqual(Settings(), self.load("").settings)

    def test_unknown_table(self) -> None:
        """A table that nobody reads is an error."""
        self.assertIn("limit: unknown key (did you mean 'limits'?)", self.fault("[limit]\nhead_bytes = 4096\n"))

    def test_nested_key(self) -> None:
        """An error in a table names the table and the key."""
        self.assertIn("limits.head_bytes: must be between", self.fault("[limits]\nhead_bytes = 1\n"))

    def test_bounds_are_spelled_out(self) -> None:
        """A large bound is a plain number."""
        self.assertIn("between 0.05 and 31536000", self.fault("[limits]\nhead_seconds = 0\n"))

    def test_state_is_a_path(self) -> None:
        """What no path can hold is told as an error of the file, not as a traceback."""
        self.assertIn("state: no path holds a NUL", self.fault('state = "a\\u0000b"\n'))

    def test_listeners(self) -> None:
        """Listeners need a name and an endpoint, and names are unique."""
        self.assertIn("listener[0].name: is missing", self.fault('[[listener]]\nendpoint = "tcp:1"\n'))
        self.assertIn("listener[0].endpoint: is missing", self.fault('[[listener]]\nname = "a"\n'))
        twice = '[[listener]]\nname = "a"\nendpoint = "tcp:1"\n' * 2
        self.assertIn("listener[1].name: listener[0] is called 'a' already", self.fault(twice))
        self.assertIn("listener[0].name: must be 1 to 64", self.fault('[[listener]]\nname = ""\nendpoint = "tcp:1"\n'))
        self.assertIn("listener: names no listener", self.fault("listener = []\n"))

    def test_mute(self) -> None:
        """It is known where plainly nothing is allowed, and not claimed where a plugin might allow."""
        self.assertTrue(is_mute(self.load('[[policy]]\nkind = "rate"\nconnections = 1\n').settings))
        self.assertTrue(
            is_mute(self.load('[[policy]]\nkind = "destinations"\n[[policy.deny]]\nhosts = ["a"]\n').settings)
        )
        self.assertFalse(is_mute(self.load('[[policy]]\nkind = "acme"\n').settings))
        self.assertFalse(is_mute(self.load(allow=["a.example"]).settings))


class OptionTests(SettingsCase):
    """`--allow` and `--listen`."""

    def rules(self, *allow: str) -> list[dict[str, object]]:
        """Give the rules that are made of options."""
        (table,) = self.load(allow=allow).settings.policy
        self.assertEqual(("destinations", "allow-option"), (table["kind"], table["name"]))
        rules = table["allow"]
        assert isinstance(rules, list)
        return rules

    def test_hosts(self) -> None:
        """A host is a name, a pattern, an address or a network, with or without a port."""
        for said, host, port in (
            ("api.example.com", "api.example.com", None),
            ("api.example.com:8443", "api.example.com", 8443),
            ("*.example.com", "*.example.com", None),
            ("**.example.com:443", "**.example.com", 443),
            ("192.0.2.1:80", "192.0.2.1", 80),
            ("192.0.2.0/24", "192.0.2.0/24", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]:443", "2001:db8::1", 443),
            ("[2001:db8::1]", "2001:db8::1", None),
        ):
            wanted: dict[str, object] = {"name": said, "hosts": [host]}
            if port is not None:
                wanted["ports"] = [port]
            self.assertEqual([wanted], self.rules(said))

    def test_localhost_opens_itself(self) -> None:
        """Who allows localhost on the command line means this machine."""
        for said in ("localhost:8000", "LOCALHOST.:8000", "app.localhost:8000"):
            (rule,) = self.rules(said)
            self.assertEqual(["127.0.0.0/8", "::1/128"], rule["addresses"], said)
        self.assertNotIn("addresses", self.rules("localhost.example")[0])

    def test_bad_hosts(self) -> None:
        """What is no host is refused with the option's name, and a URL is not repeated."""
        for said in ("", "a b", "a\nb", "b\u00fccher.example"):
            self.assertIn("--allow: must be HOST", self.fault(allow=[said]))
        for said in ("https://joe:hunter2@example.com/", "joe:hunter2@example.com"):
            self.assertNotIn("hunter2", self.fault(allow=[said]))
        for said in ("a.example:0", "a.example:65536", "a.example:http", "a.example:", "a.example:" + "9" * 5000):
            self.assertIn("must be a number from 1 to 65535", self.fault(allow=[said]))

    def test_long_name(self) -> None:
        """A host that is too long for a rule's name is allowed without one."""
        host = "a" * 60 + ".example.com"

        self.assertEqual([{"hosts": [host]}], self.rules(host))

    def test_twice(self) -> None:
        """The same host twice is one rule."""
        self.assertEqual(1, len(self.rules("a.example", "a.example")))

    def test_adds_to_the_file(self) -> None:
        """With a file, --allow is one policy more, and the file's own keep their names."""
        settings = self.load('[[policy]]\nkind = "destinations"\n', allow=["a.example"]).settings

        self.assertEqual(["destinations", "allow-option"], [table["name"] for table in settings.policy])

    def test_listen_replaces(self) -> None:
        """--listen replaces the listeners of the file, and is named in errors."""
        text = '[[listener]]\nname = "a"\nendpoint = "tcp:1"\n'

        source = self.load(text, listen=["tcp:2", "tcp:3"])

        listeners = [(each.name, each.endpoint) for each in source.settings.listener]
        self.assertEqual([("default", "tcp:2"), ("default-2", "tcp:3")], listeners)
        self.assertEqual("--listen", source.listener_where(0))

    def test_place_of_errors(self) -> None:
        """An error about a rule of --allow names the option, any other the file."""
        source = self.load("", allow=["a.example", "b..example"])

        placed = source.place(ConfigError("policy[0].allow[1].hosts[0]", "no host"))
        other = source.place(ConfigError("audit.file", "cannot be opened"))

        self.assertEqual(("--allow b..example", ""), (placed.where, placed.file))
        self.assertEqual(("audit.file", self.name), (other.where, other.file))
