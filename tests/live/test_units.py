"""systemd accepts the units, and rates their security well."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.support import needs

UNITS = Path(__file__).resolve().parent.parent.parent / "systemd"
EGRESS = Path(sys.executable).parent / "egress"

# "OK" in systemd's own words; what is not hardened at all has 9.6.
_EXPOSURE = 2.0


class UnitTests(SynchronousTestCase):
    """`systemd-analyze` on the files in systemd/. It needs no systemd that runs."""

    def setUp(self) -> None:
        """Make copies that name a program that is here."""
        needs("systemd-analyze", "systemd-analyze is not installed; Debian has it in systemd")
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir()
        self.units = []
        for unit in sorted(UNITS.iterdir()):
            copy = self.directory / unit.name
            copy.write_text(unit.read_text("utf-8").replace("/usr/bin/egress", str(EGRESS)), "utf-8")
            self.units.append(str(copy))

    def ask(self, *arguments: str) -> str:
        """Run systemd-analyze, which has to be content.

        Returns:
            All that it said.
        """
        done = subprocess.run(
            ["systemd-analyze", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        said = done.stdout.decode("utf-8", "replace")
        self.assertEqual(0, done.returncode, said)
        return said

    def test_verify(self) -> None:
        """Every line is one that systemd knows, and every program is there."""
        said = self.ask("verify", *self.units)

        # What it says about units of the system's own is not about ours.
        self.assertEqual([], [line for line in said.splitlines() if "egress" in line])

    def test_hardening(self) -> None:
        """The service is exposed to little: under 2.0 of 10, which is as far as a proxy gets that has a network."""
        service = str(self.directory / "egress.service")
        said = self.ask("security", "--offline=true", "--threshold=20", "--no-pager", service)

        found = re.search(r"Overall exposure level for egress\.service: (\d+\.\d)", said)
        assert found is not None, said
        self.assertLess(float(found[1]), _EXPOSURE, said)
