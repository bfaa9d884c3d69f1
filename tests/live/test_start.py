"""The proxy as a process: start, signals and end."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TWISTD = Path(sys.executable).parent / "twistd"
EGRESS = Path(sys.executable).parent / "egress"
PATIENCE_SECONDS = 20.0


class ClientHello(BaseHTTPRequestHandler):
    """An origin that greets."""

    def do_GET(self) -> None:
        """Greet."""
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Origin(HTTPServer):
    """A server that is not surprised by connections that are reset."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class Proxy:
    """A running `twistd egress-proxy` and what it said so far."""

    def __init__(self, *arguments: str, state: str, reactor: str = "epoll") -> None:
        self.process = subprocess.Popen(
            [TWISTD, "--nodaemon", "--pidfile=", "--reactor", reactor, "egress-proxy", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "EGRESS_STATE": state},
        )
        self.said = ""

    def hear(self, pattern: str) -> re.Match[str]:
        """Wait for a line.

        Raises:
            AssertionError: it did not come in time, or the process ended before.
        """
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            if (found := re.search(pattern, self.said)) is not None:
                return found
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65_536) if ready else b""
            if not data:
                raise AssertionError(f"no {pattern!r} in: {self.said}")
            self.said += data.decode()

    def port(self) -> int:
        """Wait until it listens, and give its first port."""
        return int(self.hear(r"listener \S+: 127\.0\.0\.1:(\d+)")[1])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end."""
        try:
            rest, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            rest, _ = self.process.communicate()
            raise AssertionError(f"it did not end: {self.said}{rest.decode()}")
        self.said += rest.decode()
        return self.process.returncode


class ProcessCase(SynchronousTestCase):
    """Starts proxies and ends them."""

    def setUp(self) -> None:
        """Make a state directory."""
        self.state = Path(self.mktemp()).resolve()

    def start(self, *arguments: str, reactor: str = "epoll") -> Proxy:
        """Start a proxy, which is killed at the test's end if it still runs."""
        proxy = Proxy(*arguments, state=str(self.state), reactor=reactor)

        def kill() -> None:
            if proxy.process.poll() is None:
                proxy.process.kill()
            proxy.process.communicate()

        self.addCleanup(kill)
        return proxy

    def write(self, text: str) -> str:
        """Write a configuration file."""
        path = Path(self.mktemp()).resolve()
        path.write_text(text, "utf-8")
        return str(path)

    def origin(self) -> int:
        """Start an origin.

        Returns:
            Its port.
        """
        server = Origin(("127.0.0.1", 0), ClientHello)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def end() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self.addCleanup(end)
        return int(server.server_address[1])

    def audit_log(self, name: str = "audit.jsonl") -> list[dict[str, object]]:
        """Read the audit log."""
        path = self.state / name
        return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []

    def await_that(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    def get(self, port: int, url: str) -> int:
        """Ask through the proxy.

        Returns:
            The status.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", url)
            return connection.getresponse().status
        finally:
            connection.close()


class StartTests(ProcessCase):
    """A proxy that starts."""

    def test_serves_what_is_allowed_and_ends(self) -> None:
        """It serves, refuses, writes the audit log, and ends in order on SIGTERM."""
        port = self.origin()
        proxy = self.start("--listen", "tcp:0:interface=127.0.0.1", "--allow", f"localhost:{port}")
        entry = proxy.port()

        self.assertEqual(200, self.get(entry, f"http://localhost:{port}/"))
        self.assertEqual(403, self.get(entry, "http://example.com/"))
        status = proxy.end()

        # twistd ends by the signal that it was sent, as a shell expects.
        self.assertEqual(0, status, proxy.said)
        self.assertNotIn("Traceback", proxy.said)
        self.assertEqual(["start", "end", "refused", "stop"], [line["event"] for line in self.audit_log()])

    def test_reactors_and_transports(self) -> None:
        """Plain requests and tunnels pass on either reactor and either kind of transport; the log names the latter."""
        port = self.origin()
        for reactor in ("epoll", "asyncio"):
            for engine, name in (("auto", "egress"), ("twisted", "twisted")):
                text = (
                    f'engine = "{engine}"\n[[listener]]\nname = "a"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
                    f'[[policy]]\nname = "p"\nkind = "destinations"\n[[policy.allow]]\nname = "o"\n'
                    f'hosts = ["127.0.0.1"]\nports = [{port}]\n'
                )
                proxy = self.start("--config", self.write(text), reactor=reactor)
                entry = proxy.port()
                proxy.hear(f"TCP connections are served by: {name}")

                self.assertEqual(200, self.get(entry, f"http://127.0.0.1:{port}/"))
                tunnel = http.client.HTTPConnection("127.0.0.1", entry, timeout=PATIENCE_SECONDS)
                tunnel.set_tunnel("127.0.0.1", port)
                tunnel.request("GET", "/")
                self.assertEqual(b"hello", tunnel.getresponse().read())
                tunnel.close()
                self.assertEqual(0, proxy.end(), proxy.said)
                self.assertNotIn("Traceback", proxy.said)

    def test_silence_explains_itself(self) -> None:
        """Without anything allowed it says what to do next."""
        proxy = self.start("--listen", "tcp:0:interface=127.0.0.1")

        proxy.hear("nothing is allowed.*--allow HOST")
        proxy.end()

    def test_hang_up_opens_the_audit_log_anew(self) -> None:
        """SIGHUP after a rename begins a new file, and does not end the process."""
        proxy = self.start("--listen", "tcp:0:interface=127.0.0.1")
        entry = proxy.port()
        self.await_that(lambda: bool(self.audit_log()), "the audit log was begun")
        (self.state / "audit.jsonl").rename(self.state / "audit.1")

        proxy.process.send_signal(signal.SIGHUP)
        self.await_that(lambda: bool(self.audit_log()), "a new audit log was begun")
        self.assertEqual(403, self.get(entry, "http://example.com/"))
        proxy.end()

        self.assertNotIn("Traceback", proxy.said)
        self.assertIn("refused", [line["event"] for line in self.audit_log()])
        self.assertEqual("start", self.audit_log("audit.1")[0]["event"])

    def test_drains(self) -> None:
        """A tunnel has drain_seconds after SIGTERM; then it is ended and so is the process."""
        entry, proxy, client = self.tunnel("[limits]\ndrain_seconds = 0.5\n")
        begun = time.monotonic()

        proxy.process.send_signal(signal.SIGTERM)
        self.await_that(lambda: self.is_closed_to_new(entry), "the listener closed")
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b"200", client.recv(65_536))
        proxy.wait()

        self.assertGreaterEqual(time.monotonic() - begun, 0.5)
        self.assertNotIn("Traceback", proxy.said)
        self.assertEqual("stopping", self.audit_log()[-2]["cause"])

    def test_second_signal_hurries(self) -> None:
        """A second SIGTERM ends at once what the first would have waited for."""
        entry, proxy, _ = self.tunnel("[limits]\ndrain_seconds = 600\n")

        proxy.process.send_signal(signal.SIGTERM)
        self.await_that(lambda: self.is_closed_to_new(entry), "the listener closed")
        proxy.end()

        self.assertNotIn("Traceback", proxy.said)

    def tunnel(self, text: str) -> tuple[int, Proxy, socket.socket]:
        """Start a proxy and open a tunnel through it."""
        port = self.origin()
        name = self.write(text)
        proxy = self.start("-c", name, "--listen", "tcp:0:interface=127.0.0.1", "--allow", f"localhost:{port}")
        entry = proxy.port()
        client = socket.create_connection(("127.0.0.1", entry), timeout=PATIENCE_SECONDS)
        self.addCleanup(client.close)
        client.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        self.assertTrue(client.recv(65_536).startswith(b"HTTP/1.1 200"))
        return entry, proxy, client

    def is_closed_to_new(self, port: int) -> bool:
        """Whether nobody can connect any more."""
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_signals_in_a_row(self) -> None:
        """Several signals at once end it in order, too: no traceback, status 0."""
        proxy = self.start("--listen", "tcp:0:interface=127.0.0.1")
        # It says where it listens before it serves; a signal before that ends it too, but with the signal's own status.
        self.assertEqual(403, self.get(proxy.port(), "http://example.com/"))

        for _ in range(3):
            proxy.process.send_signal(signal.SIGTERM)
        status = proxy.end()

        self.assertEqual(0, status, proxy.said)
        self.assertNotIn("Traceback", proxy.said)

    def test_unix_socket(self) -> None:
        """A unix socket has its mode, replaces a stale one, is refused while in use, and is gone at the end."""
        # Not under the test's own directory, whose name may be too long for a socket.
        path = Path(f"/tmp/egress-test-{os.getpid()}.sock")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        self.addCleanup(path.unlink, missing_ok=True)
        proxy = self.start("--listen", f"unix:{path}:mode=640")
        proxy.hear("listener default: unix:")

        self.assertEqual(0o640, stat.S_IMODE(path.stat().st_mode))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(path))
            client.sendall(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            self.assertTrue(client.recv(65_536).startswith(b"HTTP/1.1 403"))
        other = self.start("--listen", f"unix:{path}")
        self.assertEqual(1, other.wait())
        self.assertIn(f"unix:{path} is in use", other.said)
        proxy.end()

        self.assertFalse(path.exists())
        self.assertNotIn("Traceback", proxy.said)

    def test_explain_looks_names_up(self) -> None:
        """`egress explain` runs the resolver where the proxy would."""
        done = subprocess.run(
            [EGRESS, "explain", "--json", "--allow", "localhost:8000", "http://localhost:8000/"],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("127.0.0.1", json.loads(done.stdout)["resolved_addresses"])


class RefusalTests(ProcessCase):
    """A proxy that cannot start says why in one line, with status 1."""

    def assert_line(self, proxy: Proxy, *words: str) -> None:
        """Wait for its end and look at what it said."""
        status = proxy.wait()
        self.assertEqual(1, status, proxy.said)
        (line,) = proxy.said.splitlines()
        self.assertTrue(line.startswith("egress-proxy: "), line)
        for word in words:
            self.assertIn(word, line)

    def test_bad_key(self) -> None:
        """A key that nobody knows."""
        name = self.write("[limits]\nhead_size = 1\n")

        self.assert_line(self.start("-c", name), name, "limits.head_size", "unknown key")

    def test_port_in_use(self) -> None:
        """A port that is taken."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            text = f'[[listener]]\nname = "a"\nendpoint = "tcp:{port}:interface=127.0.0.1"\n'
            proxy = self.start("-c", self.write(text))

            self.assert_line(proxy, "listener[0].endpoint", f"127.0.0.1:{port} is in use")

    def test_audit_log_that_cannot_be_written(self) -> None:
        """A state directory that cannot be made."""
        self.state.write_text("a file stands where the directory should be")

        self.assert_line(self.start("--listen", "tcp:0:interface=127.0.0.1"), "audit.file", "cannot be opened")

    def test_unknown_option(self) -> None:
        """An option that nobody knows."""
        self.assert_line(self.start("--permit", "x"), "--help")
