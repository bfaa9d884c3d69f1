"""The caching resolver: shared look-ups, lifetimes, and deadlines."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import NameNotFound, ResolutionError, ResolverFailed, ResolverTimeout
from egress.interfaces import IResolver
from egress.model import Resolution
from egress.upstream import CachingResolver, DnsSettings
from tests.upstream.lookups import HandLookup

PUBLIC, OTHER = ip_address("203.0.113.1"), ip_address("203.0.113.2")

SETTINGS = DnsSettings(
    positive_seconds=30,
    negative_seconds=5,
    failure_seconds=1,
    timeout_seconds=4,
    cache_names=3,
    concurrent=2,
    concurrent_per_client=2,
    waiting=2,
    waiting_per_client=2,
)


class ResolverCase(SynchronousTestCase):
    """Gives each test a resolver on a clock of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked = HandLookup()
        self.resolver = CachingResolver(self.clock, self.asked, SETTINGS)

    def wait_for(self, host: str) -> Deferred[Resolution]:
        """Resolve a name that is not known yet."""
        waiting = self.resolver.resolve(host)
        assert isinstance(waiting, Deferred), f"{host} is known"
        return waiting

    def known(self, host: str) -> Resolution:
        """Resolve a name that is known."""
        resolution = self.resolver.resolve(host)
        assert isinstance(resolution, Resolution), f"{host} is not known"
        return resolution


class LiteralTests(ResolverCase):
    """Addresses stand for themselves."""

    def test_it_is_a_resolver(self) -> None:
        """It can stand wherever a resolver is asked for."""
        self.assertTrue(verifyObject(IResolver, self.resolver))

    def test_literals_are_their_own_answer(self) -> None:
        """No look-up is made, and the same object comes each time."""
        for host in ("203.0.113.1", "2001:db8::1", "::ffff:192.0.2.1"):
            with self.subTest(host=host):
                resolution = self.known(host)

                self.assertEqual(resolution, Resolution(host, (ip_address(host),)))
                self.assertIs(self.known(host), resolution)
        self.assertEqual(self.asked.names, [])

    def test_literals_never_expire_but_are_bounded(self) -> None:
        """They push out only each other."""
        self.wait_for("example.com")
        self.asked.answer("example.com", PUBLIC)
        first = self.known("203.0.113.1")
        self.clock.advance(29)
        self.assertIs(self.known("203.0.113.1"), first)

        for last in range(2, 6):
            self.known(f"203.0.113.{last}")

        self.assertIsNot(self.known("203.0.113.1"), first)
        self.assertEqual(self.known("example.com").addresses, (PUBLIC,))

    def test_zones_are_refused(self) -> None:
        """A zone means nothing to others and could lead round a rule; nor is any other name with a colon looked up."""
        for host in ("fe80::1%eth0", "::g", "example.com:80"):
            with self.subTest(host=host), self.assertRaises(NameNotFound):
                self.resolver.resolve(host)
        self.assertEqual(self.asked.names, [])

    def test_names_that_end_in_a_digit_are_names(self) -> None:
        """What only looks a little like an address is looked up."""
        self.wait_for("node.example1")

        self.assertEqual(self.asked.names, ["node.example1"])


