"""systemd/egress.service fits the program."""

from __future__ import annotations

import shlex
from configparser import ConfigParser
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main
from egress.proxy.limits import Limits
from egress.service.tap import Options

UNIT = Path(__file__).resolve().parent.parent.parent / "systemd" / "egress.service"


class UnitTests(SynchronousTestCase):
    """The unit file."""

    def setUp(self) -> None:
        """Read it."""
        parser = ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
        parser.read(UNIT)
        self.service = parser["Service"]

    def test_commands(self) -> None:
        """What it runs are commands of ours, with options that they know."""
        program, command, *arguments = shlex.split(self.service["ExecStart"])
        options = Options()
        options.parseOptions(arguments)
        self.assertEqual(("/usr/bin/egress", "proxy"), (program, command))
        _, before, file = shlex.split(self.service["ExecStartPre"])
        self.assertIn("FILE", CliRunner().invoke(main, [before, "--help"]).output)
        self.assertEqual(file, options["config"])

    def test_time_to_drain(self) -> None:
        """systemd waits longer than running requests may take."""
        self.assertGreater(int(self.service["TimeoutStopSec"]), Limits().drain_seconds)

    def test_state(self) -> None:
        """The journal lies in the directory that systemd makes."""
        self.assertEqual(f"EGRESS_STATE=/var/lib/{self.service['StateDirectory']}", self.service["Environment"])
