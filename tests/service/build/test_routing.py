"""Upstreams and the selector, from the settings and the environment."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main
from egress.errors import ConfigError
from egress.service.build.routing import Routing, make_routing
from egress.service.settings.source import load
from egress.service.supervisor import make_supervisor
from egress.upstream import UpstreamStates
from egress.upstream.upstream_state import Stage
from tests.service.test_supervisor import SupervisorCase

UPSTREAM = '[[upstream]]\nname = "corp"\nurl = "http://proxy.corp.example:3128"\n'
DEFAULT = '[routing]\ndefault = "corp"\n'
SOCKS = {"HTTPS_PROXY": "socks5://proxy.example"}
OWN = {"HTTPS_PROXY": "127.0.0.1:3128"}


class RoutingCase(SynchronousTestCase):
    """Arranges a file."""

    def write(self, text: str) -> str:
        """Write a configuration file."""
        file = Path(self.mktemp())
        file.write_text(text, "utf-8")
        return str(file)

    def routing(self, text: str, environ: dict[str, str]) -> Routing:
        """Make the routes of a file."""
        return make_routing(load(self.write(text)), Clock(), environ)


class EnvironmentUseTests(RoutingCase):
    """Whether the environment's proxies matter."""

    def test_unusable_where_used(self) -> None:
        """A proxy that cannot be used ends the start where a request could be sent through it."""
        for text in (
            "",
            UPSTREAM,
            '[routing]\ndefault = "environment"\n',
            UPSTREAM + DEFAULT + '[[route]]\nname = "a"\nvia = "environment"\n',
            UPSTREAM + DEFAULT + '[[listener]]\nname = "a"\nendpoint = "tcp:1"\nvia = "environment"\n',
        ):
            with self.assertRaises(ConfigError, msg=text) as caught:
                self.routing(text, SOCKS)
            self.assertEqual(caught.exception.where, "HTTPS_PROXY")

    def test_unusable_where_unused(self) -> None:
        """Where no request can be sent through it, one warning says so."""
        for text in (
            UPSTREAM + DEFAULT,
            '[routing]\ndefault = "direct"\n',
            '[[listener]]\nname = "a"\nendpoint = "tcp:1"\nvia = "direct"\n',
        ):
            (warning,) = self.routing(text, SOCKS).warnings
            self.assertIn("HTTPS_PROXY is not used. Its value is invalid: SOCKS", warning)

    def test_inherited_no_proxy(self) -> None:
        """NO_PROXY matters to an upstream that inherits it."""
        environ = {"NO_PROXY": "<local>"}
        (said,) = self.routing(UPSTREAM + 'no_proxy = "environment"\n' + DEFAULT, environ).warnings
        (unused,) = self.routing(UPSTREAM + DEFAULT, environ).warnings

        self.assertIn("NO_PROXY: what these entries mean goes through the proxy", said)
        self.assertIn("NO_PROXY is set and applies to no proxy", unused)

    def test_delegate_without_proxy(self) -> None:
        """`[routing] delegate` where no proxy of the environment is used has no effect, which is said."""
        delegate = '[routing]\ndelegate = ["*.example.com"]\n'
        for text, environ, is_said in (
            (delegate, {"HTTPS_PROXY": "proxy.example:3128"}, False),
            (delegate, {}, True),
            (UPSTREAM + delegate + 'default = "corp"\n', {"HTTPS_PROXY": "proxy.example:3128"}, True),
        ):
            warnings = self.routing(text, environ).warnings
            self.assertEqual(any("routing.delegate has no effect" in each for each in warnings), is_said, text)


