"""Look-ups: both families, the hosts file, and questions that nobody answers."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from pathlib import Path

from twisted.internet.defer import CancelledError

from egress.errors import NameNotFound, ResolverFailed
from egress.testing.datagrams import DatagramServer
from egress.upstream import HostsFile
from tests.upstream.dns.server import Nameserver, Record, table
from tests.upstream.dns.support import BOTH, FIRST, FOUR, HOST, SIX, WORLD, LookupCase


class AnswerTests(LookupCase):
    """One name server that answers."""

    def test_both_families(self) -> None:
        """They are asked for at once, apart from each other, from different ports and with different identities."""
        server = self.serve()
        datagrams = self.network._kernel.datagram_servers[FIRST, 53]
        assert isinstance(datagrams, DatagramServer)

        self.assert_found(self.look_up(), SIX, FOUR)

        self.assertEqual([(HOST, "A"), (HOST, "AAAA")], server.asked)
        self.assertEqual(2, len({source.local for source in datagrams.sources}))
        self.assertEqual(0.0, self.network.clock.seconds())

    def test_identities(self) -> None:
        """No identity tells the next one."""
        self.serve()
        datagrams = self.network._kernel.datagram_servers[FIRST, 53]
        assert isinstance(datagrams, DatagramServer)

        for _ in range(64):
            self.look_up()

        identities = [int.from_bytes(data[:2], "big") for data in datagrams.heard]
        self.assertGreater(len(set(identities)), 120)
        self.assertGreater(len({(b - a) % 65536 for a, b in pairwise(identities)}), 120)
        self.assertEqual(128, len({source.local for source in datagrams.sources}))

    def test_absolute(self) -> None:
        """A short name is asked for as it is. No search list makes another name of it."""
        server = self.serve()

        self.assert_fails(self.look_up("api"), NameNotFound, "the host name does not exist")

        self.assertEqual([("api", "A"), ("api", "AAAA")], server.asked)

    def test_no_such_name(self) -> None:
        """The reason tells a name that does not exist from one without an address."""
        self.serve(table(empty_example={}))

        self.assert_fails(self.look_up("gone.example"), NameNotFound, "the host name does not exist")
        self.assert_fails(self.look_up("empty.example"), NameNotFound, "the host name has no address")

    def test_one_family(self) -> None:
        """A name with addresses of one family has these, even if the other family's answer is that nothing exists."""
        broken: dict[str, list[Record] | str] = {"A": [("A", FOUR)], "AAAA": "NXDOMAIN"}
        self.serve(
            table(
                four_example={"A": [("A", FOUR)]},
                six_example={"AAAA": [("AAAA", SIX)]},
                broken_example=broken,  # RFC 4074 section 4.2
                failing_example={"A": [("A", FOUR)], "AAAA": "SERVFAIL"},
            )
        )
        for name, wanted in (("four", FOUR), ("six", SIX), ("broken", FOUR), ("failing", FOUR)):
            with self.subTest(name):
                self.assert_found(self.look_up(f"{name}.example"), wanted)
        self.assertEqual(0.0, self.network.clock.seconds())

    def test_aliases(self) -> None:
        """Aliases are followed in the answer, without further questions."""
        server = self.serve(table(www_example_com={"A": [("CNAME", "cdn.example.net"), ("A", FOUR)]}))

        self.assert_found(self.look_up(), FOUR)

        self.assertEqual(2, len(server.asked))

    def test_no_name_of_dns(self) -> None:
        """What cannot be a name is not asked for."""
        for host in ("a..b", "x" * 64 + ".example", "a\0b." * 70):
            self.assert_fails(self.look_up(host), NameNotFound, "the host is not a name of DNS")
        self.assertEqual(0, self.opened)


