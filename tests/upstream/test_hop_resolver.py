"""Names of upstream proxies: looked up ahead of need, and kept while they cannot be looked up."""

from __future__ import annotations

from ipaddress import ip_address

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import NameNotFound, ResolverFailed, ResolverTimeout
from egress.interfaces import IResolver
from egress.model import Resolution
from egress.upstream import HOP_LOOKUPS, DnsSettings, HopResolver
from tests.upstream.lookups import HandLookup

HOP = "proxy.corp.example"
FIRST, SECOND = ip_address("10.0.0.1"), ip_address("10.0.0.2")
SETTINGS = DnsSettings(
    positive_seconds=30,
    negative_seconds=5,
    failure_seconds=2,
    timeout_seconds=4,
    concurrent=1,
    concurrent_per_client=1,
    waiting=1,
    waiting_per_client=1,
)


class HopResolverTests(SynchronousTestCase):
    """One proxy's name, from its first use on."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lookup = HandLookup(is_stoppable=True)
        self.resolver = HopResolver(self.clock, self.lookup, SETTINGS)

    def wait(self) -> Deferred[Resolution]:
        """Resolve the name for the first time."""
        waiting = self.resolver.resolve(HOP, "client")
        assert isinstance(waiting, Deferred)
        return waiting

    def known(self) -> Resolution:
        """Resolve the name without a wait."""
        resolution = self.resolver.resolve(HOP, "client")
        assert isinstance(resolution, Resolution), "a request waits"
        return resolution

    def learn(self) -> Resolution:
        """Have the name looked up."""
        waiting = self.wait()
        self.lookup.answer(HOP, FIRST)
        return self.successResultOf(waiting)

    def test_it_is_a_resolver(self) -> None:
        """It can stand wherever a resolver is asked for."""
        self.assertTrue(verifyObject(IResolver, self.resolver))

    def test_refreshed_ahead(self) -> None:
        """The name is looked up before its lifetime ends, and no request waits for that; new addresses are used."""
        first = self.learn()
        self.clock.advance(23.9)
        self.assertEqual([HOP], self.lookup.names)

        self.clock.advance(0.1)
        self.assertEqual([HOP, HOP], self.lookup.names)
        self.assertIs(first, self.known())
        self.lookup.answer(HOP, SECOND)

        self.assertEqual((SECOND,), self.known().addresses)

    def test_same_addresses(self) -> None:
        """An answer that changes nothing is the same object, so that decisions hold."""
        first = self.learn()
        self.clock.advance(24)

        self.lookup.answer(HOP, FIRST)

        self.assertIs(first, self.known())

    def test_kept_while_it_fails(self) -> None:
        """Failures and silence leave the last addresses in use for a day; it is tried again, and said once."""
        first = self.learn()
        self.clock.advance(24)
        for _ in range(3):
            self.lookup.fail(HOP, ResolverFailed("the name servers failed: SERVFAIL"))
            self.assertEqual(1, self.resolver.stale)
            self.assertIs(first, self.known())
            self.clock.advance(2)
        self.clock.advance(4)
        self.assertIs(first, self.known())
        self.assertEqual([HOP], self.lookup.stopped)

        self.clock.advance(2)
        self.lookup.answer(HOP, FIRST)

        self.assertEqual(0, self.resolver.stale)
        self.assertEqual(6, len(self.lookup.names))

    def test_not_kept_for_ever(self) -> None:
        """After a day without an answer the addresses may be somebody else's."""
        self.learn()
        for _ in range(47):
            self.clock.advance(1800)
            self.lookup.fail(HOP, ResolverFailed("the name servers failed: SERVFAIL"))
            self.known()

        self.clock.advance(1800)
        self.lookup.fail(HOP, ResolverFailed("the name servers failed: SERVFAIL"))

        self.assertRaises(ResolverFailed, self.resolver.resolve, HOP)

    def test_a_name_that_is_gone(self) -> None:
        """An answer that there is no such name is an answer (RFC 8767 section 4), remembered for its lifetime."""
        self.learn()
        self.clock.advance(24)

        self.lookup.fail(HOP, NameNotFound("the host name does not exist"))

        self.assertRaises(NameNotFound, self.resolver.resolve, HOP)
        self.clock.advance(5)
        self.learn()

    def test_never_resolved(self) -> None:
        """A failure is remembered for a short time; then a request waits for the name again."""
        waiting = self.wait()
        self.clock.advance(4)
        self.failureResultOf(waiting, ResolverTimeout)

        self.assertRaises(ResolverTimeout, self.resolver.resolve, HOP)
        self.clock.advance(2)

        self.learn()

    def test_unused(self) -> None:
        """A name that no request has needed for an hour is looked up no longer, and is then known no more."""
        self.learn()
        for _ in range(60 * 60 // 20):
            self.clock.advance(20)
            if HOP in self.lookup.open:
                self.lookup.answer(HOP, FIRST)
        self.clock.advance(40)

        self.assertEqual([], self.clock.getDelayedCalls())
        self.wait()

    def test_places_of_its_own(self) -> None:
        """Neither the places nor the queue of clients bound the look-ups of proxies."""
        for number in range(HOP_LOOKUPS + 10):
            self.resolver.resolve(f"proxy{number}.corp.example", "client")

        self.assertEqual(HOP_LOOKUPS, len(self.lookup.open))

    def test_no_turn(self) -> None:
        """A refresh that gets its place too late is tried again."""
        self.learn()
        self.clock.advance(21)
        slow = [self.resolver.resolve(f"proxy{number}.corp.example") for number in range(HOP_LOOKUPS)]
        self.clock.advance(3)
        self.assertEqual([HOP], [host for host in self.lookup.names if host == HOP])

        self.clock.pump([1, 3])
        for each in slow:
            assert isinstance(each, Deferred)
            self.failureResultOf(each, ResolverTimeout)
        self.assertEqual([HOP], self.lookup.stopped[HOP_LOOKUPS:])
        self.clock.advance(2)
        self.lookup.answer(HOP, SECOND)

        self.assertEqual((SECOND,), self.known().addresses)

    def test_renewed(self) -> None:
        """A reload's lifetimes hold from the next answer on."""
        self.resolver.renew(evolve(SETTINGS, positive_seconds=10))
        self.learn()

        self.clock.advance(8)

        self.assertEqual([HOP, HOP], self.lookup.names)
        self.assertEqual([HOP_LOOKUPS], [each.concurrent for each in self.lookup.renewed])

    def test_stopped(self) -> None:
        """Nothing is looked up after the end."""
        self.learn()

        self.resolver.stop()

        self.assertEqual([], self.clock.getDelayedCalls())
