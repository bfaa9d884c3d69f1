"""A cluster node: a proxy from the environment, and services of the cluster that bypass the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from tests.live.origins import HELLO, Origin, Pages, Place
from tests.live.routes.client import ask
from tests.live.routes.environment import ORIGIN_NAME, SERVICE
from tests.live.routes.support import LISTENER, RouteCase
from tests.live.support import needs

REQUEST_FORMS = ("http", "connect")
NAME = "api.default.svc.cluster.local"
CLOSED_NAME = "closed.default.svc.cluster.local"
OTHER_NAME = "service.corp.example"


class ClusterTests(RouteCase):
    """NO_PROXY lists the names and the addresses of services."""

    place: ClassVar[Place] = Place(NAME, SERVICE)
    address_check: ClassVar[str] = "passed"
    hosts: ClassVar[dict[str, str]] = dict.fromkeys((NAME, CLOSED_NAME, OTHER_NAME), SERVICE)
    route: ClassVar[str] = "direct"

    def proxies(self) -> dict[str, str]:
        """The proxy, and what is not for it."""
        return {**super().proxies(), "NO_PROXY": "*.svc.cluster.local,10.96.0.0/12"}

    def configuration(self, directory: Path) -> str:
        """Open the network for one service, for a name elsewhere, and by address; not for the other service."""
        return f"""{LISTENER}
[[policy]]
kind = "destinations"

[[policy.allow]]
name = "by name"
hosts = ["{NAME}", "{OTHER_NAME}"]
ports = ["1-65535"]
addresses = ["10.96.0.0/12"]

[[policy.allow]]
name = "closed"
hosts = ["{CLOSED_NAME}"]
ports = ["1-65535"]

[[policy.allow]]
name = "by address"
hosts = ["10.96.0.0/12"]
ports = ["1-65535"]

[[policy.allow]]
name = "outside"
hosts = ["{ORIGIN_NAME}"]
ports = ["1-65535"]
"""

    @contextmanager
    def there(self) -> Iterator[None]:
        """In the cluster."""
        with self.snapshot.cluster.entered():
            yield

    def test_service(self) -> None:
        """A service answers by HTTPS and by plain HTTP, and the proxy hears nothing of it."""
        needs("curl", "curl is not installed")
        for is_tls, supervisor in ((True, "connect"), (False, "http")):
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)

                done = self.run_client("curl", "--no-progress-meter", "--cacert", self.authority.path, origin.url)

                self.assertEqual((0, HELLO.decode()), (done.returncode, done.stdout), done.stderr)
                (line,) = self.lines(origin.port, 1)
                told = (
                    line["upstream"],
                    line["upstream_level"],
                    line["network_peer_address"],
                    line["resolved_addresses"],
                    line["address_check"],
                )
                self.assertEqual(("direct", "environment", SERVICE, [SERVICE], "passed"), told)
                self.assertNotIn(str(origin.port), str(self.squid.asked()))

    def test_by_address(self) -> None:
        """So does one that is asked for by its address, or by a name that leads to it."""
        port = self.origin().port
        for host in (SERVICE, OTHER_NAME):
            for supervisor in REQUEST_FORMS:
                with self.subTest(host=host, supervisor=supervisor):
                    self.assertEqual(200, ask(self.supervisor.port, supervisor, f"{host}:{port}").status)
        self.assertEqual({"direct"}, {line["upstream"] for line in self.lines(port, 4)})
        self.assertNotIn(str(port), str(self.squid.asked()))

    def test_closed(self) -> None:
        """Without `addresses` it is refused, and the refusal names the missing key. Nothing is dialled."""
        origin = self.origin()
        for supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                answer = ask(self.supervisor.port, supervisor, f"{CLOSED_NAME}:{origin.port}")

                told = (answer.status, answer.problem["code"], answer.problem["policy"])
                self.assertEqual((403, "address_refused", "ssrf-guard"), told)
                self.assertIn("`addresses`", answer.problem["reason"])
                self.assertNotIn(SERVICE, answer.text)
        self.assertEqual([], origin.seen)
        self.assertNotIn(str(origin.port), str(self.squid.asked()))

    def test_the_rest(self) -> None:
        """Everything else goes through the proxy."""
        with self.snapshot.outside.entered():
            outside = Origin(None, Pages, Place(ORIGIN_NAME, "::"))
        self.addCleanup(outside.stop)
        port = outside.port
        for supervisor in REQUEST_FORMS:
            self.assertEqual(200, ask(self.supervisor.port, supervisor, f"{ORIGIN_NAME}:{port}").status)
        self.assertEqual({"HTTPS_PROXY"}, {line["upstream"] for line in self.lines(port, 2)})
        self.squid.await_asked(f"{ORIGIN_NAME}:{port}", 2)
