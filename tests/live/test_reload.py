"""Reloads of a running proxy, and the end of a proxy with a thousand open tunnels."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from tests.live.test_start import EGRESS, PATIENCE_SECONDS, ProcessCase, Proxy

TUNNELS = 1000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Echo:
    """An origin that answers GET, and echoes everything else.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if data.startswith(b"GET /slow"):
                    writer.write(ANSWER[:-5])
                    await asyncio.sleep(1.0)
                    writer.write(ANSWER[-5:])
                else:
                    writer.write(ANSWER if data.startswith(b"GET ") else data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    def stop(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class Load:
    """Clients that ask all the time, each in its own way, until they are told to stop.

    Attributes:
        done: how many requests succeeded.
        failures: what went wrong.
    """

    def __init__(self, entry: int, origin: int) -> None:
        self.done = 0
        self.failures: list[str] = []
        self._entry, self._origin = entry, origin
        self._is_over = threading.Event()
        ways = (self._get, self._get, self._keep_asking, self._tunnel, self._tunnel, self._long_tunnel)
        self._threads = [threading.Thread(target=self._run, args=(way,)) for way in ways]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, way: object) -> None:
        assert callable(way)
        while not self._is_over.is_set():
            try:
                way()
            except Exception as error:
                self.failures.append(f"{getattr(way, '__name__', way)}: {error!r}")

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", f"http://localhost:{self._origin}/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"hello"), answer.status
        self.done += 1

    def _get(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._entry, timeout=PATIENCE_SECONDS)
        self._ask(connection)
        connection.close()

    def _keep_asking(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._entry, timeout=PATIENCE_SECONDS)
        while not self._is_over.is_set():
            self._ask(connection)
        connection.close()

    def _tunnel(self) -> None:
        with connect(self._entry, self._origin) as client:
            self._ping(client)

    def _long_tunnel(self) -> None:
        with connect(self._entry, self._origin) as client:
            while not self._is_over.is_set():
                self._ping(client)

    def _ping(self, client: socket.socket) -> None:
        client.sendall(b"ping")
        assert client.recv(100) == b"ping", "the tunnel does not echo"
        self.done += 1


def connect(entry: int, origin: int) -> socket.socket:
    """Open a tunnel."""
    client = socket.create_connection(("127.0.0.1", entry), timeout=PATIENCE_SECONDS)
    client.sendall(f"CONNECT localhost:{origin} HTTP/1.1\r\nHost: localhost:{origin}\r\n\r\n".encode())
    said = client.recv(65_536)
    assert said.startswith(b"HTTP/1.1 200"), said
    return client


class ReloadCase(ProcessCase):
    """Starts a proxy with a file, in a state directory whose name is short enough for a socket."""

    def setUp(self) -> None:
        """Start an origin, and make the directory."""
        super().setUp()
        self.state = Path(tempfile.mkdtemp(prefix="egress-"))
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)
        self.echo = Echo()
        self.addCleanup(self.echo.stop)
        self.file = self.state / "egress.toml"

    def rules(self, name: str = "origin", host: str = "localhost", more: str = "") -> str:
        """Make a configuration that allows the origin by one rule."""
        return f"""
            [[listener]]
            name = "agents"
            endpoint = "tcp:0:interface=127.0.0.1"
            [[policy]]
            kind = "destinations"
            [[policy.allow]]
            name = "{name}"
            hosts = ["{host}"]
            ports = ["1-65535"]
            addresses = ["127.0.0.0/8", "::1"]
            {more}
            """

    def begin(self, text: str) -> tuple[Proxy, int]:
        """Start the proxy, and wait until it serves."""
        self.file.write_text(text, "utf-8")
        proxy = self.start("-c", str(self.file))
        entry = proxy.port()
        self.await_that(lambda: (self.state / "control.sock").exists(), "there is a control socket")
        return proxy, entry

    def reload(self, text: str) -> subprocess.CompletedProcess[str]:
        """Write the file and run `egress reload`."""
        self.file.write_text(text, "utf-8")
        return subprocess.run(
            [EGRESS, "reload", "--state", self.state],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def causes(self) -> list[object]:
        """Give the causes of the requests that are over."""
        return [line["cause"] for line in self.audit_log() if line["event"] in ("end", "refused")]


class ReloadTests(ReloadCase):
    """Reloads of a proxy that serves."""

    def test_under_load(self) -> None:
        """No request fails that both configurations allow, however it comes, while they take turns."""
        proxy, entry = self.begin(self.rules())
        load = Load(entry, self.echo.port)
        self.await_that(lambda: load.done > 100, "the load runs")
        more = '[[listener]]\nname = "more"\nendpoint = "tcp:0:interface=127.0.0.1"\n[limits]\npool_seconds = 5\n'
        for at in range(10):
            before = load.done
            text = self.rules(f"rule {at}", more=more if at % 2 else "")
            if at % 2:
                done = self.reload(text)
                self.assertEqual(0, done.returncode, done.stderr)
                self.assertIn(f"configuration {at + 2} is in force: listener more is new", done.stdout)
            else:
                self.file.write_text(text, "utf-8")
                proxy.process.send_signal(signal.SIGHUP)
                proxy.hear(f"configuration {at + 2} is in force")
            self.await_that(lambda: load.done > before + 50, "the load goes on")  # noqa: B023  # run at once
        load.stop()
        status = proxy.end()

        self.assertEqual([], load.failures)
        self.assertEqual(0, status, proxy.said)
        self.assertNotIn("Traceback", proxy.said)
        lines = self.audit_log()
        # The long tunnel went from one configuration to the next, and ended when its client did.
        self.assertEqual(
            [], [line for line in lines if line.get("cause") not in (None, "", "complete", "client_closed")]
        )
        self.assertEqual(
            [*range(2, 12)], [line["config_generation"] for line in lines if line["event"] == "reload"], lines[-1]
        )

    def test_a_broken_file(self) -> None:
        """A file that cannot be used changes nothing, is told in one line, and is read again when it is mended."""
        proxy, entry = self.begin(self.rules())
        done = self.reload(self.rules() + "[guards]\n")
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertIn(f"egress: nothing changed: {self.file}: guards: unknown key", done.stderr)
        proxy.hear("nothing was reloaded, the configuration in force stays: .*guards: unknown key")
        self.file.unlink()
        os.mkfifo(self.file)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.hear("is not a regular file")
        self.assertEqual(200, self.get(entry, f"http://localhost:{self.echo.port}/"))
        self.file.unlink()

        done = self.reload(self.rules(more="[guard]\nenabled = false\n"))

        self.assertEqual((0, "configuration 2 is in force: [guard] changed\n"), (done.returncode, done.stdout))
        self.assertIn("protects less: the guard is off", done.stderr)
        proxy.hear("it protects less than the one before: the guard is off")
        proxy.end()
        self.assertNotIn("Traceback", proxy.said)
        self.assertFalse((self.state / "control.sock").exists())

    def test_tunnels_are_judged_again(self) -> None:
        """A tunnel that no rule allows any more is reset, and the record says why; another one lives on."""
        more = f'[[policy.allow]]\nname = "literal"\nhosts = ["127.0.0.1"]\nports = [{self.echo.port}]\n'
        proxy, entry = self.begin(self.rules(more=more))
        stays = connect(entry, self.echo.port)
        goes = socket.create_connection(("127.0.0.1", entry), timeout=PATIENCE_SECONDS)
        self.addCleanup(stays.close)
        self.addCleanup(goes.close)
        place = f"127.0.0.1:{self.echo.port}"
        goes.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        self.assertTrue(goes.recv(65_536).startswith(b"HTTP/1.1 200"))

        self.assertEqual(0, self.reload(self.rules()).returncode)

        proxy.hear("2 requests under way were judged again, and 1 of them ended")
        self.assertRaises(ConnectionResetError, goes.recv, 100)
        stays.sendall(b"ping")
        self.assertEqual(b"ping", stays.recv(100))
        self.await_that(lambda: "policy" in self.causes(), "it is on record")
        stays.close()
        line = next(line for line in self.audit_log() if line.get("cause") == "policy")
        self.assertEqual(("refused", "deny", "no_rule", "127.0.0.1"), tuple(
            line[key] for key in ("event", "verdict", "code", "server_address")
        ))  # fmt: skip
        proxy.end()

    def test_nobody_there(self) -> None:
        """Without a proxy the command says so, with status 4."""
        self.assertEqual(4, self.reload("").returncode)


class EndTests(ReloadCase):
    """SIGTERM with much under way."""

    def setUp(self) -> None:
        """Let this process have the descriptors of so many tunnels, both ends."""
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = TUNNELS * 3
        if hard != resource.RLIM_INFINITY and hard < needed:
            needed = hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def test_a_thousand_tunnels(self) -> None:
        """All end within drain_seconds, each with its record; what can end well until then does."""
        proxy, entry = self.begin(self.rules(more="[limits]\ndrain_seconds = 3\n"))
        tunnels = [connect(entry, self.echo.port) for _ in range(TUNNELS)]
        for tunnel in tunnels:
            self.addCleanup(tunnel.close)
        slow = socket.create_connection(("127.0.0.1", entry), timeout=PATIENCE_SECONDS)
        late = socket.create_connection(("127.0.0.1", entry), timeout=PATIENCE_SECONDS)
        self.addCleanup(slow.close)
        self.addCleanup(late.close)
        host = f"localhost:{self.echo.port}"
        slow.sendall(f"GET http://{host}/slow HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        late.sendall(f"CONNECT {host} HTTP/1.1\r\n".encode())
        self.assertIn(b"200 OK", slow.recv(100))

        begun = time.monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        proxy.hear("stopping: connections left to end: 1002")
        # New requests get a typed answer, what was begun goes on, and tunnels still carry bytes.
        late.sendall(f"Host: {host}\r\n\r\n".encode())
        said = b""
        while data := late.recv(65_536):
            said += data
        tunnels[0].sendall(b"still here")
        self.assertEqual(b"still here", tunnels[0].recv(100))
        answer = b""
        while not answer.endswith(b"hello"):
            answer += slow.recv(100)
        status = proxy.wait()

        self.assertGreaterEqual(time.monotonic() - begun, 3.0)
        self.assertEqual((0, True), (status, said.startswith(b"HTTP/1.1 503 ")), proxy.said)
        self.assertEqual("stopping", json.loads(said.partition(b"\r\n\r\n")[2])["code"])
        self.assertNotIn("Traceback", proxy.said)
        self.assertEqual(TUNNELS, self.count_ended(tunnels))
        lines = self.audit_log()
        self.assertEqual("stop", lines[-1]["event"])
        ends = [line for line in lines if line["event"] == "end" and line["cause"] == "stopping"]
        self.assertEqual((TUNNELS, TUNNELS), (len(ends), len({line["request_id"] for line in ends})))
        self.assertEqual(["complete"], [line["cause"] for line in lines if line.get("http_request_method") == "GET"])

    def count_ended(self, tunnels: list[socket.socket]) -> int:
        """Count those whose end can be seen."""
        ended = 0
        with selectors.DefaultSelector() as selector:
            for tunnel in tunnels:
                tunnel.setblocking(False)
                selector.register(tunnel, selectors.EVENT_READ)
            for key, _ in selector.select(PATIENCE_SECONDS):
                tunnel = key.fileobj  # type: ignore[assignment]
                try:
                    ended += tunnel.recv(100) == b""
                except ConnectionResetError:
                    ended += 1
        return ended
