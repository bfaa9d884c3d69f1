"""`egress check`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main


def listeners(*endpoints: str) -> str:
    """Write a listener for each endpoint."""
    return "".join(f'[[listener]]\nname = "{index}"\nendpoint = "{each}"\n' for index, each in enumerate(endpoints))


RULE = '[[policy]]\nkind = "destinations"\n[[policy.allow]]\nhosts = ["a.example"]\n{}\n'
REMOTE = """
[[upstream]]
name = "far"
url = "http://192.0.2.1:3128"
dns = "remote"
[routing]
default = "far"
"""


class CheckTests(SynchronousTestCase):
    """A file is fine, or one line says why not."""

    def check(self, text: str | None) -> Result:
        """Run it on a file with this text, or on none."""
        self.name = str(self.mktemp())
        if text is not None:
            Path(self.name).write_text(text, "utf-8")
        return CliRunner().invoke(main, ["check", self.name])

    def test_fine(self) -> None:
        """A good file is summed up, and so are the routes."""
        result = self.check('[[policy]]\nkind = "destinations"\n[[policy.allow]]\nhosts = ["example.com"]\n')

        self.assertEqual(0, result.exit_code)
        said = ["1 listener, 1 policy, 1 rule, guard on", "routes: by default direct; no proxies"]
        self.assertEqual(["OK", *(f"{self.name}: {line}" for line in said)], result.output.splitlines())

    def test_mute(self) -> None:
        """A file that allows nothing is fine, and that is said."""
        result = self.check("")

        self.assertEqual(0, result.exit_code)
        self.assertIn("nothing is allowed", result.stderr)

    def test_credentials_of_a_unit(self) -> None:
        """Credentials that only the service manager has are said not to have been looked at."""
        table = '[[upstream]]\nname = "far"\nurl = "https://192.0.2.1"\ncredentials = "systemd:far"\n'
        result = self.check(RULE.format("") + table)

        self.assertEqual(0, result.exit_code, result.output)
        self.assertIn("upstream[0].credentials: the service manager has them", result.stderr)

    def test_any_free_port(self) -> None:
        """Port 0 is another one for each listener."""
        self.assertEqual(0, self.check(listeners("tcp:0", "tcp:0", "tcp:99", "tcp6:98")).exit_code)

    def test_faults(self) -> None:
        """Each fault is one line on stderr with file and key path, and status 1."""
        for text, words in (
            (None, "cannot be read"),
            ("a = ", "is not TOML"),
            ("[dns]\ntimeout = 1\n", "dns.timeout: unknown key"),
            ('[[policy]]\nkind = "acme"\n', "policy[0].kind"),
            ('[[listener]]\nname = "a"\nendpoint = "tcp:x"\n', "listener[0].endpoint"),
            (
                RULE.format('clients = ["listener:agnets"]'),
                "listener:agnets is no listener of this file; there are: default",
            ),
            (RULE.format('clients = ["sandbox:a"]'), "policy[0].allow[0].clients[0]: has an unknown kind"),
            (RULE.format('addresses = ["10.0.0.0/8"]') + REMOTE, "policy[0].allow[0].addresses: admits nothing"),
            ('[[policy]]\nkind = "destinations"\n[policy.allow]\nhosts = ["a.example"]\n', "in two brackets"),
            (listeners("tcp:99", "tcp:98", "tcp:99:interface=0.0.0.0"), "listener[2].endpoint: listener[0] listens"),
            (listeners("unix:/run/a", "unix:/run/a:mode=666"), "listener[1].endpoint: listener[0] listens"),
        ):
            result = self.check(text)
            self.assertEqual((1, ""), (result.exit_code, result.stdout), text)
            (line,) = result.stderr.splitlines()
            self.assertTrue(line.startswith(f"egress: {self.name}: "), line)
            self.assertIn(words, line)
