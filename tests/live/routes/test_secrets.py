"""Credentials of proxies appear in no log, no response and no file that others can read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from tests.live.routes.client import ask
from tests.live.routes.daemon import SOMEBODY
from tests.live.routes.environment import FAR_NAME, ORIGIN_NAME, SITE
from tests.live.routes.squid import BANNED, PORT
from tests.live.routes.support import LISTENER, PASSWORD, RULES, USER, RouteCase, filed, spellings
from tests.live.support import PATIENCE_SECONDS, REFUSED, Supervisor, await_that, needs

EGRESS = Path(sys.executable).parent / "egress"
REQUEST_FORMS = ("http", "connect")
FILED = "filed-secret-7391"
WRITTEN = "written-secret-7391"
# Its owner may read what another process of the same user may; root's other powers are gone.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")


class SecretTests(RouteCase):
    """Credentials from the environment, from a file, and from a URL in the configuration."""

    secrets: ClassVar[tuple[str, ...]] = (*RouteCase.secrets, *spellings(FILED), *spellings(WRITTEN))

    def setUp(self) -> None:
        """Look for what it takes."""
        needs("setpriv", "setpriv is not installed")
        super().setUp()

    def configuration(self, directory: Path) -> str:
        """A listener for each."""
        tables, _ = filed(directory, FILED)
        return f"""{LISTENER}{tables}
[[listener]]
name = "written"
endpoint = "tcp:0:interface=127.0.0.1"
via = "written"

[[upstream]]
name = "written"
url = "http://{USER}:{WRITTEN}@{SITE}:{PORT}"
allow_plaintext_credentials = true
{RULES}
"""

    def start_supervisor(self, directory: Path) -> Supervisor:
        """Start it as a user that has no powers, whom the agent may be, too."""
        words = [*self.snapshot.node.words(), *POWERLESS]
        return Supervisor(directory, self.configuration(directory), self.environment_on_node(), words)

    def assert_free(self, text: str, where: str) -> None:
        """None of the secrets is in it."""
        for secret in self.secrets:
            self.assertNotIn(secret, text, where)

    def test_told_to_nobody(self) -> None:
        """Whatever happens on the way, neither clients nor origins nor the log and the audit log get to know them."""
        origin = self.origin()
        statuses: dict[tuple[str, str, str], int] = {}
        for listener in ("agents", "filed", "written"):
            port = self.supervisor.port_of(listener)
            for host in (ORIGIN_NAME, FAR_NAME, BANNED, REFUSED):
                for supervisor in REQUEST_FORMS:
                    answer = ask(port, supervisor, f"{host}:{origin.port}")
                    self.assert_free(answer.text, f"{listener} {host} {supervisor}")
                    statuses[listener, host, supervisor] = answer.status
        for supervisor in REQUEST_FORMS:
            self.assertEqual(200, statuses["agents", ORIGIN_NAME, supervisor])
            self.assertEqual(502, statuses["filed", ORIGIN_NAME, supervisor])
            self.assertEqual(502, statuses["written", ORIGIN_NAME, supervisor])
        self.supervisor.process.send_signal(signal.SIGHUP)
        await_that(lambda: "configuration 2 is in force" in self.supervisor.said(), self.supervisor.said)
        self.assertEqual(200, ask(self.supervisor.port, "connect", f"{ORIGIN_NAME}:{origin.port}").status)
        (first, *_) = origin.seen
        self.assertNotIn("proxy-authorization", first.fields)
        self.assert_free(str(origin.seen), "an origin")
        self.assert_free(self.supervisor.said(), "the log")
        self.assert_free(self.supervisor.audit_log_text(), "the audit log")

    def test_told_by_no_command(self) -> None:
        """Commands that show the configuration do not show them."""
        environment = self.environment_on_node()
        path = self.supervisor.configuration
        for words in (
            ("check", path),
            ("explain", "--config", path, f"https://{ORIGIN_NAME}/"),
            ("explain", "--config", path, "--json", f"https://{ORIGIN_NAME}/"),
        ):
            with self.subTest(command=words[0]):
                done = self.run_client(EGRESS, *words, environment=environment)

                self.assertEqual(0, done.returncode, done.stderr)
                self.assert_free(done.stdout + done.stderr, words[0])

    def read(self, pid: int, *before: str, user: int | None = None) -> str:
        """Read what a process shows of itself and of its threads, as somebody."""
        names = ("cmdline", "environ", "auxv", "maps", "stat", "status", "limits", "mounts", "comm", "wchan", "stack")
        files = [f"{place}/{name}" for place in (f"/proc/{pid}", f"/proc/{pid}/task/{pid}") for name in names]
        done = subprocess.run(
            [*before, "cat", *files],
            user=user,
            extra_groups=() if user else None,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return done.stdout.decode("utf-8", "replace")

    def test_in_no_reach(self) -> None:
        """No other process of the same user can read the environment or the memory; nor can one of another user."""
        environment = self.environment_on_node()
        pid = self.supervisor.process.pid
        with subprocess.Popen([*POWERLESS, "sleep", "600"], env=environment) as other:
            self.addCleanup(other.kill)
            # That is what can be read of a process that does nothing about it.
            await_that(lambda: PASSWORD in self.read(other.pid, *POWERLESS), lambda: "nothing can be read")
            other.kill()

        self.assertIn("twistd", self.read(pid, *POWERLESS))
        self.assert_free(self.read(pid, *POWERLESS), "the same user")
        self.assert_free(self.read(pid, user=SOMEBODY.pw_uid), "another user")
        for name in ("environ", "mem", "maps", "auxv", "fd/0"):
            words = [*POWERLESS, "head", "--bytes=1", f"/proc/{pid}/{name}"]
            done = subprocess.run(words, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
            self.assertIn(b"ermi", done.stderr, f"{name} can be opened: {done}")
