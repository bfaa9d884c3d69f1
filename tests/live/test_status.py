"""The status listener of a real process, with curl as the client."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time

from tests.live.support import needs
from tests.live.test_start import PATIENCE_SECONDS, ProcessCase, Proxy


class StatusTests(ProcessCase):
    """What operators are told from the start to the end."""

    def setUp(self) -> None:
        super().setUp()
        needs("curl", "curl is not installed")

    def launch(self, *, drain_seconds: int = 30, engine: str = "auto") -> tuple[Proxy, int, str]:
        """Start a proxy with a status listener.

        Returns:
            It, its port, and where the status is.
        """
        self.origin_port = self.origin()
        name = self.write(
            f'engine = "{engine}"\n'
            '[[listener]]\nname = "agents"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
            '[status]\nendpoint = "tcp:0:interface=127.0.0.1"\nhosts = ["egress.example"]\n'
            f"[limits]\ndrain_seconds = {drain_seconds}\n"
        )
        proxy = self.start("-c", name, "--allow", f"localhost:{self.origin_port}")
        entry = proxy.port()
        status = proxy.hear(r"status: (127\.0\.0\.1:\d+)")[1]
        return proxy, entry, status

    def curl(self, *arguments: str) -> tuple[int, str]:
        """Ask.

        Returns:
            The status, 0 where there was nobody to ask, and the body.
        """
        done = subprocess.run(
            ["curl", "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        body, _, status = done.stdout.decode("utf-8").rpartition("\n")
        return int(status), body

    def samples(self, status: str) -> dict[str, float]:
        """Read the metrics."""
        code, body = self.curl(f"http://{status}/metrics")
        self.assertEqual(200, code)
        lines = [line.rpartition(" ") for line in body.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def tunnel(self, entry: int) -> socket.socket:
        """Open a tunnel to the origin."""
        client = socket.create_connection(("127.0.0.1", entry), timeout=PATIENCE_SECONDS)
        self.addCleanup(client.close)
        place = f"localhost:{self.origin_port}"
        client.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        self.assertTrue(client.recv(65_536).startswith(b"HTTP/1.1 200"))
        return client

    def test_pages(self) -> None:
        """Health and metrics are there, under either engine, and counts move."""
        for engine in ("auto", "twisted"):
            with self.subTest(engine):
                proxy, entry, status = self.launch(engine=engine)
                self.assertEqual(200, self.get(entry, f"http://localhost:{self.origin_port}/"))
                self.assertEqual(403, self.get(entry, "http://refused.example/"))
                client = self.tunnel(entry)

                self.assertEqual((200, "alive\n"), self.curl(f"http://{status}/livez"))
                self.assertEqual((200, "ready\n"), self.curl(f"http://{status}/readyz"))
                samples = self.samples(status)
                client.close()
                proxy.end()

                common = 'listener="agents",policy="allow-option",request_form="http"'
                allowed = f'egress_requests_total{{code="",{common},upstream="direct",verdict="allow"}}'
                denied = f'egress_requests_total{{code="no_rule",{common},upstream="",verdict="deny"}}'
                self.assertEqual((1, 1), (samples[allowed], samples[denied]))
                self.assertEqual(
                    5, samples['egress_transferred_bytes_total{direction="down",listener="agents",upstream="direct"}']
                )
                self.assertEqual(1, samples['egress_tunnels{listener="agents",upstream="direct"}'])
                self.assertEqual(1, samples["egress_config_generation"])
                self.assertEqual(1, samples["egress_audit_log_accepting"])
                self.assertEqual(1, samples["egress_config_last_reload_successful"])
                started = samples["process_start_time_seconds"]
                self.assertLess(abs(time.time() - started), PATIENCE_SECONDS)
                self.assertLess(abs(samples["egress_config_last_reload_success_timestamp_seconds"] - started), 30)
                self.assertGreater(samples["process_virtual_memory_bytes"], samples["process_resident_memory_bytes"])
                self.assertGreater(samples["process_max_fds"], samples["process_open_fds"])
                self.assertGreater(samples["process_open_fds"], 5)
                self.assertGreater(samples["process_resident_memory_bytes"], 1_000_000)
                word = "twisted" if engine == "twisted" else "egress"
                self.assertTrue(
                    [name for name in samples if name.startswith(f'egress_build_info{{transports="{word}"')]
                )
                self.assertNotIn("Traceback", proxy.said)

    def test_draining(self) -> None:
        """While it drains it is alive and not ready; when it is over, nobody answers any more."""
        proxy, entry, status = self.launch()
        client = self.tunnel(entry)

        proxy.process.send_signal(signal.SIGTERM)
        self.await_that(lambda: self.curl(f"http://{status}/readyz")[0] == 503, "it is not ready")

        self.assertEqual((503, "The proxy is stopping.\n"), self.curl(f"http://{status}/readyz"))
        self.assertEqual((200, "alive\n"), self.curl(f"http://{status}/livez"))
        self.assertEqual(1, self.samples(status)['egress_tunnels{listener="agents",upstream="direct"}'])
        client.close()
        self.assertEqual(0, proxy.wait(), proxy.said)
        self.assertEqual(0, self.curl(f"http://{status}/livez")[0])
        self.assertNotIn("Traceback", proxy.said)

    def test_names(self) -> None:
        """It is known by its addresses and the names that were given to it, and by no other."""
        proxy, _, status = self.launch()

        self.assertEqual(200, self.curl(f"http://localhost:{status.rpartition(':')[2]}/livez")[0])
        self.assertEqual(200, self.curl("--header", "Host: egress.example", f"http://{status}/livez")[0])
        self.assertEqual(421, self.curl("--header", "Host: rebound.example", f"http://{status}/metrics")[0])
        proxy.end()

    def test_no_destination(self) -> None:
        """An agent cannot ask the proxy to take it there, although a rule would allow it."""
        proxy, entry, status = self.launch()
        self.state = self.state.with_name("another")
        allowing = self.start(
            "--listen", "tcp:0:interface=127.0.0.1", "--allow", status, "-c", self.write("[guard]\nenabled = false\n")
        )
        self.assertEqual(200, self.get(allowing.port(), f"http://{status}/livez"), "another proxy takes it there")
        allowing.end()
        connection = http.client.HTTPConnection("127.0.0.1", entry, timeout=PATIENCE_SECONDS)
        self.addCleanup(connection.close)

        connection.request("GET", f"http://{status}/metrics")
        answer = connection.getresponse()

        self.assertEqual((403, "own_address"), (answer.status, json.loads(answer.read())["code"]))
        proxy.end()

    def test_taken(self) -> None:
        """A place that is taken stops the start with one line."""
        _, _, status = self.launch()
        text = f'[status]\nendpoint = "tcp:{status.rpartition(":")[2]}:interface=127.0.0.1"\n'
        other = self.start("-c", self.write(text), "--listen", "tcp:0:interface=127.0.0.1")

        self.assertEqual(1, other.wait())
        (line,) = other.said.splitlines()
        self.assertIn("status.endpoint", line)
        self.assertIn("is in use", line)
