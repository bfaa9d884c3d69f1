"""Routes that lead back to the supervisor."""

from __future__ import annotations

from typing import ClassVar

from tests.live.routes.environment import NODE
from tests.live.routes.support import LISTENER, RULES, RouteCase
from tests.live.support import Supervisor

PORT = 3128
OWN_NAME = "node.example"


class LoopTests(RouteCase):
    """The operator's environment names our own listener as the proxy."""

    hosts: ClassVar[dict[str, str]] = {OWN_NAME: NODE}

    def configuration_on(self, interface: str) -> str:
        """Give a configuration that listens on an interface of the node."""
        return LISTENER.replace("tcp:0:interface=127.0.0.1", f"tcp:{PORT}:interface={interface}") + RULES

    def start(self, proxy: str, configuration: str) -> Supervisor:
        """Start a supervisor whose environment names the proxy."""
        environment = {**self.environment(has_proxy=False), "HTTPS_PROXY": proxy}
        return Supervisor(self.directory(), configuration, environment, self.snapshot.node.words())

    def test_no_start(self) -> None:
        """By address, by name, and by another address than that which it listens on, it ends the start."""
        for proxy, interface in (
            (f"127.0.0.1:{PORT}", "127.0.0.1"),
            (f"http://[::ffff:127.0.0.1]:{PORT}", "127.0.0.1"),
            (f"http://localhost:{PORT}", "0.0.0.0"),
            (f"http://{NODE}:{PORT}", "0.0.0.0"),
            (f"http://{OWN_NAME}:{PORT}", "0.0.0.0"),
        ):
            with self.subTest(proxy=proxy):
                error = self.assertRaises(AssertionError, self.start, proxy, self.configuration_on(interface))
                self.assertIn("HTTPS_PROXY: is a listener of this proxy itself", str(error))
