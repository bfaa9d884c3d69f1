"""The README's commands, extracted and run in order, in a fresh copy of the tree."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.documents import files_of
from tests.live.support import needs

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
PORT = 3128
SETUP_SECONDS = 300.0

# Not run here: this very test is part of `make test`; curl's other targets are hosts of the public network.
ELSEWHERE = {"make test", "curl http://example.com/", "curl https://example.com/"}


def commands() -> list[str]:
    """Give the README's indented lines that are commands: not the answer that is shown there."""
    text = re.sub(r"^```.*?^```$", "", README.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = re.findall(r"^ {4}(\S.*)$", text, re.M)
    return [line for line in lines if not line.startswith(("{", "}", '"'))]


def is_free() -> bool:
    """Tell whether the port that the README uses is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", PORT))
    return True


class ReadmeTests(SynchronousTestCase):
    """Each command does what the page says."""

    def setUp(self) -> None:
        needs("make", "make is not installed")
        needs("curl", "curl is not installed")
        needs(is_free, f"port {PORT} of 127.0.0.1 is in use")
        self.home = Path(self.mktemp()).resolve()
        self.home.mkdir()
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in listed.decode().rstrip("\0").split("\0"):
            # What is listed and gone is about to be committed as removed.
            if (ROOT / name).exists():
                (self.home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.home / name)
        for name, text in files_of(README).items():
            (self.home / name).write_text(text, encoding="utf-8")
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.environment = {**clean, "XDG_STATE_HOME": str(self.home / "state-home")}
        self.environment.pop("EGRESS_STATE", None)
        self.agent: dict[str, str] = {}
        self.running: subprocess.Popen[bytes] | None = None
        self.log = self.home / "log"
        self.addCleanup(self.stop)

    def test_commands(self) -> None:
        """They all work, in the order of the page, and none is left out."""
        seen = []
        for command in commands():
            with self.subTest(command):
                if command not in ELSEWHERE:
                    self.run_command(command)
                seen.append(command)
        self.assertGreater(len(seen), 10)

    def run_command(self, command: str) -> None:
        """Run one command and look at what it does."""
        words = shlex.split(command)
        if words[0] == "make":
            self.start(command)
        elif words[0] == "export":
            # What the agent sets is in another terminal.
            into = self.agent if f":{PORT}" in command or "$" in command else self.environment
            for word in words[1:]:
                name, _, value = word.partition("=")
                into[name] = into[value[1:]] if value.startswith("$") else value
        elif words[0] == "curl":
            problem = json.loads(self.output(words, environment={**self.environment, **self.agent}))
            self.assertEqual((problem["code"], problem["status"]), ("no_rule", 403))
        elif words[1] == "tail" and "--config" in words:
            # Nothing was asked of this one: its audit log need not hold more than its start.
            self.output([*words, "--no-follow"])
        elif words[1] == "tail":
            self.assertIn("forbidden.example", self.output([*words, "--no-follow"]))
        elif words[1] == "check":
            self.assertIn("OK", self.output(words))
        elif words[1] == "explain":
            # Where there is no network the name does not resolve, but what was decided before that is shown.
            told = self.output(words, statuses=(0, 1))
            self.assertIn("github", told)
            proxy = self.environment.get("HTTPS_PROXY")
            self.assertIn("direct" if proxy is None else f"HTTPS_PROXY ({proxy})", told)
        elif words[1] == "token":
            self.assertRegex(self.output(words), r"egr_[A-Za-z0-9_-]{43}")
        elif words[1] == "reload":
            self.assertIn("is in force", self.output(words))
        else:
            self.fail(f"nothing here knows how to run: {command}")

    def output(
        self, words: list[str], statuses: tuple[int, ...] = (0,), environment: dict[str, str] | None = None
    ) -> str:
        """Run a command that ends by itself."""
        done = subprocess.run(
            words,
            cwd=self.home,
            env=environment or self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertIn(done.returncode, statuses, done.stdout + done.stderr)
        return done.stdout

    def start(self, command: str) -> None:
        """Start the supervisor, in place of the one that runs, and wait until it listens."""
        self.stop()
        with self.log.open("wb") as log:
            self.running = subprocess.Popen(
                shlex.split(command),
                cwd=self.home,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # The first time it sets up everything, from the package registry.
        deadline = time.monotonic() + SETUP_SECONDS
        while f"127.0.0.1:{PORT}" not in self.log.read_text():
            if time.monotonic() > deadline or self.running.poll() is not None:
                self.fail(self.log.read_text())
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it as Ctrl-C does: everybody in the foreground hears of it."""
        running, self.running = self.running, None
        if running is not None:
            os.killpg(running.pid, signal.SIGINT)
            running.wait(30)
            self.assertNotIn("Traceback", self.log.read_text())


class PackageTests(SynchronousTestCase):
    """What the README says about Python."""

    def test_version(self) -> None:
        """The tests themselves run on a version that is promised."""
        self.assertGreaterEqual(sys.version_info, (3, 11))
