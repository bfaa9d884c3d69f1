"""The head of a running proxy's audit log, what it shows of an audit log that was cut off, and who may write one."""

from __future__ import annotations

import os
import re
import signal
import subprocess

from egress.audit.chain_head import ChainHead, head_path, read_head
from tests.live.support import await_that
from tests.live.test_start import EGRESS, PATIENCE_SECONDS, ProcessCase

LOCAL = '[[listener]]\nname = "agents"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
SEALED = LOCAL + "[audit]\nchain = true\n"


class HeadCase(ProcessCase):
    """Runs the command."""

    def setUp(self) -> None:
        """Name the audit log."""
        super().setUp()
        self.log = self.state / "audit.jsonl"

    def run_audit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `egress audit`, as a user with the proxy's state directory."""
        return subprocess.run(
            [str(EGRESS), "audit", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            env={**os.environ, "EGRESS_STATE": str(self.state)},
        )


class RunningTests(HeadCase):
    """While the proxy runs."""

    def test_head(self) -> None:
        """The head can be asked for; the audit log is then whole up to it, while it is being written."""
        proxy = self.start("--config", self.write(SEALED))
        proxy.port()

        asked = self.run_audit("head")

        self.assertEqual(0, asked.returncode, asked.stderr)
        found = re.fullmatch(r"([0-9a-f]{64})  (\S+)  line 0 of the run [0-9a-f]{32}\n", asked.stdout)
        assert found is not None, asked.stdout
        self.assertEqual(str(self.log), found[2])
        for options in (["--head", found[1]], []):
            verified = self.run_audit("verify", str(self.log), *options)
            self.assertEqual(0, verified.returncode, verified.stdout)
            self.assertIn(": WHOLE: 1 line in 1 run, ", verified.stdout)
            self.assertIn("Its last line is the recorded head.", verified.stdout)
        proxy.end()

    def test_nothing_to_tell(self) -> None:
        """An audit log without seals has no head (status 1); without a proxy there is nobody to ask (status 4)."""
        proxy = self.start("--config", self.write(LOCAL))
        proxy.port()
        self.assertEqual((1, ""), (self.run_audit("head").returncode, self.run_audit("head").stdout))
        proxy.end()

        self.assertEqual(4, self.run_audit("head").returncode)
        self.assertEqual(2, self.run_audit("head", "--config", "/nowhere").returncode)


class CutOffTests(HeadCase):
    """After the proxy has ended."""

    def run_once(self, number: int = signal.SIGTERM) -> None:
        """Let a proxy run and end."""
        proxy = self.start("--config", self.write(SEALED))
        proxy.port()
        await_that(lambda: self.log.exists() and self.log.read_bytes() and self.recorded(), lambda: proxy.said)
        proxy.end(number)

    def recorded(self) -> ChainHead | None:
        """Give the recorded head."""
        return read_head(head_path(str(self.state), "file"))

    def test_last_run(self) -> None:
        """A last run that is missing as a whole is told, also after the next start, whose log has an error then."""
        self.run_once()
        first = self.log.read_bytes()
        self.run_once()
        self.assertEqual(0, self.run_audit("verify", str(self.log)).returncode)
        self.log.write_bytes(first)

        cut = self.run_audit("verify", str(self.log))

        self.assertEqual(3, cut.returncode)
        self.assertIn(": CUT OFF at line 2: ", cut.stdout)
        proxy = self.start("--config", self.write(SEALED))
        proxy.hear("the audit log does not hold the line that was recorded as its last one")
        proxy.port()
        proxy.end()
        self.assertIn(": CUT OFF at line 3: when this run began, ", self.run_audit("verify", str(self.log)).stdout)

    def test_killed(self) -> None:
        """A proxy that was killed leaves an audit log that is not complete, and the next one complains of nothing."""
        self.run_once(signal.SIGKILL)
        killed = self.run_audit("verify", str(self.log))
        self.assertEqual(3, killed.returncode)
        self.assertIn(": NOT COMPLETE at line 1: ", killed.stdout)

        proxy = self.start("--config", self.write(SEALED))
        proxy.port()
        proxy.end()

        self.assertNotIn("recorded", proxy.said)


class TwoProxiesTests(HeadCase):
    """Two proxies with one state directory."""

    def test_second(self) -> None:
        """The second one does not start and says why; the first one goes on, and after it another one starts."""
        for text in (
            LOCAL,
            LOCAL + f'[audit]\nfile = "{self.state}-elsewhere"\n',
            LOCAL + '[audit]\nto = ["stdout"]\n',
        ):
            first = self.start("--config", self.write(text))
            first.port()

            second = self.start("--config", self.write(text))

            self.assertEqual(1, second.wait())
            self.assertIn(f"state: another egress uses the state directory {self.state}: ", second.said)
            self.assertEqual(1, len(second.said.strip().splitlines()), second.said)
            self.assertEqual(0, first.end(), first.said)

    def test_one_file(self) -> None:
        """Neither does one with another state directory and the same file, sealed or not."""
        path = f"{self.state}-elsewhere"
        first = self.start("--config", self.write(f'{LOCAL}[audit]\nfile = "{path}"\n'))
        first.port()
        self.state = self.state.with_name("other")

        second = self.start("--config", self.write(f'{LOCAL}[audit]\nfile = "{path}"\n'))

        self.assertEqual(1, second.wait())
        self.assertIn("another process keeps its audit log in this file", second.said)
        first.end()
