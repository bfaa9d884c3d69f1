"""Shares of the look-ups: who asks for many names, or for slow ones, delays nobody else."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import (
    NameNotFound,
    ResolutionError,
    ResolverBusy,
    ResolverFailed,
    ResolverTimeout,
    ResolverTurnMissed,
    TooManyLookups,
)
from egress.model import Address, Resolution
from egress.upstream import DnsSettings, Lookup
from egress.upstream.caching_resolver import make_answer
from egress.upstream.lookup_queue import LookupQueue
from tests.upstream.lookups import HandLookup

PUBLIC = ip_address("203.0.113.1")
SETTINGS = DnsSettings(
    timeout_seconds=4, concurrent=3, concurrent_per_client=2, waiting=4, waiting_per_client=3, positive_seconds=30
)


class InstantLookup(HandLookup):
    """Has every outcome at hand."""

    def __init__(self, begin: Callable[[], Deferred[tuple[Address, ...]]]) -> None:
        super().__init__()
        self.begin = begin

    def __call__(self, host: str) -> Deferred[tuple[Address, ...]]:
        """End."""
        return self.begin()


class QueueCase(SynchronousTestCase):
    """Gives each test a queue on a clock of its own. Its look-ups can be stopped."""

    settings = SETTINGS

    def setUp(self) -> None:
        self.clock = Clock()
        self.lookup = HandLookup(is_stoppable=True)
        self.make(self.lookup, self.settings)

    def make(self, lookup: Lookup, settings: DnsSettings) -> None:
        """Make the queue."""
        self.recorded: list[tuple[str, object]] = []
        self.queue = LookupQueue(self.clock, lookup, settings, self.record)

    def record(self, host: str, outcome: tuple[Address, ...] | ResolutionError) -> Resolution | ResolutionError:
        """Take note of an outcome."""
        self.recorded.append((host, outcome if isinstance(outcome, tuple) else type(outcome)))
        return make_answer(host, outcome)

    def ask(self, client: str, *hosts: str) -> list[Deferred[Resolution]]:
        """Ask for names on behalf of a client."""
        return [self.queue.ask(host, client) for host in hosts]


class ShareTests(QueueCase):
    """Places and queue."""

    def test_slow_names_of_one_client(self) -> None:
        """They take the client's places and no others: another client's name is looked up at once."""
        self.ask("greedy", "1.slow", "2.slow", "3.slow", "4.slow")
        self.assertEqual(["1.slow", "2.slow"], self.lookup.names)

        waiting = self.queue.ask("good.example", "other")
        self.lookup.answer("good.example", PUBLIC)

        self.assertEqual((PUBLIC,), self.successResultOf(waiting).addresses)

    def test_free_places_go_round(self) -> None:
        """Of clients that wait, the one that has waited longest for a turn is next, however many names others ask."""
        self.ask("a", "1.a", "2.a")
        self.ask("b", "1.b")
        self.ask("b", "2.b", "3.b")
        self.ask("c", "1.c")
        self.ask("a", "3.a")

        for host in ("1.a", "2.a", "1.b", "1.c", "2.b", "3.a"):
            self.lookup.answer(host, PUBLIC)

        self.assertEqual(["1.a", "2.a", "1.b", "2.b", "1.c", "3.a", "3.b"], self.lookup.names)

    def test_a_share_of_the_queue(self) -> None:
        """The name beyond it is refused; it is not looked up and nothing is remembered. Others still find room."""
        self.ask("greedy", "1.slow", "2.slow", "3.slow", "4.slow", "5.slow")

        error = self.assertRaises(TooManyLookups, self.queue.ask, "6.slow", "greedy")
        self.queue.ask("good.example", "other")

        self.assertEqual("Too many host names of this client wait for resolution.", error.sentence)
        self.assertTrue(error.is_overload)
        self.assertEqual([], self.recorded)
        self.assertEqual(6, len(self.queue))

    def test_a_full_queue(self) -> None:
        """Who has little in a full queue takes the last place of who has most; who has as much is refused."""
        self.ask("a", "1.a", "2.a")
        self.ask("b", "1.b")
        waiting = self.ask("a", "3.a", "4.a", "5.a")
        self.ask("b", "2.b")

        self.ask("c", "1.c")

        self.failureResultOf(waiting[2], ResolverBusy)
        for each in waiting[:2]:
            self.assertNoResult(each)
        self.assertRaises(ResolverBusy, self.queue.ask, "6.a", "a")
        self.assertRaises(ResolverBusy, self.queue.ask, "2.c", "c")
        self.assertEqual([], self.recorded)

    def test_an_overload_is_no_failure_of_the_name(self) -> None:
        """Both refusals say that they are of the queue, so that no name is left to a proxy for them."""
        for kind in (ResolverBusy, TooManyLookups, ResolverTurnMissed):
            self.assertTrue(kind.is_overload)


class SharedNameTests(QueueCase):
    """One name of many clients."""

    def test_a_name_in_the_queue_of_another(self) -> None:
        """Whoever asks for a name that waits in a full queue of another client has a turn of the own."""
        self.ask("greedy", "1.slow", "2.slow", "3.slow", "good.example")

        waiting = self.queue.ask("good.example", "other")
        self.assertEqual(["1.slow", "2.slow", "good.example"], self.lookup.names)
        self.lookup.answer("good.example", PUBLIC)

        self.assertEqual((PUBLIC,), self.successResultOf(waiting).addresses)
        self.assertEqual(3, len(self.queue))

    def test_who_asked_first_leaves(self) -> None:
        """A name that another client waits for stays in that client's queue."""
        self.ask("a", "1.a", "2.a")
        self.ask("b", "1.b", "2.b")
        first = self.queue.ask("shared.example", "a")
        self.queue.ask("shared.example", "b")

        first.cancel()
        self.failureResultOf(first, CancelledError)
        for host in ("1.b", "2.b"):
            self.lookup.answer(host, PUBLIC)

        self.assertIn("shared.example", self.lookup.names)

    def test_a_name_that_is_dropped_for_one(self) -> None:
        """Where a full queue drops a name of one client, another client that waits for it keeps its turn."""
        self.ask("a", "1.a", "2.a")
        self.ask("b", "1.b")
        dropped = self.ask("a", "3.a", "4.a", "shared.example")[-1]
        kept = self.queue.ask("shared.example", "b")

        self.ask("c", "1.c")
        self.failureResultOf(dropped, ResolverBusy)
        self.lookup.answer("1.b", PUBLIC)
        self.lookup.answer("shared.example", PUBLIC)

        self.successResultOf(kept)


