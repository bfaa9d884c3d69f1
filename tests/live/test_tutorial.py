"""The commands of docs/tutorial/first-steps.md print the output on the page."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from tests.documents import DOCS, blocks_of
from tests.live.support import needs

PAGE = DOCS / "tutorial" / "first-steps.md"
PORTS = ORIGIN, PROXY, CORPORATE = 8099, 3128, 8080
START_SECONDS = 60.0

# What differs from run to run: times, durations and ids.
_VARYING = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|[\d.]+ ms|[0-9a-f]{8,}-\d+")


def are_free() -> bool:
    """Tell whether the ports of the page are free."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    return True


def shown() -> dict[str, str]:
    """Give what the page shows below each command with a dollar sign."""
    found = re.findall(r"^ {4}\$ (.+)\n((?: {4}(?!\$).+\n)*)", PAGE.read_text("utf-8"), re.MULTILINE)
    return {command: re.sub(r"^ {4}", "", output, flags=re.MULTILINE) for command, output in found}


def plain(output: str) -> str:
    """Leave out what differs from run to run."""
    return _VARYING.sub("-", output).strip()


class _Site(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


class TutorialTests(SynchronousTestCase):
    """A reader who follows the page sees what it says."""

    def setUp(self) -> None:
        needs("curl", "curl is not installed")
        needs(are_free, "a port of the tutorial is in use")
        self.home = Path(self.mktemp()).resolve()
        (self.home / "site").mkdir(parents=True)
        (self.home / "site" / "hello.txt").write_text("Hello from the origin.\n")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.operator = {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8"}
        proxy = f"http://127.0.0.1:{PROXY}"
        self.agent = {**self.operator, "http_proxy": proxy, "https_proxy": proxy}
        site = str(self.home / "site")
        origin = ThreadingHTTPServer(("127.0.0.1", ORIGIN), lambda *args: _Site(*args, directory=site))
        serving = Thread(target=origin.serve_forever, daemon=True)
        serving.start()
        self.addCleanup(serving.join)
        self.addCleanup(origin.server_close)
        self.addCleanup(origin.shutdown)

    def test_commands(self) -> None:
        """Requests, refusals, rules and the upstream do what the page says, in its order."""
        page, (rules, upstream) = shown(), blocks_of(PAGE, "toml")
        self.assertEqual(len(page), 6)
        self.stop(self.start("egress serve"))
        proxy = self.start(f"egress serve --allow localhost:{ORIGIN}")
        hello = f"curl --silent http://localhost:{ORIGIN}/hello.txt"
        self.assertEqual(self.run_command(hello, self.agent), "Hello from the origin.\n")
        refusal = self.run_command("curl --silent http://forbidden.example/", self.agent)
        self.assertIn(plain(refusal), plain(re.sub("(?m)^    ", "", PAGE.read_text("utf-8"))))
        self.run_command("curl --silent https://forbidden.example/", self.agent, status=56)
        self.assert_shown("egress tail --no-follow", page)
        self.stop(proxy)

        (self.home / "egress.toml").write_text(rules)
        self.assert_shown("egress check egress.toml", page)
        self.assert_shown(f"egress explain --config egress.toml http://localhost:{ORIGIN}/hello.txt", page)
        self.assert_shown(f"egress explain --config egress.toml http://localhost:{ORIGIN}/secret.txt", page, status=1)
        self.start("egress serve --config egress.toml")
        self.assertIn("configuration 2 is in force", self.run_command("egress reload --config egress.toml"))

        corporate = {**self.operator, "EGRESS_STATE": "corporate"}
        command = f"egress serve --listen tcp:{CORPORATE}:interface=127.0.0.1 --allow 127.0.0.1:{ORIGIN}"
        self.start(command, CORPORATE, corporate)
        (self.home / "egress.toml").write_text(f"{rules}\n{upstream}")
        self.run_command("egress reload --config egress.toml")
        self.assertEqual(self.run_command(hello, self.agent), "Hello from the origin.\n")
        line = plain(self.run_command("egress tail --config egress.toml --no-follow").splitlines()[-1])
        self.assertIn("via corporate", line)
        self.assertIn(line, plain(PAGE.read_text("utf-8")))
        self.assertIn(f"CONNECT 127.0.0.1:{ORIGIN}", self.run_command("egress tail --no-follow", corporate))

    def assert_shown(self, command: str, page: dict[str, str], status: int = 0) -> None:
        """Run a command, and find on the page what it prints."""
        self.assertEqual(plain(self.run_command(command, status=status)), plain(page[command]))

    def run_command(self, command: str, environment: dict[str, str] | None = None, status: int = 0) -> str:
        """Run a command that ends by itself."""
        environment = environment or self.operator
        done = subprocess.run(
            command.split(), cwd=self.home, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def start(
        self, command: str, port: int = PROXY, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a supervisor, and wait until it listens on the port."""
        log = self.home / f"log-{port}"
        with log.open("wb") as output:
            running = subprocess.Popen(
                command.split(), cwd=self.home, env=environment or self.operator, stdout=output, stderr=output
            )
        self.addCleanup(self.stop, running)
        deadline = time.monotonic() + START_SECONDS
        while f"127.0.0.1:{port}" not in log.read_text() or "control.sock" not in log.read_text():
            if time.monotonic() > deadline or running.poll() is not None:
                self.fail(log.read_text())
            time.sleep(0.1)
        return running

    def stop(self, running: subprocess.Popen[bytes]) -> None:
        """Stop a supervisor as Ctrl-C does."""
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
            running.wait(60)
