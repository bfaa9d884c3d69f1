"""Helpers of live tests: a supervisor for each class, clean environments, optional programs."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from unittest import TestLoader

from twisted.trial.unittest import FailTest, SkipTest, SynchronousTestCase

from tests.live.certificates import CertificateAuthority
from tests.live.origins import HERE, Origin, Pages, Place

TWISTD = Path(sys.executable).parent / "twistd"
PATIENCE_SECONDS = 30.0
REFUSED = "refused.example"

# What clients send and no record may hold.
QUERY = "query-secret-7391"
COOKIE = "cookie-secret-7391"
TOKEN = "authorization-secret-7391"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# What an origin gets of user information in a URL.
BASIC = "Basic " + b64encode(f"agent:{TOKEN}".encode()).decode()
FIELDS = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"session={COOKIE}"}

CONFIGURATION = """
[[listener]]
name = "agents"
endpoint = "tcp:0:interface=127.0.0.1"

[[policy]]
kind = "destinations"

[[policy.allow]]
name = "by name"
hosts = ["localhost"]
ports = ["1-65535"]
addresses = ["127.0.0.0/8", "::1"]

[[policy.allow]]
name = "by address"
hosts = ["127.0.0.0/8"]
ports = ["1-65535"]

[limits]
drain_seconds = 1

[audit]
paths = "full"
"""


def with_user(url: str) -> str:
    """Put user information into an http URL. Its password is a secret that no record may hold."""
    return url.replace("://", f"://agent:{TOKEN}@")


def needs(what: str | Callable[[], object], why: str) -> None:
    """Skip the test where something is missing, or fail it where nothing may be.

    Args:
        what: a program to be found, or a probe that does what is needed and gives something true, or raises OSError.
        why: what is missing, as a person would put it.

    Raises:
        SkipTest: it is missing.
        FailTest: it is missing, and EGRESS_REQUIRE is `all`.
    """
    try:
        is_there = bool(shutil.which(what) if isinstance(what, str) else what())
    except OSError as error:
        is_there, why = False, f"{why} ({error})"
    if not is_there:
        raise FailTest(why) if os.environ.get("EGRESS_REQUIRE") == "all" else SkipTest(why)


def await_that(holds: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not in time; `what` says what there was instead.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(what())
        time.sleep(0.02)


class Supervisor:
    """A running `twistd egress-proxy`, its log and its audit log.

    Attributes:
        port: where it listens on 127.0.0.1.
        url: the same for clients.
        state: its state directory.
        configuration: its file.
    """

    def __init__(
        self,
        directory: Path,
        configuration: str = CONFIGURATION,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        """Start it.

        Args:
            directory: for its state, its log and its configuration.
            configuration: the file, but for `state`.
            environment: what is in its environment; left out: what is in ours, but for proxies.
            within: the words before the command.

        Raises:
            AssertionError: it did not start.
        """
        self.state = directory / "state"
        self._log = directory / "log"
        self.configuration = directory / "egress.toml"
        self.configuration.write_text(f"state = {json.dumps(str(self.state))}\n{configuration}", "utf-8")
        if environment is None:
            environment = {name: value for name, value in os.environ.items() if name not in (*PROXIES, "PROXY_URL")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*within, TWISTD, "--nodaemon", "--pidfile=", "egress-proxy", "--config", self.configuration],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",
            )
        atexit.register(self.process.kill)
        await_that(lambda: self._found() or self.process.poll() is not None, self.said)
        found = self._found()
        assert found is not None, self.said()
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def _found(self, listener: str = "agents") -> re.Match[str] | None:
        return re.search(rf"listener {listener}: (?:127\.0\.0\.1|0\.0\.0\.0):(\d+)\n", self.said())

    def port_of(self, listener: str) -> int:
        """Say where one of several listeners is, once it has been said."""
        await_that(lambda: self._found(listener), self.said)
        found = self._found(listener)
        assert found is not None, self.said()
        return int(found[1])

    def said(self) -> str:
        """Give its log."""
        return self._log.read_text("utf-8")

    def audit_log_text(self) -> str:
        """Give its audit log as it is."""
        return (self.state / "audit.jsonl").read_text("ascii")

    def audit_log(self) -> list[dict[str, Any]]:
        """Give its audit log's lines; one that is being written is left out."""
        return [json.loads(line) for line in self.audit_log_text().splitlines(keepends=True) if line.endswith("\n")]

    def peak_bytes(self) -> int:
        """Say how much memory it has had at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None, status
        return int(found[1]) * 1024

    def stop(self) -> None:
        """End it in order.

        Raises:
            AssertionError: it did not end.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not end: {self.said()}")
        finally:
            atexit.unregister(self.process.kill)


