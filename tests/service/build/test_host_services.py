"""The resolvers of the gate, as the start builds them."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ResolverFailed
from egress.service.build.host_services import HostServices, make_host_services
from egress.testing import FakeResolver
from egress.upstream import HOP_LOOKUPS, DnsSettings, SystemLookup
from egress.upstream.dns.lookup import DnsLookup


class DnsTests(SynchronousTestCase):
    """`resolver = "dns"`, the default."""

    def setUp(self) -> None:
        self.host, self.resolvers = make_host_services(DnsSettings(servers=("192.0.2.53",)), MemoryReactorClock())

    def lookups(self) -> tuple[DnsLookup, DnsLookup]:
        """Give both look-ups."""
        names, hops = self.resolvers.lookups
        assert isinstance(names, DnsLookup)
        assert isinstance(hops, DnsLookup)
        return names, hops

    def test_apart(self) -> None:
        """What is known of name servers by the names of clients says nothing for those of proxies."""
        names, hops = self.lookups()

        self.assertIsNot(names.servers.current()[0], hops.servers.current()[0])
        self.assertTrue(names.is_stoppable)

    def test_renewed(self) -> None:
        """A reload's name servers are asked by both."""
        self.host.renew(DnsSettings(servers=("192.0.2.54",), timeout_seconds=2))

        for each in self.lookups():
            self.assertEqual(["192.0.2.54"], [server.at.address for server in each.servers.current()])
            self.assertEqual(0.4, each.interval_seconds)

    def test_life(self) -> None:
        """Neither answers before the start, nor after the end."""
        for each in self.lookups():
            self.failureResultOf(each("name.example"), ResolverFailed)
        self.resolvers.start()
        self.resolvers.stop()
        for each in self.lookups():
            self.failureResultOf(each("name.example"), ResolverFailed)

    def test_hosts_file(self) -> None:
        """It is one for both, and may be left out."""
        names, hops = self.lookups()
        self.assertIsNotNone(names.hosts)
        self.assertIs(names.hosts, hops.hosts)
        _, self.resolvers = make_host_services(DnsSettings(hosts_file=False), MemoryReactorClock())
        self.assertEqual([None, None], [each.hosts for each in self.lookups()])


class SystemTests(SynchronousTestCase):
    """`resolver = "system"`"""

    def setUp(self) -> None:
        self.host, self.resolvers = make_host_services(DnsSettings(resolver="system"), MemoryReactorClock())

    def test_threads_of_proxies(self) -> None:
        """The names of upstream proxies are looked up in threads of their own, for those of clients may all be busy."""
        names, hops = self.resolvers.lookups

        assert isinstance(names, SystemLookup)
        assert isinstance(hops, SystemLookup)
        self.assertEqual((64, HOP_LOOKUPS), (names.threads.limit, hops.threads.limit))
        self.assertIs(names, self.resolvers.names.lookup)
        self.assertIs(hops, self.resolvers.hops.lookup)

    def test_renewed(self) -> None:
        """A reload reaches both resolvers, and the threads of clients."""
        settings = evolve(self.resolvers.names.settings, concurrent=100, positive_seconds=7)

        self.host.renew(settings)

        names, hops = self.resolvers.lookups
        assert isinstance(names, SystemLookup)
        assert isinstance(hops, SystemLookup)
        self.assertEqual((settings, settings), (self.resolvers.names.settings, self.resolvers.hops.settings))
        self.assertEqual((100, HOP_LOOKUPS), (names.threads.limit, hops.threads.limit))

    def test_other_resolvers(self) -> None:
        """Resolvers of a test have no settings."""
        HostServices(MemoryReactorClock(), FakeResolver(), FakeResolver()).renew(DnsSettings())
