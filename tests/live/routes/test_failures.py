"""Responses to clients when an upstream proxy refuses, fails or is not the expected proxy."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, ClassVar

from tests.live.routes.client import ask
from tests.live.routes.environment import NOWHERE, ORIGIN_NAME, PARTNER, SITE
from tests.live.routes.haproxy import MUTUAL_PORT, TLS_PORT, Haproxy, needs_haproxy
from tests.live.routes.squid import BANNED, PORT
from tests.live.routes.support import LISTENER, PASSWORD, PROXY_NAME, RULES, USER, RouteCase, spellings
from tests.live.support import needs

REQUEST_FORMS = ("http", "connect")
WRONG = "wrong-secret-7391"
OTHER_PROXY_NAME = "misnamed.example"
KNOWN = f"{USER}:{PASSWORD}@"

# Each upstream, and what its clients are told.
CASES = {
    "wrong-password": (f"http://{USER}:{WRONG}@{SITE}:{PORT}", "proxy_auth_required", "offers Basic"),
    "no-password": (f"http://{SITE}:{PORT}", "proxy_auth_required", "offers Basic"),
    "closed": (f"http://{KNOWN}{SITE}:9", "proxy_unreachable", "refuses connections"),
    "nowhere": (f"http://{KNOWN}{NOWHERE}:{PORT}", "proxy_unreachable", "cannot be reached"),
    "no-name": (f"http://{KNOWN}no-such-proxy.example:{PORT}", "proxy_unreachable", "does not resolve"),
    "untrusted": (f"https://{KNOWN}{PROXY_NAME}:{TLS_PORT}", "proxy_tls_failed", "authority"),
    "misnamed": (f"https://{KNOWN}{OTHER_PROXY_NAME}:{TLS_PORT}", "proxy_tls_failed", "another host"),
    "no-certificate": (f"https://{KNOWN}{PROXY_NAME}:{MUTUAL_PORT}", "proxy_tls_failed", "client certificate"),
    "not-tls": (f"https://{KNOWN}{PROXY_NAME}:{PORT}", "proxy_tls_failed", "does not speak TLS"),
    "not-http": (f"http://{KNOWN}{PROXY_NAME}:{TLS_PORT}", "proxy_malformed", "upstream proxy"),
}
TRUSTING = ("misnamed", "no-certificate", "not-tls")


class FailureTests(RouteCase):
    """One listener for each way to fail, and one route that works."""

    secrets: ClassVar[tuple[str, ...]] = (*RouteCase.secrets, *spellings(WRONG))
    hosts: ClassVar[dict[str, str]] = {PROXY_NAME: SITE, OTHER_PROXY_NAME: SITE}
    route: ClassVar[str] = "good"

    def setUp(self) -> None:
        """Look for what it takes."""
        needs_haproxy()
        super().setUp()

    def proxies(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def configuration(self, directory: Path) -> str:
        """Name them all."""
        text = LISTENER
        good = f"http://{KNOWN}{SITE}:{PORT}"
        for name, url in {**{name: url for name, (url, _, _) in CASES.items()}, "good": good}.items():
            has_words = "@" in url and url.startswith("http://")
            text += f"""
[[listener]]
name = "{name}"
endpoint = "tcp:0:interface=127.0.0.1"
via = "{name}"

[[upstream]]
name = "{name}"
url = "{url}"
{"allow_plaintext_credentials = true" if has_words else ""}
{f'ca = "{self.authority.path}"' if name in TRUSTING else ""}
"""
        return f"""{text}
[[upstream]]
name = "second"
url = "http://{PARTNER}:{PORT}"
through = "good"

