"""The resolvers of the gate, as the start builds them."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from egress.service.build.host_services import HostServices, make_host_services
from egress.testing import FakeResolver
from egress.upstream import HOP_LOOKUPS, DnsSettings, SystemLookup


class ResolversTests(SynchronousTestCase):
    """`make_host_services`"""

    def setUp(self) -> None:
        self.host, self.resolvers = make_host_services(DnsSettings(), MemoryReactorClock())

    def test_threads_of_proxies(self) -> None:
        """The names of upstream proxies are looked up in threads of their own, for those of clients may all be busy."""
        names, hops = self.resolvers.lookups

        assert isinstance(names, SystemLookup)
        assert isinstance(hops, SystemLookup)
        self.assertEqual((64, HOP_LOOKUPS), (names.concurrent, hops.concurrent))
        self.assertIs(names, self.resolvers.names.lookup)
        self.assertIs(hops, self.resolvers.hops.lookup)

    def test_renewed(self) -> None:
        """A reload reaches both resolvers, and the threads of clients."""
        settings = evolve(DnsSettings(), concurrent=100, positive_seconds=7)

        self.host.renew(settings)

        names, hops = self.resolvers.lookups
        assert isinstance(names, SystemLookup)
        assert isinstance(hops, SystemLookup)
        self.assertEqual((settings, settings), (self.resolvers.names.settings, self.resolvers.hops.settings))
        self.assertEqual((100, HOP_LOOKUPS), (names.concurrent, hops.concurrent))

    def test_other_resolvers(self) -> None:
        """Resolvers of a test have no settings."""
        HostServices(MemoryReactorClock(), FakeResolver(), FakeResolver()).renew(DnsSettings())
