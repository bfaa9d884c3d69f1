"""Routes that lead back to the supervisor."""

from __future__ import annotations

from typing import ClassVar

from tests.live.routes.client import ask
from tests.live.routes.environment import NODE, ORIGIN_NAME
from tests.live.routes.support import LISTENER, RULES, RouteCase
from tests.live.support import Supervisor, await_that

REQUEST_FORMS = ("http", "connect")
PORT = 3128
OWN_NAME = "node.example"


class LoopTests(RouteCase):
    """The operator's environment names our own listener as the proxy."""

    hosts: ClassVar[dict[str, str]] = {OWN_NAME: NODE}

    def assert_loop(self, proxy: str, interface: str) -> None:
        """No request goes round in circles: it is answered, and on record once."""
        configuration = LISTENER.replace("tcp:0:interface=127.0.0.1", f"tcp:{PORT}:interface={interface}") + RULES
        environment = {**self.environment(has_proxy=False), "HTTPS_PROXY": proxy}
        supervisor = Supervisor(self.directory(), configuration, environment, self.snapshot.node.words())
        try:
            for form in REQUEST_FORMS:
                problem = ask(PORT, form, f"{ORIGIN_NAME}:443").problem
                self.assertEqual((502, "proxy_loop"), (problem["status"], problem["code"]), problem)
            await_that(lambda: len(supervisor.audit_log()) > len(REQUEST_FORMS), supervisor.said)
        finally:
            supervisor.stop()
        codes = [line["code"] for line in supervisor.audit_log() if line["event"] not in ("start", "stop")]
        self.assertEqual(["proxy_loop"] * len(REQUEST_FORMS), codes)

    def test_loop(self) -> None:
        """By address, by name, and by another address than that which it listens on."""
        for proxy, interface in (
            (f"http://127.0.0.1:{PORT}", "127.0.0.1"),
            (f"http://[::ffff:127.0.0.1]:{PORT}", "127.0.0.1"),
            (f"http://localhost:{PORT}", "0.0.0.0"),
            (f"http://{OWN_NAME}:{PORT}", "0.0.0.0"),
        ):
            with self.subTest(proxy=proxy):
                self.assert_loop(proxy, interface)