class LossTests(LookupCase):
    """Datagrams that are lost, and questions that nobody answers."""

    def lossy(self, kind: str, lost: int) -> Nameserver:
        """Run a name server that loses the first questions of a type."""
        left = {kind: lost}

        def zone(name: str, asked: str) -> list[Record] | None:
            if left.get(asked, 0) > 0:
                left[asked] -= 1
                return None
            return BOTH[asked]

        return self.serve(zone)

    def test_lost_question(self) -> None:
        """A datagram that is lost is sent again after a second: from one port, so that a late answer counts as well."""
        server = self.lossy("A", 2)

        found = self.look_up()
        self.network.advance(1.9)
        self.assertNoResult(found)
        self.network.advance(0.1)

        self.assert_found(found, SIX, FOUR)
        self.assertEqual(3, server.asked.count((HOST, "A")))
        self.assertEqual(2, self.opened)

    def test_aaaa_is_never_answered(self) -> None:
        """A server that drops questions for IPv6 costs a quarter of a second, and no failure."""
        self.lossy("AAAA", 1000)

        found = self.look_up()
        self.network.advance(0.24)
        self.assertNoResult(found)
        self.network.advance(0.01)

        self.assert_found(found, FOUR)

    def test_aaaa_is_late(self) -> None:
        """The answer that comes within that time is used."""
        server = self.network.datagrams(FIRST, 53)
        answering = Nameserver(WORLD)
        found = self.look_up()
        server.sends(answering(server.heard[0]) or b"", 0)
        self.network.advance(0.2)

        server.sends(answering(server.heard[1]) or b"", 1)
        self.network.settle()

        self.assert_found(found, SIX, FOUR)

    def test_aaaa_is_never_answered_for_no_name(self) -> None:
        """That a name does not exist needs one answer."""
        self.serve(lambda name, kind: "NXDOMAIN" if kind == "A" else None)

        found = self.look_up()
        self.network.advance(0.25)

        self.assert_fails(found, NameNotFound, "the host name does not exist")

    def test_a_is_lost(self) -> None:
        """IPv6 alone waits for a second try, because without IPv4 many machines have nothing."""
        self.lossy("A", 1)

        found = self.look_up()
        self.network.advance(1.0)

        self.assert_found(found, SIX, FOUR)

    def test_a_is_never_answered(self) -> None:
        """After the third try IPv6 has to do."""
        self.lossy("A", 1000)

        found = self.look_up()
        self.network.advance(2.5)

        self.assert_found(found, SIX)

    def test_addresses_of_no_use(self) -> None:
        """Where there is no way to IPv4, its addresses wait for those of IPv6 longer, and are given in the end."""
        self.reachable = {6}
        self.lossy("AAAA", 1)
        found = self.look_up()
        self.network.advance(1.0)
        self.assert_found(found, SIX, FOUR)

        self.lossy("AAAA", 1000)
        found = self.look_up()
        self.network.advance(2.5)
        self.assert_found(found, FOUR)

    def test_only_ipv6_may_have_addresses(self) -> None:
        """A name without IPv4 is asked for with IPv6 until there is an answer: nothing else tells what it has."""
        self.serve(lambda name, kind: [] if kind == "A" else None)

        found = self.look_up()
        self.network.advance(4.9)

        self.assertNoResult(found)
        found.cancel()
        self.failureResultOf(found, CancelledError)

    def test_given_up(self) -> None:
        """Who cancels closes every socket and timer (see tearDown)."""
        self.network.blackhole(FIRST)
        found = self.look_up()
        self.network.advance(0.5)

        found.cancel()

        self.failureResultOf(found, CancelledError)

    def test_stopped(self) -> None:
        """The end of the resolver is the end of each look-up."""
        self.network.blackhole(FIRST)
        found = self.look_up()

        self.lookup.stop()

        self.assert_fails(found, ResolverFailed, "the resolver was stopped")
        self.assert_fails(self.look_up(), ResolverFailed, "the resolver is not running")


class HostsTests(LookupCase):
    """The hosts file."""

    def setUp(self) -> None:
        super().setUp()
        self.path = Path(self.mktemp())
        self.path.write_text(f"192.0.2.7 {HOST}\n", "ascii")
        self.lookup.hosts = HostsFile(str(self.path))

    def finish_reading(self) -> None:
        """Let the thread that reads the file tell its result."""
        while not self.workers.calls:
            pass
        call, arguments = self.workers.calls.pop()
        call(*arguments)
        self.network.settle()

    def test_read_in_a_thread(self) -> None:
        """A file that has changed is read in a thread, because it may be long; one that is known answers at once."""
        found = self.look_up()
        self.assertNoResult(found)
        self.finish_reading()

        self.assert_found(found, "192.0.2.7")
        self.assert_found(self.look_up(), "192.0.2.7")
        self.assertEqual(0, self.opened)

    def test_other_names(self) -> None:
        """A name that it does not list is asked for."""
        self.serve(table(other_example=BOTH))
        found = self.look_up("other.example")
        self.finish_reading()

        self.assert_found(found, SIX, FOUR)

    def test_no_file(self) -> None:
        """A file that does not exist lists nothing."""
        self.serve()
        self.path.unlink()

        self.assert_found(self.look_up(), SIX, FOUR)

    def test_unusable(self) -> None:
        """A file that exists and cannot be read is a failure, and the name is not asked for."""
        self.lookup.hosts = HostsFile("/")
        found = self.look_up()
        self.finish_reading()

        self.assert_fails(found, ResolverFailed, "the hosts file cannot be used: IsADirectoryError")
        self.lookup.hosts = HostsFile("/dev/null/hosts")
        self.assert_fails(self.look_up(), ResolverFailed, "the hosts file cannot be used: NotADirectoryError")
        self.assertEqual(0, self.opened)

    def test_given_up(self) -> None:
        """A look-up that ends while the file is read asks nobody."""
        found = self.look_up()
        found.cancel()
        self.failureResultOf(found, CancelledError)

        self.finish_reading()

        self.assertEqual(0, self.opened)

    def test_stopped(self) -> None:
        """So does the end of the resolver."""
        found = self.look_up()

        self.lookup.stop()

        with contextlib.suppress(IndexError):
            self.workers.calls.pop()
        self.assert_fails(found, ResolverFailed, "the resolver was stopped")