class GivenUpTests(QueueCase):
    """Look-ups that nobody waits for any more."""

    def test_the_place_is_given_back(self) -> None:
        """A look-up is stopped when its last waiter leaves, and the next one begins."""
        waiting = self.ask("a", "1.a", "2.a", "3.a")
        also = self.queue.ask("1.a", "b")

        waiting[0].cancel()
        self.assertEqual([], self.lookup.stopped)
        also.cancel()

        for each in (waiting[0], also):
            self.failureResultOf(each, CancelledError)
        self.assertEqual(["1.a"], self.lookup.stopped)
        self.assertEqual(["1.a", "2.a", "3.a"], self.lookup.names)
        self.assertEqual([], self.recorded)

    def test_a_look_up_without_an_answer(self) -> None:
        """At the deadline all who wait are told, the failure is on record, and the place is free."""
        first = self.queue.ask("1.a", "a")
        self.clock.advance(1)
        second = self.queue.ask("1.a", "b")

        self.clock.advance(3)

        for each in (first, second):
            self.failureResultOf(each, ResolverTimeout)
        self.assertEqual([("1.a", ResolverTimeout)], self.recorded)
        self.assertEqual(["1.a"], self.lookup.stopped)
        self.assertEqual(0, len(self.queue))

    def test_a_thread_goes_on(self) -> None:
        """A look-up that cannot be stopped keeps its place until it ends, and its answer is on record then."""
        self.lookup.is_stoppable = False
        waiting = self.ask("a", "1.a", "2.a", "3.a")
        for each in waiting[:2]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(["1.a", "2.a"], self.lookup.names)

        self.lookup.answer("2.a", PUBLIC)

        self.assertEqual([("2.a", (PUBLIC,))], self.recorded)
        self.assertEqual(["1.a", "2.a", "3.a"], self.lookup.names)

    def test_a_name_asked_for_anew(self) -> None:
        """A stopped look-up has nothing to do with the next one for its name."""
        first = self.queue.ask("1.a", "a")
        first.cancel()
        self.failureResultOf(first, CancelledError)

        again = self.queue.ask("1.a", "a")
        self.lookup.answer("1.a", PUBLIC)

        self.successResultOf(again)
        self.assertEqual(0, len(self.queue))
        self.assertEqual([], self.clock.getDelayedCalls())


