"""A change of the route by a reload."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import ClassVar

from tests.live.routes.client import ask
from tests.live.routes.environment import ORIGIN_NAME, SITE, SITE_6
from tests.live.routes.squid import PORT
from tests.live.routes.support import LISTENER, PASSWORD, RULES, USER, RouteCase
from tests.live.support import PATIENCE_SECONDS, await_that

REQUEST_FORMS = ("http", "connect")


def told(default: str) -> str:
    """Give a configuration with two routes, one of which is taken."""
    text = f'{LISTENER}\n[routing]\ndefault = "{default}"\n'
    for name, host in (("four", SITE), ("six", f"[{SITE_6}]")):
        text += f"""
[[upstream]]
name = "{name}"
url = "http://{USER}:{PASSWORD}@{host}:{PORT}"
allow_plaintext_credentials = true
"""
    return text + RULES


class ReloadTests(RouteCase):
    """The file names another route, and the supervisor is told to read it."""

    route: ClassVar[str] = "six"

    def proxies(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def configuration(self, directory: Path) -> str:
        """Begin with one."""
        return told("four")

    def test_reload(self) -> None:
        """A tunnel stays on the route that it was opened on; what comes later takes the new one."""
        with self.there():
            listening = socket.create_server(("::", 0), family=socket.AF_INET6)
        self.addCleanup(listening.close)
        listening.settimeout(PATIENCE_SECONDS)
        authority = f"{ORIGIN_NAME}:{listening.getsockname()[1]}"
        tunnel = socket.create_connection(("127.0.0.1", self.supervisor.port), PATIENCE_SECONDS)
        self.addCleanup(tunnel.close)
        tunnel.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("ascii"))
        self.assertTrue(tunnel.recv(4096).startswith(b"HTTP/1.1 200 "))
        accepted, _ = listening.accept()
        self.addCleanup(accepted.close)
        origin = self.origin()
        self.assertEqual(200, ask(self.supervisor.port, "http", f"{ORIGIN_NAME}:{origin.port}").status)
        (before,) = self.lines(origin.port, 1)

        path = self.supervisor.configuration
        path.write_text(path.read_text("utf-8").replace('default = "four"', 'default = "six"'), "utf-8")
        self.supervisor.process.send_signal(signal.SIGHUP)
        await_that(lambda: "configuration 2 is in force" in self.supervisor.said(), self.supervisor.said)

        tunnel.sendall(b"still here")
        self.assertEqual(b"still here", accepted.recv(4096))
        for supervisor in REQUEST_FORMS:
            self.assertEqual(200, ask(self.supervisor.port, supervisor, f"{ORIGIN_NAME}:{origin.port}").status)
        after = self.lines(origin.port, 3)[1:]
        self.assertEqual(("four", SITE), (before["upstream"], before["network_peer_address"]))
        self.assertEqual([("six", SITE_6)] * 2, [(line["upstream"], line["network_peer_address"]) for line in after])
