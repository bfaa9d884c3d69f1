"""`egress explain`, where no name has to be looked up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main
from egress.errors import ProtocolError
from egress.service.dry_run import make_request

CONFIGURATION = """
[[listener]]
name = "agents"
endpoint = "tcp:3128:interface=127.0.0.1"

[[listener]]
name = "builds"
endpoint = "tcp:3129:interface=127.0.0.1"

[[policy]]
kind = "destinations"

[[policy.allow]]
name = "lab"
hosts = ["203.0.113.7"]
ports = [80, 443]
clients = ["listener:builds", "uid:7"]

[[policy.deny]]
name = "never"
hosts = ["203.0.113.9"]
message = "Ask in #platform."
"""


class ExplainTests(SynchronousTestCase):
    """The answer is the status, and why."""

    def explain(self, *arguments: str) -> Result:
        """Run it with the configuration above."""
        name = str(self.mktemp())
        Path(name).write_text(CONFIGURATION, "utf-8")
        return CliRunner().invoke(main, ["explain", "--config", name, *arguments])

    def facts(self, *arguments: str) -> dict[str, Any]:
        """Run it for programs."""
        facts: dict[str, Any] = json.loads(self.explain("--json", *arguments).output)
        return facts

    def test_allowed(self) -> None:
        """An allowed request ends with 0, the rule, the upstream and the addresses."""
        result = self.explain("--listener", "builds", "https://203.0.113.7/")

        self.assertEqual(0, result.exit_code, result.output)
        for words in (
            "CONNECT 203.0.113.7:443",
            "destinations / lab: allow",
            "upstream    direct, level none\n",
            "guard       passed",
        ):
            self.assertIn(words, result.output)
        self.assertTrue(result.output.endswith("allowed by destinations / lab\n"), result.output)

    def test_refused(self) -> None:
        """A refused request ends with 1, the policy that decided and a hint."""
        result = self.explain("https://203.0.113.7/")

        self.assertEqual(1, result.exit_code, result.output)
        self.assertIn("(no_rule, 403)", result.output)
        self.assertIn("Ask the operator", result.output)
        self.assertNotIn("upstream", result.output)

    def test_message(self) -> None:
        """A refusal shows what the operator says in the rule."""
        output = self.explain("https://203.0.113.9/").output
        self.assertIn("(denied, 403): Denied by rule never. Ask in #platform.\n", output)
        self.assertEqual("Ask in #platform.", self.facts("https://203.0.113.9/")["refused"]["message"])

    def test_for_programs(self) -> None:
        """The explanation as one JSON object."""
        allowed = self.facts("--listener", "builds", "203.0.113.7")
        refused = self.facts("http://203.0.113.8/a/../b?c=d#e")

        self.assertEqual((True, None), (allowed["allowed"], allowed["refused"]))
        self.assertEqual(
            ("direct", "none", ""),
            tuple(allowed[key] for key in ("upstream", "upstream_level", "upstream_source")),
        )
        self.assertEqual(["203.0.113.7"], allowed["resolved_addresses"])
        self.assertEqual(
            ["allow", "allow"], [each[0]["outcome"] for each in (allowed["by_name"], allowed["by_address"])]
        )
        self.assertEqual((False, "no_rule"), (refused["allowed"], refused["refused"]["code"]))
        self.assertEqual(
            ("GET", "203.0.113.8", 80, "/b"),
            tuple(refused[key] for key in ("http_request_method", "server_address", "server_port", "url_path")),
        )
        self.assertEqual((None, []), (refused["upstream"], refused["by_address"]))

    def test_labels(self) -> None:
        """A client may be given labels, and come from another address."""
        facts = self.facts("--client", "uid:7", "--client", "address:192.0.2.9", "203.0.113.7:443")

        self.assertTrue(facts["allowed"])
        self.assertEqual(["address:192.0.2.9", "listener:agents", "uid:7"], facts["client_labels"])

    def test_listener_that_asks(self) -> None:
        """The authentication that a listener requires is checked before any policy."""
        tokens = Path(self.mktemp()).resolve()
        tokens.write_text("")
        tables = f'name = "builds"\nrequire = "basic"\ntokens = {json.dumps(str(tokens))}'
        asking = CONFIGURATION.replace('name = "builds"', tables)
        self.patch(sys.modules[__name__], "CONFIGURATION", asking)

        refused = self.explain("--listener", "builds", "https://203.0.113.7/")
        allowed = self.explain("--listener", "builds", "--client", "token:x", "https://203.0.113.7/")
        wrong = self.explain("--client", "token:x", "https://203.0.113.7/")

        self.assertEqual((1, 0, 2), (refused.exit_code, allowed.exit_code, wrong.exit_code), allowed.output)
        self.assertIn("credentials_required, 407", refused.output)
        self.assertIn("from builds/token:x ", allowed.output)

    def test_labels_are_shown(self) -> None:
        """The labels of a given client are shown."""
        first, *_ = self.explain("--client", "uid:7", "https://203.0.113.7/").output.splitlines()

        self.assertTrue(first.endswith(" (address:127.0.0.1, listener:agents, uid:7)"), first)

    def test_own_listener(self) -> None:
        """The proxy itself is no destination, whatever is allowed."""
        facts = self.facts("--allow", "127.0.0.1:3129", "http://127.0.0.1:3129/")

        self.assertEqual("own_address", facts["refused"]["code"])

    def test_guard(self) -> None:
        """A name that the guard refuses is not looked up."""
        facts = self.facts("--allow", "metadata.google.internal", "http://metadata.google.internal/")

        self.assertEqual("name_refused", facts["refused"]["code"])
        self.assertEqual("ssrf-guard", facts["refused"]["policy"])
        self.assertEqual(facts["refused"]["reason"], facts["guard"])
        output = self.explain("--allow", "metadata.google.internal", "http://metadata.google.internal/").output
        self.assertIn("refused by ssrf-guard: Reserved host name", output)

    def test_wrong_questions(self) -> None:
        """An invalid question ends with 2 and one line."""
        for arguments, words in (
            (["--listener", "x", "http://203.0.113.7/"], "there are: agents, builds"),
            (["--method", "GET", "https://203.0.113.7/"], "method is CONNECT"),
            (["--client", "research", "http://203.0.113.7/"], "'research' is no label"),
            (["--client", "token:*", "http://203.0.113.7/"], "'token:*' is no label"),
            (["--client", "address:here", "http://203.0.113.7/"], "holds no address"),
            (["--client", "listener:builds", "http://203.0.113.7/"], "use --listener builds"),
            (["ftp://203.0.113.7/"], "neither http nor ws"),
            (["joe:hunter2@203.0.113.7:443"], "user information"),
            (["http://joe:hunter2%@203.0.113.7/"], "user information"),
            (["--allow", "a..b", "http://203.0.113.7/"], "--allow a..b"),
            (["--config", "/does/not/exist", "http://203.0.113.7/"], "cannot be read"),
        ):
            result = self.explain(*arguments)
            self.assertEqual((2, ""), (result.exit_code, result.stdout), arguments)
            (line,) = result.stderr.splitlines()
            self.assertIn(words, line)
            self.assertNotIn("hunter2", line)


class RequestTests(SynchronousTestCase):
    """URLs become the request that a client would make."""

    def test_targets(self) -> None:
        """https and host:port are tunnels, http is plain."""
        for url, request_form, authority, path in (
            ("https://example.com/a?b", "connect", "example.com:443", None),
            ("HTTPS://example.com:8443", "connect", "example.com:8443", None),
            ("wss://example.com/socket", "connect", "example.com:443", None),
            ("example.com", "connect", "example.com:443", None),
            ("example.com:22", "connect", "example.com:22", None),
            ("[2001:db8::1]", "connect", "[2001:db8::1]:443", None),
            ("https://[2001:db8::1]:444/", "connect", "[2001:db8::1]:444", None),
            ("http://example.com", "http", "example.com:80", "/"),
            ("ws://example.com:81/a", "http", "example.com:81", "/a"),
            ("http://joe:hunter2@example.com:/@", "http", "example.com:80", "/@"),
            ("https://joe:hunter2@example.com/@", "connect", "example.com:443", None),
        ):
            request = make_request(url, "", "agents", (), 0.0)
            self.assertEqual(
                (request_form, authority, path), (request.request_form, request.authority.text, request.path), url
            )
            self.assertTrue(request.is_dry_run)

    def test_methods(self) -> None:
        """A plain request has any method."""
        self.assertEqual("POST", make_request("http://example.com/", "POST", "agents", (), 0.0).method)
        self.assertRaises(ProtocolError, make_request, "http://", "", "agents", (), 0.0)
