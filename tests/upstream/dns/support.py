"""A look-up on the network in memory, with name servers that lose datagrams, are dead, slow, or answer badly."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from egress.model import Address
from egress.testing.network import Network
from egress.upstream.daemon_threads import DaemonThreads
from egress.upstream.dns.exchange import Sockets
from egress.upstream.dns.lookup import DnsLookup
from egress.upstream.dns.servers import NameServers
from tests.upstream.dns.server import Nameserver, Record, Zone, table

FIRST, SECOND, THIRD = "192.0.2.53", "192.0.2.54", "2001:db8::53"
FOUR, SIX = "198.51.100.1", "2001:db8:1::1"
HOST = "www.example.com"
BOTH: dict[str, list[Record]] = {"A": [("A", FOUR)], "AAAA": [("AAAA", SIX)]}
WORLD = table(www_example_com=BOTH)


class Workers:
    """Takes the calls of threads, for the test to make."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Take note of a call."""
        self.calls.append((call, arguments))


class LookupCase(SynchronousTestCase):
    """Arranges a look-up with one name server or more."""

    addresses: tuple[str, ...] = (FIRST,)

    def setUp(self) -> None:
        self.network = Network()
        self.reachable: set[int] = {4, 6}
        self.opened = 0
        self.workers = Workers()
        reactor = self.network.reactor
        self.lookup = DnsLookup(
            reactor,
            Sockets(reactor, self.open_datagrams),
            DaemonThreads(self.workers, 1),
            NameServers(self.addresses),
            1.0,
            None,
            lambda address: address if address.version in self.reachable else None,
        )
        self.lookup.start()

    def tearDown(self) -> None:
        self.lookup.stop()
        self.network.settle()
        for each in self.network._kernel.sockets.values():
            self.assertTrue(each.is_of_test or each.backlog is not None, "a socket is left")
        self.assertEqual([], self.network.clock.getDelayedCalls())

    def open_datagrams(self, family: socket.AddressFamily) -> socket.socket:
        """Count the sockets."""
        self.opened += 1
        return self.network.reactor.open_datagrams(family)

    def serve(self, zone: Zone = WORLD, address: str = FIRST, *, limit: int = 512) -> Nameserver:
        """Run a name server."""
        server = Nameserver(zone, limit)
        self.network.datagrams(address, 53, server)
        return server

    def look_up(self, host: str = HOST) -> Deferred[tuple[Address, ...]]:
        """Begin a look-up."""
        found = self.lookup(host)
        self.network.settle()
        return found

    def assert_found(self, found: Deferred[tuple[Address, ...]], *texts: str) -> None:
        """Assert the result of a look-up."""
        self.assertEqual(tuple(map(ip_address, texts)), self.successResultOf(found))

    def assert_fails(self, found: Deferred[tuple[Address, ...]], kind: type[Exception], words: str) -> None:
        """Assert how a look-up fails."""
        self.assertEqual(words, str(self.failureResultOf(found, kind).value))