class LifetimeTests(ResolverCase):
    """How long an answer holds."""

    def test_an_answer_is_kept_for_its_lifetime(self) -> None:
        """The same object comes at once, so that what was judged is known again; afterwards it is asked for anew."""
        waiting = self.wait_for("example.com")
        self.asked.answer("example.com", PUBLIC, OTHER)
        first = self.successResultOf(waiting)
        self.assertEqual(first, Resolution("example.com", (PUBLIC, OTHER)))

        self.clock.advance(29.9)
        self.assertIs(self.known("example.com"), first)
        self.clock.advance(0.1)
        self.wait_for("example.com")

        self.assertEqual(self.asked.names, ["example.com", "example.com"])

    def test_a_name_that_changes_its_mind(self) -> None:
        """Rebinding: what was judged is not changed by a later answer, which is another object and judged anew."""
        self.wait_for("example.com")
        self.asked.answer("example.com", PUBLIC)
        judged = self.known("example.com")
        self.clock.advance(30)

        waiting = self.wait_for("example.com")
        self.asked.answer("example.com", ip_address("127.0.0.1"))

        self.assertEqual(judged.addresses, (PUBLIC,))
        self.assertIsNot(self.successResultOf(waiting), judged)

    def test_errors_are_kept_for_theirs(self) -> None:
        """A missing name is remembered, a failure only briefly; the error comes at once, and each time anew."""
        rows: list[tuple[Exception, type[ResolutionError], float]] = [
            (NameNotFound("gone"), NameNotFound, 5.0),
            (ResolverFailed("EAI_AGAIN"), ResolverFailed, 1.0),
        ]
        for error, kind, seconds in rows:
            with self.subTest(kind=kind.__name__):
                self.setUp()
                waiting = self.wait_for("example.com")
                self.asked.fail("example.com", error)
                self.failureResultOf(waiting, kind)

                self.clock.advance(seconds - 0.1)
                one = self.assertRaises(kind, self.resolver.resolve, "example.com")
                other = self.assertRaises(kind, self.resolver.resolve, "example.com")
                self.clock.advance(0.1)
                self.wait_for("example.com")

                self.assertIsNot(one, other)
                self.assertEqual(str(one), str(error))

    def test_no_address_is_no_name(self) -> None:
        """An answer without addresses is the same as none."""
        waiting = self.wait_for("example.com")

        self.asked.answer("example.com")

        self.failureResultOf(waiting, NameNotFound)

    def test_a_look_up_that_breaks(self) -> None:
        """An unexpected error is logged and is a failure of the resolver, not of the request."""
        waiting = self.wait_for("example.com")

        self.asked.fail("example.com", ZeroDivisionError())

        self.failureResultOf(waiting, ResolverFailed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_least_recently_used_goes_first(self) -> None:
        """The memory has a bound, and what is in use stays."""
        for host in ("a.example", "b.example", "c.example"):
            self.wait_for(host)
            self.asked.answer(host, PUBLIC)
        kept = self.known("a.example")

        self.wait_for("d.example")
        self.asked.answer("d.example", PUBLIC)

        self.assertIs(self.known("a.example"), kept)
        self.known("c.example")
        self.wait_for("b.example")

    def test_addresses_are_cleaned(self) -> None:
        """Doubles go, the order stays, zones go but the guard sees the address, mapped ones stay mapped."""
        waiting = self.wait_for("example.com")

        self.asked.answer(
            "example.com", OTHER, PUBLIC, OTHER, ip_address("fe80::1%eth0"), ip_address("::ffff:10.0.0.1")
        )

        self.assertEqual(
            self.successResultOf(waiting).addresses,
            (OTHER, PUBLIC, ip_address("fe80::1"), ip_address("::ffff:10.0.0.1")),
        )

    def test_both_families_are_kept(self) -> None:
        """Many addresses of one family do not push out those of the other."""
        waiting = self.wait_for("example.com")
        many = [ip_address(f"2001:db8::{number}") for number in range(40)]

        self.asked.answer("example.com", *many, PUBLIC)

        self.assertEqual(self.successResultOf(waiting).addresses, (many[0], PUBLIC, *many[1:31]))

    def test_addresses_are_bounded(self) -> None:
        """A name with a thousand addresses does not fill the memory."""
        waiting = self.wait_for("example.com")
        many = [ip_address(f"203.0.{number // 250}.{number % 250}") for number in range(1000)]

        self.asked.answer("example.com", *many)

        self.assertEqual(self.successResultOf(waiting).addresses, tuple(many[:32]))


class SharingTests(ResolverCase):
    """Many who ask for one name."""

    def test_one_look_up_serves_all(self) -> None:
        """Everyone gets the same object out of one look-up."""
        waiting = [self.wait_for("example.com") for _ in range(3)]

        self.asked.answer("example.com", PUBLIC)

        results = [self.successResultOf(each) for each in waiting]
        self.assertEqual(self.asked.names, ["example.com"])
        self.assertIs(results[0], results[1])
        self.assertIs(results[1], results[2])

    def test_who_leaves_hurts_nobody(self) -> None:
        """One waiter's cancellation is their own."""
        one, other = self.wait_for("example.com"), self.wait_for("example.com")

        one.cancel()
        self.asked.answer("example.com", PUBLIC)

        self.failureResultOf(one, CancelledError)
        self.assertEqual(self.successResultOf(other).addresses, (PUBLIC,))

    def test_nobody_left(self) -> None:
        """When all have left, no timer waits, and the answer is still of use."""
        waiting = self.wait_for("example.com")

        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.asked.answer("example.com", PUBLIC)

        self.known("example.com")

    def test_whoever_comes_back_joins(self) -> None:
        """A name whose look-up was left is not looked up a second time beside it, and has a deadline again."""
        first = self.wait_for("example.com")
        first.cancel()
        self.failureResultOf(first, CancelledError)

        again = self.wait_for("example.com")
        self.clock.advance(4)

        self.failureResultOf(again, ResolverTimeout)
        self.assertEqual(self.asked.names, ["example.com"])

    def test_a_waiter_that_cancels_another(self) -> None:
        """What one does with the answer may make another's question needless, in either case."""
        for is_found in (True, False):
            with self.subTest(is_found=is_found):
                self.setUp()
                one, other = self.wait_for("example.com"), self.wait_for("example.com")

                def leave(_: object, gone: Deferred[Resolution] = other) -> None:
                    gone.cancel()

                one.addBoth(leave)
                if is_found:
                    self.asked.answer("example.com", PUBLIC)
                else:
                    self.asked.fail("example.com", NameNotFound())

                self.successResultOf(one)
                self.failureResultOf(other, CancelledError)

    def test_nothing_waits_after_an_answer(self) -> None:
        """The deadline goes with the answer."""
        self.wait_for("example.com")

        self.asked.answer("example.com", PUBLIC)

        self.assertEqual(self.clock.getDelayedCalls(), [])


class DeadlineTests(ResolverCase):
    """A resolver that does not answer."""

    def test_waiting_has_an_end(self) -> None:
        """After the deadline all who wait hear of it, and for a moment everyone else too, at once."""
        waiting = [self.wait_for("example.com"), self.wait_for("example.com")]
        self.clock.advance(3.9)
        self.assertNoResult(waiting[0])

        self.clock.advance(0.1)

        for each in waiting:
            self.failureResultOf(each, ResolverTimeout)
        self.assertRaises(ResolverTimeout, self.resolver.resolve, "example.com")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_late_answer_is_kept(self) -> None:
        """Who asks again after a late answer has it at once."""
        waiting = self.wait_for("example.com")
        self.clock.advance(4)
        self.failureResultOf(waiting, ResolverTimeout)

        self.asked.answer("example.com", PUBLIC)

        self.assertEqual(self.known("example.com").addresses, (PUBLIC,))

    def test_a_stuck_look_up_is_not_doubled(self) -> None:
        """One name can occupy one look-up, however long and however often it is asked for."""
        for _ in range(3):
            waiting = self.wait_for("example.com")
            self.clock.advance(4)
            self.failureResultOf(waiting, ResolverTimeout)
            self.clock.advance(1)

        last = self.wait_for("example.com")
        self.asked.answer("example.com", PUBLIC)

        self.successResultOf(last)
        self.assertEqual(self.asked.names, ["example.com"])
