"""Settings from the command line."""

from __future__ import annotations

from egress.errors import ConfigError
from tests.service.settings.test_settings import SettingsCase


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
