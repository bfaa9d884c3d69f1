"""The kernel's view of the connections of a running proxy: it probes all of them."""

from __future__ import annotations

import re
import socket
import subprocess

from tests.live.support import needs
from tests.live.test_start import PATIENCE_SECONDS, ProcessCase


def find_timer(local: int, remote: int) -> str | None:
    """Ask ss(8) which timer is pending for a connection; "" for none, None where there is no connection."""
    question = ["ss", "-tnoH", "state", "established", f"sport = :{local} and dport = :{remote}"]
    told = subprocess.run(question, capture_output=True, check=True, timeout=PATIENCE_SECONDS).stdout.decode()
    found = re.search(r"timer:\((\w+),", told)
    return (found[1] if found else "") if told else None


class KeepaliveTests(ProcessCase):
    """Tunnels, origins and the status listener, by both kinds of transports."""

    def setUp(self) -> None:
        super().setUp()
        needs("ss", "iproute2 is not installed")

    def check(self, engine: str, seconds: int) -> None:
        """Open a tunnel and a connection to the status listener, and check the timers of the proxy's ends."""
        origin = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(origin.close)
        port = origin.getsockname()[1]
        text = (
            f'engine = "{engine}"\n[[listener]]\nname = "a"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
            '[status]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
            f"[limits]\ntcp_keepalive_seconds = {seconds}\n"
        )
        proxy = self.start("--config", self.write(text), "--allow", f"localhost:{port}")
        entry, status = proxy.port(), int(proxy.hear(r"status: 127\.0\.0\.1:(\d+)")[1])
        client = socket.create_connection(("127.0.0.1", entry), PATIENCE_SECONDS)
        self.addCleanup(client.close)
        client.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        self.assertIn(b" 200 ", client.recv(4096))
        far, dialled = origin.accept()
        self.addCleanup(far.close)
        self.await_timer(entry, client.getsockname()[1], seconds)
        self.await_timer(dialled[1], port, seconds)
        asking = socket.create_connection(("127.0.0.1", status), PATIENCE_SECONDS)
        self.addCleanup(asking.close)
        self.await_timer(status, asking.getsockname()[1], seconds)
        client.close()
        far.close()
        proxy.end()  # the next one needs its state directory

    def await_timer(self, local: int, remote: int, seconds: int) -> None:
        """Wait until a connection has the keepalive timer, or until it has none.

        A segment that is not acknowledged has the timer first, and dialled connections are probed some seconds later.
        """
        expected = "keepalive" if seconds else ""
        self.await_that(lambda: find_timer(local, remote) == expected, f"{local} to {remote}: {expected!r}")

    def test_probed(self) -> None:
        """All ends of the proxy are probed."""
        for engine in ("auto", "twisted"):
            self.check(engine, 300)

    def test_off(self) -> None:
        """With 0 none is."""
        for engine in ("auto", "twisted"):
            self.check(engine, 0)
