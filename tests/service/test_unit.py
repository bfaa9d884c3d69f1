"""The units in systemd/ fit the program."""

from __future__ import annotations

import shlex
from configparser import ConfigParser, SectionProxy
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main
from egress.proxy.limits import Limits
from egress.service.listen.endpoint import SystemdEndpoint, parse_endpoint
from egress.service.listen.sockets import BACKLOG
from egress.service.process.descriptors import fit
from egress.service.settings.settings import Settings
from egress.service.tap import Options

UNITS = Path(__file__).resolve().parent.parent.parent / "systemd"


def section(unit: str, name: str) -> SectionProxy:
    """Read one section of a unit; of lines with the same key the last one counts."""
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(UNITS / unit)
    return parser[name]


class UnitTests(SynchronousTestCase):
    """The unit file."""

    def setUp(self) -> None:
        """Read it."""
        self.service = section("egress.service", "Service")

    def test_commands(self) -> None:
        """What it runs are commands of ours, with options that they know."""
        program, command, *arguments = shlex.split(self.service["ExecStart"])
        options = Options()
        options.parseOptions(arguments)
        self.assertEqual(("/usr/bin/egress", "serve"), (program, command))
        _, before, file = shlex.split(self.service["ExecStartPre"])
        self.assertIn("FILE", CliRunner().invoke(main, [before, "--help"]).output)
        self.assertEqual(file, options["config"])

    def test_readiness(self) -> None:
        """systemd hears of readiness, reloads and pings, which are sent in time."""
        self.assertEqual("notify", self.service["Type"])
        self.assertGreater(int(self.service["WatchdogSec"]), 10)

    def test_descriptors(self) -> None:
        """There are as many descriptors as the default limits need."""
        self.assertEqual("", fit(Settings(), int(self.service["LimitNOFILE"])).warning)

    def test_socket(self) -> None:
        """The socket's name is one that an endpoint can have, and its backlog is ours."""
        unit = section("egress.socket", "Socket")
        name = unit["FileDescriptorName"]

        self.assertEqual(SystemdEndpoint(name), parse_endpoint(f"systemd:{name}", "here"))
        self.assertEqual(BACKLOG, int(unit["Backlog"]))
        self.assertIn(f'endpoint = "systemd:{name}"', (UNITS / "egress.socket").read_text("utf-8"))

    def test_time_to_drain(self) -> None:
        """systemd waits longer than running requests may take."""
        self.assertGreater(int(self.service["TimeoutStopSec"]), Limits().drain_seconds)

    def test_state(self) -> None:
        """The audit log lies in the directory that systemd makes."""
        self.assertEqual(f"EGRESS_STATE=/var/lib/{self.service['StateDirectory']}", self.service["Environment"])