class UpstreamTests(RoutingCase):
    """What is made of the upstreams."""

    def test_upstreams(self) -> None:
        """The upstreams of the file and of the environment are known by their names, with all that is dialled."""
        far = '[[upstream]]\nname = "far"\nurl = "http://far.example:8080"\nthrough = "corp"\n'
        routing = self.routing(UPSTREAM + far, {"HTTPS_PROXY": "proxy.example:3128"})

        self.assertEqual({"corp", "far", "HTTPS_PROXY"}, {*routing.upstreams})
        dialled = {where: authority.text for where, authority in routing.dialled.items()}
        self.assertEqual({"upstream[0].url": "proxy.corp.example:3128", "HTTPS_PROXY": "proxy.example:3128"}, dialled)

    def test_required(self) -> None:
        """Readiness depends on the required upstreams alone, each through the hops before it."""
        far = '[[upstream]]\nname = "far"\nurl = "http://far.example:8080"\nthrough = "corp"\nrequired = true\n'
        routing = self.routing(UPSTREAM + far + DEFAULT, {})

        (hops, state) = routing.probed()["far"]
        self.assertEqual((["far"], ["corp", "far"]), ([*routing.probed()], [hop.upstream for hop in hops]))
        self.assertEqual(["The upstream 'far' has not been reached yet."], routing.faults())
        self.assertEqual({("corp",): True, ("far",): True}, routing.up())
        state.failed("proxy_unreachable", "no", Stage.REACH)
        self.assertEqual(["The upstream 'far' does not work: proxy_unreachable."], routing.faults())
        self.assertEqual({("corp",): True, ("far",): False}, routing.up())

    def test_states_are_kept(self) -> None:
        """The states of the previous configuration go on."""
        source, states = load(self.write(UPSTREAM)), UpstreamStates(Clock())

        self.assertIs(states, make_routing(source, Clock(), {}, states).states)
        self.assertIsNot(states, make_routing(source, Clock(), {}).states)

    def test_summary(self) -> None:
        """The summary has the default route and its proxies, and no credentials."""
        environ = {"HTTPS_PROXY": "http://joe:hunter2@proxy.example:3128"}

        self.assertEqual(
            "by default through corp; corp at http://proxy.corp.example:3128",
            self.routing(UPSTREAM + DEFAULT, {}).summary(),
        )
        self.assertIn("HTTPS_PROXY at http://proxy.example:3128", self.routing("", environ).summary())
        self.assertNotIn("hunter2", self.routing("", environ).summary())
        self.assertTrue(self.routing("", {}).summary().endswith("; no proxies"))

    def test_credentials_of_the_service_manager(self) -> None:
        """A check leaves them out where the service manager has not started the process, and a start needs them."""
        source = load(
            self.write(UPSTREAM + 'credentials = "systemd:proxy"\nallow_plaintext_credentials = true\n' + DEFAULT)
        )
        (said,) = make_routing(source, Clock(), {}, is_dry_run=True).warnings
        self.assertIn("upstream[0].credentials: the service manager has them", said)
        bare = load(self.write(UPSTREAM + DEFAULT))
        self.assertEqual((), make_routing(bare, Clock(), {}, is_dry_run=True).warnings)

        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        for environ, is_dry_run in (({}, False), ({"CREDENTIALS_DIRECTORY": directory}, True)):
            error = self.assertRaises(ConfigError, make_routing, source, Clock(), environ, is_dry_run=is_dry_run)
            self.assertEqual(("upstream[0].credentials", source.file), (error.where, error.file))
        Path(directory, "proxy").write_text("joe:hunter2", "ascii")
        Path(directory, "proxy").chmod(0o600)
        self.assertEqual((), make_routing(source, Clock(), {"CREDENTIALS_DIRECTORY": directory}).warnings)


class OwnProxyTests(RoutingCase):
    """The environment, or an upstream, names a listener of the same configuration."""

    def test_check_and_start(self) -> None:
        """`egress check` and a start end with one line, before any socket is bound."""
        for text, environ, where in (
            ("", OWN, "HTTPS_PROXY"),
            ('[[listener]]\nname = "a"\nendpoint = "tcp:3128"\n', {"http_proxy": "localhost:3128"}, "HTTP_PROXY"),
            (UPSTREAM.replace("proxy.corp.example", "127.0.0.1"), {}, "upstream[0].url"),
            ('[status]\nendpoint = "tcp:3129"\n', {"ALL_PROXY": "http://127.0.0.1:3129"}, "ALL_PROXY"),
        ):
            file = self.write(text)
            self.patch(os, "environ", {"HOME": os.path.abspath(self.mktemp()), **environ})
            error = self.assertRaises(ConfigError, make_supervisor, load(file), MemoryReactorClock())
            result = CliRunner().invoke(main, ["check", file])

            self.assertTrue(str(error).startswith(f"{file}: {where}: is a listener of this proxy itself"), error)
            self.assertEqual(f"egress: {error}\n", result.stderr)

    def test_unused(self) -> None:
        """A machine whose environment names this proxy for its programs can run it with another upstream."""
        for text in (UPSTREAM + DEFAULT, '[routing]\ndefault = "direct"\n'):
            self.assertNotIn("HTTPS_PROXY", self.routing(text, OWN).dialled)
        nested = '[[upstream]]\nname = "far"\nurl = "http://127.0.0.1:3128"\nthrough = "corp"\n'
        self.assertEqual(["upstream[0].url"], [*self.routing(UPSTREAM + nested, {}).dialled])


class BoundOwnProxyTests(SupervisorCase):
    """Ports that are known once their sockets are bound."""

    def test_free_port(self) -> None:
        """A listener on a free port is recognized when it is bound, and the sockets are closed again."""
        text = '[[listener]]\nname = "agents"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
        upstream = UPSTREAM.replace("proxy.corp.example", "127.0.0.1")

        error = self.assertRaises(ConfigError, self.make, text=text + upstream)

        self.assertEqual(error.where, "upstream[0].url")
        self.assertTrue(self.socket.is_closed)
