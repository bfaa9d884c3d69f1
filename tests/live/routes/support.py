"""Helpers of the tests of routes: networks, proxies and a supervisor for each class."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

from tests.live.certificates import CertificateAuthority
from tests.live.origins import Place
from tests.live.routes.environment import (
    FAR,
    FAR_6,
    FAR_NAME,
    ORIGIN,
    ORIGIN_6,
    ORIGIN_NAME,
    PARTNER,
    SECOND_NAME,
    SITE,
    SITE_6,
    Snapshot,
)
from tests.live.routes.haproxy import Haproxy, needs_haproxy
from tests.live.routes.namespaces import needs_networks
from tests.live.routes.squid import BANNED, PORT, Squid, needs_squid
from tests.live.support import REFUSED, LiveCase, Supervisor

USER = "agent"
PASSWORD = "password-secret-7391"
PARTNER_PASSWORD = "partner-secret-7391"
PROXY_NAME = "proxy.example"

LISTENER = """
[[listener]]
name = "agents"
endpoint = "tcp:0:interface=127.0.0.1"

[limits]
drain_seconds = 1

[audit]
paths = "full"
"""

RULES = f"""
[[policy]]
kind = "destinations"

[[policy.allow]]
name = "by name"
hosts = ["{ORIGIN_NAME}", "{SECOND_NAME}", "{FAR_NAME}", "{BANNED}"]
ports = ["1-65535"]
"""


def filed(directory: Path, password: str) -> tuple[str, Path]:
    """Give tables of a listener `filed`, whose upstream of that name reads its credentials from a file.

    Args:
        directory: for the file.
        password: that the file has at first.

    Returns:
        The tables, and the file.
    """
    words = directory / "words"
    words.touch(mode=0o600)
    words.write_text(f"{USER}:{password}\n", "ascii")
    tables = f"""
[[listener]]
name = "filed"
endpoint = "tcp:0:interface=127.0.0.1"
via = "filed"

[[upstream]]
name = "filed"
url = "http://{SITE}:{PORT}"
credentials = "{words}"
allow_plaintext_credentials = true
"""
    return tables, words


def spellings(password: str) -> tuple[str, str]:
    """Give a password as it is and as Basic sends it."""
    return password, b64encode(f"{USER}:{password}".encode()).decode("ascii")


class RouteCase(LiveCase):
    """Tests whose supervisor has no way out but a Squid that wants to know who asks.

    Clients, that is this thread and what it starts, are on the node; origins are outside.

    Attributes:
        snapshot: of the class.
        squid: the site's.
        hosts: the names that the node knows.
        known: the names that the Squid knows, all of the one origin.
        is_silent: the node's resolver does not answer.
        route: the audit log's name of the route.
    """

    snapshot: ClassVar[Snapshot]
    squid: ClassVar[Squid]
    place: ClassVar[Place] = Place(ORIGIN_NAME, "::")
    address_check: ClassVar[str] = "none"
    secrets: ClassVar[tuple[str, ...]] = (*LiveCase.secrets, *spellings(PASSWORD), *spellings(PARTNER_PASSWORD))
    hosts: ClassVar[Mapping[str, str]] = {PROXY_NAME: SITE}
    known: ClassVar[tuple[str, ...]] = (ORIGIN_NAME, SECOND_NAME)
    is_silent: ClassVar[bool] = False
    route: ClassVar[str] = "HTTPS_PROXY"
    _shared: ClassVar[ExitStack]

    def setUp(self) -> None:
        """Look for what it takes, and go to the node."""
        needs_networks()
        needs_squid()
        super().setUp()
        there = ExitStack()
        there.enter_context(self.snapshot.node.entered())
        self.addCleanup(there.close)

    def proxies(self) -> dict[str, str]:
        """Give what the supervisor's environment says of proxies."""
        return {"HTTPS_PROXY": f"http://{USER}:{PASSWORD}@{SITE}:3128"}

    def configuration(self, directory: Path) -> str:
        """Give the supervisor's configuration.

        Args:
            directory: for files that it names.
        """
        return LISTENER + RULES

    def start_proxies(self) -> None:
        """Start what else the class shares, before the supervisor."""

    def start_shared(self) -> None:
        """Start the world, its proxies and the supervisor."""
        kind, directory = type(self), self.directory()
        names = tuple({self.place.host, ORIGIN_NAME, FAR_NAME, PROXY_NAME, "other.example"})
        addresses = tuple(map(ip_address, (SITE, PARTNER, ORIGIN, ORIGIN_6, FAR, FAR_6)))
        kind.authority = CertificateAuthority(directory, names, addresses)
        kind._shared = ExitStack()
        with ExitStack() as until_made:
            until_made.callback(kind._shared.close)
            kind.snapshot = Snapshot(directory, self.hosts, is_silent=self.is_silent)
            kind._shared.callback(kind.snapshot.stop)
            hosts = dict.fromkeys(self.known, (ORIGIN, ORIGIN_6))
            kind.squid = Squid(self.snapshot.site, (SITE, SITE_6), hosts, {USER: PASSWORD})
            kind._shared.callback(kind.squid.stop)
            self.start_proxies()
            kind.supervisor = self.start_supervisor(directory)
            until_made.pop_all()

    def start_supervisor(self, directory: Path) -> Supervisor:
        """Start the supervisor, with nothing in its environment but what is about proxies."""
        return Supervisor(
            directory, self.configuration(directory), self.environment_on_node(), self.snapshot.node.words()
        )

    def environment_on_node(self) -> dict[str, str]:
        """Give the supervisor's environment."""
        return {**self.environment(has_proxy=False), **self.proxies()}

    def stop_shared(self) -> None:
        """End the supervisor, look for secrets in what it leaves behind, and end the world."""
        with self._shared:
            super().stop_shared()
            for path in self.supervisor.state.rglob("*"):
                content = path.read_bytes() if path.is_file() else b""
                for secret in self.secrets:
                    self.assertNotIn(secret.encode(), content, str(path))
            self.assertNotIn(REFUSED, str(self.squid.asked()))

    @contextmanager
    def there(self) -> Iterator[None]:
        """Outside."""
        with self.snapshot.outside.entered():
            yield

    def assert_passed(self, port: int, *fronts: str, host: str = "") -> list[dict[str, Any]]:
        """The same, and by the route that was chosen; each has reached the proxy, with the supervisor's credentials."""
        lines = super().assert_passed(port, *fronts, host=host)
        self.assertEqual({self.route}, {line["upstream"] for line in lines})
        asked = self.squid.await_asked(f"{host or self.place.host}:{port}", len(fronts))
        self.assertEqual({USER}, {each.user for each in asked})
        return lines

    def assert_refused(self, port: int, *fronts: str) -> None:
        """The same, and the proxy never heard of it."""
        super().assert_refused(port, *fronts)
        self.assertNotIn(REFUSED, str(self.squid.asked()))


