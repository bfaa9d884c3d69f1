"""The status listener in the supervisor: from its settings to its end."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from egress.api.metric_catalogue import METRICS, RECORDED
from egress.api.metrics import Metrics
from egress.api.status import StatusFactory
from egress.cli import main
from egress.errors import ConfigError, Refused
from egress.service.dry_run import make_dry_run
from egress.service.settings.source import Source, load
from egress.service.supervisor import Supervisor
from egress.testing import make_request
from egress.upstream.upstream_probes import PROBE_SECONDS
from tests.service import test_supervisor

UPSTREAMS = """
[[upstream]]
name = "corp"
url = "http://192.0.2.9:3128"
required = true

[[upstream]]
name = "lab"
url = "http://192.0.2.10:3128"
"""
STATUS = '[status]\nendpoint = "tcp:3181:interface=127.0.0.1"\n'


class StatusTests(test_supervisor.SupervisorTests):
    """The supervisor with a status listener does all that it does without, and tells of it."""

    def make(self, *allow: str, own: tuple[str, int] | None = ("127.0.0.1", 3128), text: str = "") -> Supervisor:
        """Build a supervisor around memory."""
        return super().make(*allow, own=own, text=text or test_supervisor.LISTENER + STATUS)

    def metrics(self, supervisor: Supervisor) -> Metrics:
        """Give the metrics of a supervisor."""
        assert supervisor._status_listener is not None
        return supervisor._status_listener.metrics

    def test_serves_to_the_end(self) -> None:
        """It is served with the listeners and closed after everything else; meanwhile it says what is the matter."""
        supervisor = self.make()
        self.assertEqual(["The listeners are not served."], supervisor.faults())
        self.start(supervisor)
        self.assertIsInstance(self.place.factory, StatusFactory)
        self.assertEqual([], supervisor.faults())

        stopped = supervisor.stopService()

        self.assertEqual(["The proxy is stopping."], supervisor.faults())
        self.assertFalse(self.place.port.is_closing)
        self.socket.port.closing.callback(None)
        self.reactor.pump([0.1] * 20)
        self.successResultOf(stopped)
        self.assertTrue(self.place.port.is_closing)
        self.assertTrue(self.place.is_closed)

    def test_every_metric_is_read(self) -> None:
        """Every metric of the catalogue has a source, and each gives a number."""
        supervisor = self.make()
        self.start(supervisor)
        families = {family.name: family for family in self.metrics(supervisor).collect()}
        self.stop(supervisor)

        self.assertEqual({name.removesuffix("_total") for name in METRICS}, set(families))
        for name, metric in METRICS.items():
            # Of tunnels there are numbers only where there are tunnels.
            if metric not in RECORDED and "upstream" not in metric.labels:
                self.assertTrue(families[name.removesuffix("_total")].samples, name)

    def test_exposition(self) -> None:
        """Prometheus' own parser reads what is given out, and finds the types and values that were given."""
        supervisor = self.make()
        self.start(supervisor)
        registry = self.metrics(supervisor).registry

        parsed = {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}

        self.stop(supervisor)
        self.assertEqual(
            {name.removesuffix("_total"): metric.kind for name, metric in METRICS.items()},
            {name: family.type for name, family in parsed.items()},
        )
        self.assertEqual([0.0], [one.value for one in parsed["egress_client_connections"].samples])
        self.assertEqual(
            {name.removesuffix("_total"): metric.meaning for name, metric in METRICS.items()},
            {name: family.documentation for name, family in parsed.items()},
        )

    def test_failed_reload(self) -> None:
        """That the last reload failed is told until one succeeds."""
        supervisor = self.make()
        self.start(supervisor)
        registry = self.metrics(supervisor).registry
        self.assertEqual(1, registry.get_sample_value("egress_config_last_reload_successful"))

        supervisor.configuration.problem = "limits: unknown key"

        self.assertEqual(0, registry.get_sample_value("egress_config_last_reload_successful"))
        self.stop(supervisor)

    def test_required_upstream(self) -> None:
        """A required upstream ends readiness until it is reached, and the metric has the state of each upstream."""
        supervisor = self.make(text=test_supervisor.LISTENER + STATUS + UPSTREAMS)
        registry = self.metrics(supervisor).registry
        self.assertIn("The upstream 'corp' has not been reached yet.", supervisor.faults())
        self.start(supervisor)
        (client,) = self.reactor.tcpClients
        self.assertEqual(("192.0.2.9", 3128), client[:2])

        client[2].clientConnectionFailed(None, Failure(ConnectError()))

        self.assertEqual(["The upstream 'corp' does not work: proxy_unreachable."], supervisor.faults())
        ups = [registry.get_sample_value("egress_upstream_up", {"upstream": name}) for name in ("corp", "lab")]
        self.assertEqual([0.0, 1.0], ups)
        self.reactor.advance(PROBE_SECONDS)
        client = self.reactor.tcpClients[1]
        protocol = client[2].buildProtocol(IPv4Address("TCP", "192.0.2.9", 3128))
        protocol.makeConnection(StringTransport())
        self.assertEqual([], supervisor.faults())
        self.assertEqual(1.0, registry.get_sample_value("egress_upstream_up", {"upstream": "corp"}))
        self.stop(supervisor)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_port_that_does_not_close(self) -> None:
        """A status listener that cannot be closed does not keep the process."""
        supervisor = self.make()
        self.start(supervisor)
        self.place.port.closing = Deferred()
        self.place.port.closing.errback(OSError("no"))
        self.stop(supervisor)

        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
        self.assertTrue(self.place.is_closed)


class StatusSettingsTests(SynchronousTestCase):
    """What stands in the file."""

    def write(self, text: str) -> str:
        """Write a file."""
        name = str(self.mktemp())
        Path(name).write_text(text, "utf-8")
        return name

    def load(self, text: str) -> Source:
        """Load a file with this text."""
        return load(self.write(text))

    def test_nothing(self) -> None:
        """Without the table there is no listener."""
        self.assertIsNone(make_dry_run(load(None), Clock(), {}).prepared.status_endpoint)

    def test_bad_endpoint(self) -> None:
        """An endpoint that is none is said with its key."""
        source = self.load('[status]\nendpoint = "udp:1"\n')

        error = self.assertRaises(ConfigError, make_dry_run, source, Clock(), {})

        self.assertEqual("status.endpoint", error.where)

    def test_no_destination(self) -> None:
        """It is one of the places where the proxy leads nobody, also when a rule allows it."""
        text = STATUS + '[[policy]]\nkind = "destinations"\n[[policy.allow]]\nhosts = ["127.0.0.1"]\nports = [3181]\n'
        gate = make_dry_run(self.load(text), Clock(), {}).gate

        error = self.assertRaises(Refused, gate.admit, make_request("http://127.0.0.1:3181/metrics"))

        self.assertEqual("own_address", error.code)

    def test_place_of_a_listener(self) -> None:
        """`egress check` finds that a listener listens there already."""
        text = STATUS + '[[listener]]\nname = "a"\nendpoint = "tcp:3181:interface=127.0.0.1"\n'

        result = CliRunner().invoke(main, ["check", self.write(text)])

        self.assertEqual(1, result.exit_code)
        self.assertIn("status.endpoint: listener[0] listens there already", result.stderr)