[[listener]]
name = "second"
endpoint = "tcp:0:interface=127.0.0.1"
via = "second"
{RULES}
"""

    def start_proxies(self) -> None:
        """Start HAProxy. There is no second proxy behind the first."""
        proxy = Haproxy(self.snapshot.site, SITE, self.authority.chain, self.authority.path)
        self._shared.callback(proxy.stop)

    def problem(self, listener: str, supervisor: str, authority: str) -> dict[str, Any]:
        """Ask, and give what was refused. It names no proxy and no secret."""
        answer = ask(self.supervisor.port_of(listener), supervisor, authority)
        for word in (*self.secrets, USER, SITE, PARTNER, NOWHERE, PROXY_NAME, OTHER_PROXY_NAME, f":{PORT}"):
            self.assertNotIn(word, answer.text)
        problem = answer.problem
        self.assertEqual(answer.status, problem["status"])
        return problem

    def test_kinds(self) -> None:
        """Each failure has its code and its words, for tunnels and for plain HTTP."""
        origin = self.origin()
        for name, (_, code, words) in CASES.items():
            for supervisor in REQUEST_FORMS:
                with self.subTest(name=name, supervisor=supervisor):
                    problem = self.problem(name, supervisor, f"{ORIGIN_NAME}:{origin.port}")

                    self.assertEqual((502, code), (problem["status"], problem["code"]), problem)
                    self.assertIn(words, problem["reason"])
        lines = self.lines(origin.port, 2 * len(CASES))
        for line in lines:
            told = (line["event"], line["verdict"], line["cause"], line["code"])
            self.assertEqual(("end", "allow", "failed", CASES[line["upstream"]][1]), told)
            self.assertEqual([line["upstream"]], line["hops"])
        self.assertEqual([], origin.seen)

    def test_forbidden(self) -> None:
        """What the proxy forbids is its refusal of a tunnel; of plain HTTP its own answer is passed on."""
        port = self.origin().port

        problem = self.problem("good", "connect", f"{BANNED}:{port}")
        answer = ask(self.supervisor.port_of("good"), "http", f"{BANNED}:{port}")

        self.assertEqual((502, "proxy_refused"), (problem["status"], problem["code"]))
        self.assertIn("status 403", problem["reason"])
        self.assertEqual(403, answer.status)
        self.assertEqual([403, 403], [each.status for each in self.squid.await_asked(f"{BANNED}:{port}", 2)])

    def test_second_in_the_row(self) -> None:
        """A second proxy that the first cannot reach."""
        port = self.origin().port
        for supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                problem = self.problem("second", supervisor, f"{ORIGIN_NAME}:{port}")

                self.assertEqual((502, "proxy_failed"), (problem["status"], problem["code"]), problem)
                self.assertIn("status 503", problem["reason"])
        for line in self.lines(port, 2):
            self.assertIn("upstream 'good'", line["detail"])

    def test_a_proxy_is_no_destination(self) -> None:
        """Nobody talks to a proxy of the route as if it were a destination, however it is called."""
        for host in (SITE, PROXY_NAME):
            for supervisor in REQUEST_FORMS:
                with self.subTest(host=host, supervisor=supervisor):
                    self.assertEqual("own_address", self.problem("good", supervisor, f"{host}:{PORT}")["code"])

    def test_the_good_route(self) -> None:
        """The route that works does, beside all these."""
        needs("curl", "curl is not installed")
        origin = self.origin(is_tls=True)
        words = ("curl", "--no-progress-meter", "--cacert", self.authority.path)
        url = f"http://127.0.0.1:{self.supervisor.port_of('good')}"

        done = self.run_client(*words, "--proxy", url, origin.url)

        self.assertEqual(0, done.returncode, done.stderr)
        self.assert_passed(origin.port, "connect")


class SilentProxyTests(RouteCase):
    """A proxy that takes connections and says nothing."""

    silent: ClassVar[socket.socket]

    def proxies(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def start_proxies(self) -> None:
        """Listen, and leave it at that."""
        with self.snapshot.site.entered():
            type(self).silent = self._shared.enter_context(socket.create_server((SITE, 0)))

    def configuration(self, directory: Path) -> str:
        """Wait a second for everything."""
        port = self.silent.getsockname()[1]
        short = "[limits]\nhandshake_seconds = 1\nresponse_seconds = 1\n"
        return f"""{LISTENER.replace("[limits]", short)}
[[listener]]
name = "inside"
endpoint = "tcp:0:interface=127.0.0.1"
via = "inside"

[[upstream]]
name = "outside"
url = "http://{SITE}:{port}"

[[upstream]]
name = "inside"
url = "https://{SITE}:{port}"

[routing]
default = "outside"
{RULES}
"""

    def test_deadlines(self) -> None:
        """Each wait for it has an end: for TLS, for the answer to CONNECT, and for a page."""
        for listener in ("agents", "inside"):
            for supervisor in REQUEST_FORMS:
                with self.subTest(listener=listener, supervisor=supervisor):
                    problem = ask(self.supervisor.port_of(listener), supervisor, f"{ORIGIN_NAME}:443").problem

                    told = (problem["status"], problem["code"], problem["may_retry"])
                    self.assertEqual((504, "proxy_timeout", True), told, problem)