class RowCase(RouteCase):
    """The same with two proxies in a row: HAProxy, which wants a certificate, before the first; and the partner's.

    Attributes:
        partner: the second Squid, which alone reaches the origins of these tests.
        partner_url: how it is spoken to.
    """

    partner: ClassVar[Squid]
    partner_url: ClassVar[str] = f"http://{PARTNER}:3128"
    place: ClassVar[Place] = Place(FAR_NAME, "::")
    route: ClassVar[str] = "partner"

    def setUp(self) -> None:
        """Look for what it takes."""
        needs_haproxy()
        super().setUp()

    def proxies(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def configuration(self, directory: Path) -> str:
        """Name both."""
        words = directory / "words"
        words.touch(mode=0o600)
        words.write_text(f"{USER}:{PARTNER_PASSWORD}\n", "ascii")
        is_tls = self.partner_url.startswith("https:")
        return f"""
{LISTENER}
{RULES}

[[upstream]]
name = "site"
url = "https://{USER}:{PASSWORD}@{PROXY_NAME}:3444"
ca = "{self.authority.path}"
ca_mode = "replace"
certificate = "{self.authority.client}"

[[upstream]]
name = "partner"
url = "{self.partner_url}"
credentials = "{words}"
{f'ca = "{self.authority.path}"' if is_tls else "allow_plaintext_credentials = true"}
through = "site"

[routing]
default = "partner"
"""

    def start_proxies(self) -> None:
        """Start the two others."""
        kind = type(self)
        for space, address in ((self.snapshot.site, SITE), (self.snapshot.partner, PARTNER)):
            proxy = Haproxy(space, address, self.authority.chain, self.authority.path)
            self._shared.callback(proxy.stop)
        kind.partner = Squid(self.snapshot.partner, (PARTNER,), {FAR_NAME: (FAR, FAR_6)}, {USER: PARTNER_PASSWORD})
        self._shared.callback(kind.partner.stop)

    def assert_passed(self, port: int, *fronts: str, host: str = "") -> list[dict[str, Any]]:
        """The first proxy was asked for the second one alone, and that one for the destination."""
        lines = super(RouteCase, self).assert_passed(port, *fronts, host=host)
        self.assertEqual({self.route}, {line["upstream"] for line in lines})
        self.partner.await_asked(f"{host or self.place.host}:{port}", len(fronts))
        self.assertLessEqual({each.target for each in self.squid.asked()}, {self.partner_url.partition("://")[2]})
        return lines
