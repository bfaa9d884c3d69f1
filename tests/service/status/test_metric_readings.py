"""Metrics of the resolvers, read from a proxy server."""

from __future__ import annotations

from ipaddress import ip_address

from egress.api.metrics import Metrics
from egress.errors import ResolverFailed
from egress.service.build.host_services import make_resolvers
from egress.service.status.metric_readings import read_server
from egress.upstream import DnsSettings, HopResolver
from tests.proxy.support import ServerCase
from tests.upstream.dns.support import HOST
from tests.upstream.lookups import HandLookup


class ResolverMetricTests(ServerCase):
    """What is read of the resolvers of the active configuration snapshot."""

    def setUp(self) -> None:
        super().setUp()
        self.metrics = Metrics()
        read_server(self.metrics, self.server)
        self.settings = DnsSettings(servers=("192.0.2.53", "192.0.2.54"), positive_seconds=10)
        reactor = self.network.reactor
        self.resolvers = make_resolvers(self.settings, reactor)

    def value(self, name: str) -> float | None:
        """Give the value of a metric without labels."""
        return self.metrics.registry.get_sample_value(name)

    def test_other_resolvers(self) -> None:
        """Resolvers of a test have nothing to read."""
        for name in ("cached_names", "pending_lookups", "stale_upstreams", "silent_servers"):
            self.assertEqual(0.0, self.value(f"egress_resolver_{name}"))

    def test_silent_servers(self) -> None:
        """A name server that has not answered a few tries is counted."""
        snapshot = self.server.gate.snapshot
        snapshot.resolver = self.resolvers.names
        first, _ = self.resolvers.lookups[0].servers.current()  # type: ignore[attr-defined]
        self.assertEqual(0.0, self.value("egress_resolver_silent_servers"))

        first.unanswered = 4

        self.assertEqual(1.0, self.value("egress_resolver_silent_servers"))

    def test_stale_upstreams(self) -> None:
        """A proxy whose name does not resolve any more is counted."""
        lookup = HandLookup(is_stoppable=True)
        hops = self.server.gate.snapshot.hop_resolver = HopResolver(self.network.clock, lookup, self.settings)
        self.addCleanup(hops.stop)
        hops.resolve(HOST)
        lookup.answer(HOST, ip_address("192.0.2.1"))
        self.assertEqual(0.0, self.value("egress_resolver_stale_upstreams"))

        self.network.advance(8)
        lookup.fail(HOST, ResolverFailed("a name server answered SERVFAIL"))

        self.assertEqual(1.0, self.value("egress_resolver_stale_upstreams"))
