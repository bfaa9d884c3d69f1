"""The command as a whole."""

from __future__ import annotations

import sys
from importlib.metadata import version

from click.testing import CliRunner
from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main


class CommandTests(SynchronousTestCase):
    """`egress` without, and with, its commands."""

    def test_version(self) -> None:
        """The version is that of the package."""
        result = CliRunner().invoke(main, ["--version"])

        self.assertEqual(f"egress, version {version('egress')}\n", result.output)

    def test_help_lists_the_commands(self) -> None:
        """Every command is listed, and has a help text of its own."""
        result = CliRunner().invoke(main, ["--help"])

        self.assertEqual(0, result.exit_code)
        for command in ("audit", "check", "explain", "plugins", "serve", "tail", "token"):
            self.assertIn(f"\n  {command} ", result.output)
        self.assertNotIn("...\n", result.output.partition("Commands:")[2])
        for command in ("audit", "check", "explain", "plugins", "tail", "token"):
            self.assertIn("Usage:", CliRunner().invoke(main, [command, "--help"]).output)

    def test_unknown_command(self) -> None:
        """A command that nobody knows is a usage error."""
        self.assertEqual(2, CliRunner().invoke(main, ["allow"]).exit_code)

    def test_plugins(self) -> None:
        """Each kind of policy is listed with the file that it comes from."""
        result = CliRunner().invoke(main, ["plugins"])

        self.assertEqual(0, result.exit_code, result.output)
        kinds = {line.split()[0]: line.split()[1] for line in result.output.splitlines()}
        self.assertTrue(kinds["destinations"].endswith("egress_builtin.py"), kinds)
        self.assertIn("rate", kinds)

    def test_proxy_is_twistd(self) -> None:
        """`egress serve` hands its options to twistd as they are, its --help too."""
        self.patch(sys, "argv", [])
        seen: list[list[str]] = []
        self.patch(twistd, "run", lambda: seen.append(list(sys.argv)))

        CliRunner().invoke(main, ["serve", "--allow", "example.com", "--help"])

        twisted_options = ["twistd", "--nodaemon", "--pidfile=", "egress-proxy"]
        self.assertEqual([[*twisted_options, "--allow", "example.com", "--help"]], seen)
