"""Look-ups with the system's resolver, in threads."""

from __future__ import annotations

import threading
from collections.abc import Generator
from ipaddress import ip_address
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults, inlineCallbacks
from twisted.trial.unittest import TestCase

from egress.errors import NameNotFound, ResolverFailed
from egress.model import Address
from egress.upstream import HostsFile, SystemLookup
from egress.upstream.daemon_threads import DaemonThreads


class ThreadedLookUpTests(TestCase):
    """No network is needed: the names are in a hosts file, or exist nowhere (RFC 6761)."""

    timeout = 30

    def setUp(self) -> None:
        self.lookup = SystemLookup(DaemonThreads(reactor, 2))  # type: ignore[arg-type]
        self.lookup.start()
        self.addCleanup(self.lookup.stop)

    @inlineCallbacks
    def test_localhost(self) -> Generator[Deferred[Any], Any, None]:
        """The hosts file is asked, although the name is absolute."""
        addresses: tuple[Address, ...] = yield self.lookup("localhost")

        self.assertTrue(addresses)
        self.assertTrue(all(address.is_loopback for address in addresses))

    @inlineCallbacks
    def test_a_hosts_file_of_ones_own(self) -> Generator[Deferred[Any], Any, None]:
        """Its answer is the whole answer."""
        path = self.mktemp()
        with open(path, "w", encoding="ascii") as file:
            file.write("192.0.2.1 one.invalid\n2001:db8::1 one.invalid\n")
        self.lookup.hosts = HostsFile(path)

        addresses = yield self.lookup("one.invalid")

        self.assertEqual(addresses, (ip_address("192.0.2.1"), ip_address("2001:db8::1")))

    @inlineCallbacks
    def test_a_hosts_file_that_cannot_be_read(self) -> Generator[Deferred[Any], Any, None]:
        """What was configured and cannot be used is a failure, not passed over."""
        self.lookup.hosts = HostsFile("/")

        yield self.assertFailure(self.lookup("localhost"), ResolverFailed)

    @inlineCallbacks
    def test_a_name_that_cannot_exist(self) -> Generator[Deferred[Any], Any, None]:
        """It ends in one of the two errors, whether or not there is a resolver to ask."""
        yield self.assertFailure(self.lookup("no-such-name.invalid"), NameNotFound, ResolverFailed)

    @inlineCallbacks
    def test_what_is_no_name(self) -> Generator[Deferred[Any], Any, None]:
        """Nothing that is not in canonical form is taken for an address by the C library, or breaks a thread."""
        for host in (
            "127.1",
            "0x7f.1",
            "2130706433",
            "127.0.0.1",
            "a..b",
            "x" * 64 + ".invalid",
            "\xe4.invalid",
            "a\0b",
        ):
            with self.subTest(host=host):
                yield self.assertFailure(self.lookup(host), NameNotFound, ResolverFailed)

        self.assertTrue((yield self.lookup("localhost")))

    @inlineCallbacks
    def test_many_at_once(self) -> Generator[Deferred[Any], Any, None]:
        """Any number of questions is answered by so many daemon threads, and no more."""
        waiting = [self.lookup("localhost") for _ in range(50)]
        workers = [thread for thread in threading.enumerate() if thread.name == "look-up"]

        yield gatherResults(waiting)

        self.assertTrue(all(thread.daemon for thread in workers))
        self.assertEqual(self.lookup.threads._count, 2)

    @inlineCallbacks
    def test_who_gives_up_loses_only_the_own_answer(self) -> Generator[Deferred[Any], Any, None]:
        """A question that is cancelled ends at once; its thread serves others afterwards."""
        given_up = self.lookup("localhost")
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)

        self.assertTrue((yield self.lookup("localhost")))

    def test_stop_does_not_wait(self) -> None:
        """Open questions fail at once, and so does every later one, until it is started again."""
        open_question = self.lookup("localhost")

        self.lookup.stop()

        self.failureResultOf(open_question, ResolverFailed)
        self.failureResultOf(self.lookup("localhost"), ResolverFailed)

    @inlineCallbacks
    def test_it_can_be_started_again(self) -> Generator[Deferred[Any], Any, None]:
        """A stop is not for ever."""
        self.lookup.stop()
        self.lookup.start()

        self.assertTrue((yield self.lookup("localhost")))
