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

    def find_timers(self, engine: str, seconds: int) -> list[str | None]:
        """Open a tunnel and a connection to the status listener; tell the timers of the proxy's ends."""
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
        asking = socket.create_connection(("127.0.0.1", status), PATIENCE_SECONDS)
        self.addCleanup(asking.close)
        ends = ((entry, client.getsockname()[1]), (dialled[1], port), (status, asking.getsockname()[1]))
        # A segment that is not acknowledged has the timer first.
        self.await_that(lambda: all(find_timer(*end) in ("", "keepalive") for end in ends), "all is acknowledged")
        timers = [find_timer(*end) for end in ends]
        client.close()
        far.close()
        proxy.end()  # the next one needs its state directory
        return timers

    def test_probed(self) -> None:
        """All ends of the proxy are probed."""
        for engine in ("auto", "twisted"):
            self.assertEqual(["keepalive"] * 3, self.find_timers(engine, 300), engine)

    def test_off(self) -> None:
        """With 0 none is."""
        for engine in ("auto", "twisted"):
            self.assertEqual([""] * 3, self.find_timers(engine, 0), engine)