class LiveCase(SynchronousTestCase):
    """Tests that share one supervisor: it starts with the first of a class and ends with the last.

    Trial knows no fixtures of classes. If only some tests of a class run, it ends with the process.

    Attributes:
        supervisor: of the class.
        authority: its certificates are the origins'.
        place: where origins are.
        address_check: what the audit log says of requests to them by name.
        secrets: what neither log nor audit log may hold.
    """

    supervisor: ClassVar[Supervisor]
    authority: ClassVar[CertificateAuthority]
    place: ClassVar[Place] = HERE
    address_check: ClassVar[str] = "passed"
    secrets: ClassVar[tuple[str, ...]] = (QUERY, COOKIE, TOKEN, BASIC)
    _left: ClassVar[set[str]] = set()

    def setUp(self) -> None:
        """Start what the class shares, if nobody has."""
        kind = type(self)
        if "supervisor" not in vars(kind):
            self.start_shared()
            kind._left = set(TestLoader().getTestCaseNames(kind))
        # Before this stand lines of other tests of the class, whose origins may have had the same ports.
        self._before = len(self.supervisor.audit_log())
        self.addCleanup(self._leave)

    def start_shared(self) -> None:
        """Start what the class shares."""
        kind, directory = type(self), self.directory()
        kind.authority = CertificateAuthority(directory)
        kind.supervisor = Supervisor(directory)

    def stop_shared(self) -> None:
        """End what the class shares."""
        self.supervisor.stop()

    def _leave(self) -> None:
        kind, supervisor = type(self), self.supervisor
        self._left.discard(self._testMethodName)
        if not self._left:
            self.stop_shared()
            del kind.supervisor
        said = supervisor.said()
        self.assertNotIn("Traceback", said)
        for secret in self.secrets:
            self.assertNotIn(secret, said)
            self.assertNotIn(secret, supervisor.audit_log_text())

    def directory(self) -> Path:
        """Make a directory of the test's own."""
        path = Path(self.mktemp()).resolve()
        path.mkdir(parents=True)
        return path

    @contextmanager
    def there(self) -> Iterator[None]:
        """Where sockets that are made meanwhile are an origin's."""
        yield

    def origin(self, *, is_tls: bool = False, pages: type[BaseHTTPRequestHandler] = Pages) -> Origin:
        """Start an origin that ends with the test."""
        context: ssl.SSLContext | None = self.authority.for_server() if is_tls else None
        with self.there():
            origin = Origin(context, pages, self.place)
        self.addCleanup(origin.stop)
        return origin

    def environment(self, more: Mapping[str, str] | None = None, *, has_proxy: bool = True) -> dict[str, str]:
        """Make an environment for a client: nothing of ours but the path.

        Args:
            more: what else is in it.
            has_proxy: whether it names the proxy, in both spellings, for all schemes.
        """
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.directory()), "LC_ALL": "C"}
        return {**clean, **(dict.fromkeys(PROXIES, self.supervisor.url) if has_proxy else {}), **(more or {})}

    def run_client(
        self,
        *command: str | Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
    ) -> subprocess.CompletedProcess[str]:
        """Run a client to its end."""
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment() if environment is None else environment,
            cwd=self.directory() if cwd is None else cwd,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_SECONDS * 2,
            check=False,
        )
        out, complaint = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        return subprocess.CompletedProcess(done.args, done.returncode, out, complaint)

    def lines(self, port: int, count: int | None = None) -> list[dict[str, Any]]:
        """Wait for the audit log's lines about requests to a port that are over.

        Args:
            port: every origin of a test has its own.
            count: how many there will be; None for one or more.
        """

        def found() -> list[dict[str, Any]]:
            lines = self.supervisor.audit_log()[self._before :]
            return [line for line in lines if line.get("server_port") == port and line["event"] != "open"]

        await_that(lambda: len(found()) >= (count or 1), lambda: f"{found()} {self.supervisor.said()}")
        lines = found()
        if count is not None:
            self.assertEqual(count, len(lines), lines)
        return lines

    def assert_passed(self, port: int, *fronts: str, host: str = "") -> list[dict[str, Any]]:
        """The audit log has one request for each front, allowed and answered with success."""
        lines = self.lines(port, len(fronts))
        self.assertEqual(sorted(fronts), sorted(line["request_form"] for line in lines))
        for line in lines:
            told = (line["event"], line["verdict"], line["server_address"], line["rule"], line["address_check"])
            rule, check = ("by address", "passed") if host else ("by name", self.address_check)
            self.assertEqual(("end", "allow", host or self.place.host, rule, check), told, line)
            self.assertIn(line["http_response_status_code"], (101, 200, 201, 204), line)
        return lines

    def assert_refused(self, port: int, *fronts: str) -> None:
        """The audit log has one refusal for each front, and the name was never looked up."""
        lines = self.lines(port, len(fronts))
        self.assertEqual(sorted(fronts), sorted(line["request_form"] for line in lines))
        for line in lines:
            told = (
                line["event"],
                line["verdict"],
                line["server_address"],
                line["http_response_status_code"],
                line["code"],
                line["cause"],
            )
            self.assertEqual(("refused", "deny", REFUSED, 403, "no_rule", "refused"), told, line)
            self.assertEqual([], line["resolved_addresses"])
