"""Names on a node that can resolve no names, or only some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tests.live.origins import HELLO
from tests.live.routes.client import ask
from tests.live.routes.environment import ORIGIN, ORIGIN_NAME, SECOND_NAME, SITE
from tests.live.routes.support import LISTENER, PASSWORD, RULES, USER, RouteCase
from tests.live.support import REFUSED, await_that, needs

REQUEST_FORMS = ("http", "connect")
UNKNOWN = "some.open.example"
OTHER_UNKNOWN = "other.open.example"


class NamesCase(RouteCase):
    """Says what was on record of the last request."""

    def last(self, port: int, count: int) -> dict[str, Any]:
        """Give the last of so many lines."""
        return self.lines(port, count)[-1]

    def get(self, port: int, supervisor: str = "connect", name: str = ORIGIN_NAME) -> None:
        """Reach a destination."""
        answer = ask(self.supervisor.port, supervisor, f"{name}:{port}")
        self.assertEqual(200, answer.status, answer.text)


class SilentTests(NamesCase):
    """HTTPS_PROXY, a rule with a name, and a resolver that never answers: nothing else is set."""

    is_silent: ClassVar[bool] = True

    def test_only_the_first_waits(self) -> None:
        """The name is left to the proxy. The resolver is asked once, and whoever comes later does not wait for it."""
        port = self.origin().port
        self.get(port, name=SECOND_NAME)
        self.assertTrue(self.snapshot.questions(SECOND_NAME))
        first = self.last(port, 1)

        for _ in range(5):
            for supervisor in REQUEST_FORMS:
                self.get(port, supervisor, SECOND_NAME)

        self.assertEqual(0, self.snapshot.questions(SECOND_NAME))
        self.assertIsNotNone(first["resolve_ms"])
        for line in self.lines(port, 11)[1:]:
            self.assertEqual(
                (None, "none", "HTTPS_PROXY"), (line["resolve_ms"], line["address_check"], line["upstream"])
            )

    def test_curl(self) -> None:
        """A page by HTTPS and by plain HTTP."""
        needs("curl", "curl is not installed")
        for is_tls, supervisor in ((True, "connect"), (False, "http")):
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)

                done = self.run_client("curl", "--no-progress-meter", "--cacert", self.authority.path, origin.url)

                self.assertEqual((0, HELLO.decode()), (done.returncode, done.stdout), done.stderr)
                self.assert_passed(origin.port, supervisor)

    def test_a_denied_name_is_not_looked_up(self) -> None:
        """Neither the resolver nor the proxy hears of it: both would be ways out."""
        port = self.origin().port

        for supervisor in REQUEST_FORMS:
            self.assertEqual("no_rule", ask(self.supervisor.port, supervisor, f"{REFUSED}:{port}").problem["code"])

        self.assert_refused(port, *REQUEST_FORMS)
        self.assertEqual(0, self.snapshot.questions(REFUSED))


class AskedAgainTests(NamesCase):
    """The memory of a failure is short, so that a resolver that comes back is found."""

    is_silent: ClassVar[bool] = True
    address_check: ClassVar[str] = "passed"

    def configuration(self, directory: Path) -> str:
        """Remember for a second."""
        return f"{LISTENER}{RULES}\n[dns]\ndelegated_seconds = 1\nfailure_seconds = 0.1\ntimeout_seconds = 2\n"

    def test_asked_beside(self) -> None:
        """The resolver is asked again, no request waits for it, and what it then knows is judged."""
        port, count = self.origin().port, 1
        self.get(port)
        self.snapshot.questions(ORIGIN_NAME)

        def is_asked_again() -> bool:
            nonlocal count
            count += 1
            self.get(port)
            return self.snapshot.questions(ORIGIN_NAME) > 0

        await_that(is_asked_again, lambda: "the resolver was not asked again")
        self.assertEqual({None}, {line["resolve_ms"] for line in self.lines(port, count)[1:]})
        self.snapshot.node.run("tee", "-a", "/etc/hosts", stdin=f"{ORIGIN} {ORIGIN_NAME}\n")

        def is_judged() -> bool:
            nonlocal count
            count += 1
            self.get(port)
            return bool(self.last(port, count)["address_check"] == "passed")

        await_that(is_judged, lambda: "the name is still left to the proxy")
        self.assertEqual([ORIGIN], self.last(port, count)["resolved_addresses"])


class WhoResolvesTests(NamesCase):
    """What the proxy is asked for: names or addresses, by the upstream's `dns`, the rule, and what can be resolved."""

    hosts: ClassVar[dict[str, str]] = {
        "exact.corp.example": ORIGIN,
        "any.wide.example": ORIGIN,
        "any.tld": ORIGIN,
    }
    known: ClassVar[tuple[str, ...]] = (
        ORIGIN_NAME,
        UNKNOWN,
        *("exact.corp.example", "any.wide.example", "some.left.example"),
    )
    is_silent: ClassVar[bool] = True

    def proxies(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def configuration(self, directory: Path) -> str:
        """A listener for each way."""
        text = LISTENER
        for dns in ("auto", "pinned", "remote"):
            text += f"""
[[listener]]
name = "{dns}"
endpoint = "tcp:0:interface=127.0.0.1"
via = "{dns}"

[[upstream]]
name = "{dns}"
url = "http://{USER}:{PASSWORD}@{SITE}:3128"
allow_plaintext_credentials = true
dns = "{dns}"
{'delegate = ["*.left.example"]' if dns == "auto" else ""}
"""
        hosts = [ORIGIN_NAME, "exact.corp.example", "*.wide.example", "*.tld", "*.left.example", "*.open.example"]
        return f"""{text}
[[policy]]
kind = "destinations"

[[policy.allow]]
name = "by name"
hosts = {json.dumps(hosts)}
ports = ["1-65535"]

[dns]
timeout_seconds = 1
"""

    def asked_for(self, dns: str, supervisor: str, name: str, port: int) -> str:
        """Ask, and say what the proxy was asked for."""
        before = len(self.squid.asked())
        ask(self.supervisor.port_of(dns), supervisor, f"{name}:{port}")
        await_that(lambda: len(self.squid.asked()) > before, lambda: str(self.supervisor.audit_log()))
        (asked,) = self.squid.asked()[before:]
        return f"{asked.method} {asked.target}"

    def test_what_the_proxy_is_asked_for(self) -> None:
        """Of a name that is known here, the judged address, but where the pattern leaves no room for another's name."""
        origin = self.origin()
        port = origin.port
        cases = (
            ("auto", "exact.corp.example", "exact.corp.example"),
            ("auto", "any.wide.example", "any.wide.example"),
            ("auto", "any.tld", ORIGIN),
            ("auto", ORIGIN_NAME, ORIGIN_NAME),
            ("auto", "some.left.example", "some.left.example"),
            ("pinned", "exact.corp.example", ORIGIN),
            ("remote", "exact.corp.example", "exact.corp.example"),
            ("remote", UNKNOWN, UNKNOWN),
        )
        for dns, name, asked in cases:
            with self.subTest(dns=dns, name=name):
                self.assertEqual(f"CONNECT {asked}:{port}", self.asked_for(dns, "connect", name, port))
                if asked == name:
                    self.assertEqual(f"GET http://{asked}:{port}/", self.asked_for(dns, "http", name, port))
                else:
                    # A proxy that sees the request would ask for the wrong host.
                    self.assertEqual(200, ask(self.supervisor.port_of(dns), "http", f"{name}:{port}").status)
                    self.assertRegex(origin.seen[-1].fields["via"], r"\A1\.1 egress-[0-9a-f]{16}\Z")
                self.assertEqual(f"{name}:{port}", origin.seen[-1].fields["host"])

    def test_remote_asks_nobody(self) -> None:
        """With dns = "remote" no name is looked up here."""
        port = self.origin().port

        self.asked_for("remote", "connect", UNKNOWN, port)

        self.assertEqual(0, self.snapshot.questions(UNKNOWN))

    def test_what_is_left_to_nobody(self) -> None:
        """A name that cannot be resolved here, and that nobody else may resolve, is refused; it says what helps."""
        port = self.origin().port
        for dns, name, is_told in (("auto", OTHER_UNKNOWN, True), ("pinned", ORIGIN_NAME, False)):
            for supervisor in REQUEST_FORMS:
                with self.subTest(dns=dns, supervisor=supervisor):
                    problem = ask(self.supervisor.port_of(dns), supervisor, f"{name}:{port}").problem

                    self.assertIn(problem["code"], ("resolver_timeout", "resolver_failed"))
                    self.assertEqual(is_told, "`delegate`" in problem["reason"], problem)
        self.assertTrue(self.snapshot.questions(OTHER_UNKNOWN))
        self.assertNotIn(OTHER_UNKNOWN, str(self.squid.asked()))