class TurnTests(QueueCase):
    """Deadlines of names that wait for a place."""

    def test_no_turn_in_time(self) -> None:
        """It says nothing about the name, so nothing is on record."""
        waiting = self.ask("a", "1.a", "2.a", "3.a")

        self.clock.advance(4)

        failure = self.failureResultOf(waiting[2], ResolverTurnMissed)
        self.assertEqual("There was no free place to resolve the host name in time.", failure.value.sentence)
        for each in waiting[:2]:
            self.failureResultOf(each, ResolverTimeout)
        self.assertEqual(["1.a", "2.a"], [host for host, _ in self.recorded])

    def test_a_turn_too_late(self) -> None:
        """A look-up that began a moment before the deadline has not failed: others would be told so, or go unjudged."""
        first, slow, late = self.ask("a", "1.a", "2.a", "3.a")
        self.clock.advance(3)
        self.lookup.answer("1.a", PUBLIC)
        self.successResultOf(first)
        other = self.queue.ask("3.a", "b")

        self.clock.advance(1)
        self.failureResultOf(late, ResolverTurnMissed)
        self.failureResultOf(slow, ResolverTimeout)
        self.assertNotIn("3.a", dict(self.recorded))
        self.assertNoResult(other)
        self.clock.advance(3)

        self.failureResultOf(other, ResolverTimeout)
        self.assertIn(("3.a", ResolverTimeout), self.recorded)


class InstantTests(QueueCase):
    """Look-ups with an answer at hand."""

    settings = evolve(SETTINGS, concurrent=1, concurrent_per_client=1, waiting=5000, waiting_per_client=5000)

    def test_failures(self) -> None:
        """A long queue before a resolver that is stopped is worked off without recursion."""
        first: Deferred[tuple[Address, ...]] = Deferred()
        answers = iter([first])
        self.make(InstantLookup(lambda: next(answers, None) or fail(ResolverFailed("stopped"))), self.settings)
        waiting = self.ask("a", *(f"host{number}.example" for number in range(5000)))

        first.errback(ResolverFailed("stopped"))

        for each in waiting:
            self.failureResultOf(each, ResolverFailed)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_an_answer(self) -> None:
        """It is there when the question returns."""
        self.make(InstantLookup(lambda: succeed((PUBLIC,))), self.settings)

        self.successResultOf(self.queue.ask("example.com", "a"))

    def test_a_look_up_that_cannot_begin(self) -> None:
        """An exception is logged, and takes no place for ever."""

        def broken() -> Deferred[tuple[Address, ...]]:
            raise ZeroDivisionError

        self.make(InstantLookup(broken), self.settings)

        for _ in range(2):
            self.failureResultOf(self.queue.ask("example.com", "a"), ResolverFailed)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3), st.integers(0, 9)),
        st.tuples(st.sampled_from(["answer", "fail", "leave"]), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 5), st.just(0)),
    ),
    max_size=60,
)


class AnyOrderTests(QueueCase):
    """Whatever happens in whatever order."""

    @given(STEPS, st.booleans())
    def test_bounds_and_ends(self, steps: list[tuple[str, int, int]], is_stoppable: bool) -> None:
        """No bound is passed, everybody gets one outcome, and nothing is left in the end."""
        self.setUp()
        self.lookup.is_stoppable = is_stoppable
        waiting: list[Deferred[Resolution]] = []
        outcomes: list[object] = []
        for what, number, more in steps:
            if what == "ask":
                try:
                    asked = self.queue.ask(f"{more}.example", f"client{number}")
                except ResolverBusy:
                    continue
                asked.addBoth(outcomes.append)
                waiting.append(asked)
            elif what == "wait":
                self.clock.advance(number)
            elif what == "leave" and waiting:
                waiting[number % len(waiting)].cancel()
            elif self.lookup.open and what == "answer":
                self.lookup.answer(list(self.lookup.open)[number % len(self.lookup.open)], PUBLIC)
            elif self.lookup.open and what == "fail":
                self.lookup.fail(list(self.lookup.open)[number % len(self.lookup.open)], NameNotFound("gone"))
            self.assertLessEqual(len(self.lookup.open), 3)
            self.assertLessEqual(max(self.queue._running.values(), default=0), 2)
            self.assertEqual(len(self.lookup.open), self.queue._places)
            self.assertLessEqual(sum(map(len, self.queue._queues.values())), 4)
            self.assertTrue(all(self.queue._queues.values()))
            if any(map(self.queue._has_place, self.queue._queues)):
                self.fail("a place is free and a name waits")
        while self.lookup.open:
            self.lookup.answer(next(iter(self.lookup.open)), PUBLIC)
        self.assertEqual((len(waiting), 0, 0), (len(outcomes), len(self.queue), self.queue._places))
        self.assertEqual([], self.clock.getDelayedCalls())
