"""Several name servers, of which some are dead or fail."""

from __future__ import annotations

import socket

from twisted.internet.defer import CancelledError

from egress.errors import ResolverFailed
from egress.upstream import DnsSettings
from egress.upstream.dns.exchange import Sockets
from egress.upstream.dns.lookup import interval_of
from tests.upstream.dns.server import Nameserver, table
from tests.upstream.dns.support import BOTH, FIRST, FOUR, HOST, SECOND, SIX, THIRD, WORLD, LookupCase


class SeveralTests(LookupCase):
    """Several name servers."""

    addresses = (FIRST, SECOND, THIRD)

    def test_dead_first_server(self) -> None:
        """The next one is asked after a second, and the answer is there."""
        self.network.blackhole(FIRST)
        self.serve(address=SECOND)

        found = self.look_up()
        self.network.advance(1.0)

        self.assert_found(found, SIX, FOUR)

    def test_dead_first_server_is_known(self) -> None:
        """Once it has been silent for a few tries, others are asked a tenth of a second later; an answer ends that."""
        self.network.blackhole(FIRST)
        self.serve(address=SECOND)
        for _ in range(2):
            self.look_up()
            self.network.advance(1.0)

        found = self.look_up()
        self.network.advance(0.1)
        self.assert_found(found, SIX, FOUR)

        self.network._kernel.blackholes.clear()
        server = self.serve()
        self.look_up()
        self.assertEqual(2, len(server.asked))
        self.assertFalse(self.lookup.servers.current()[0].is_silent)

    def test_slow_names_move_nobody(self) -> None:
        """Names that a server does not answer in time, of whatever client, change nothing for names that it answers."""
        slow = self.serve(lambda name, kind: None if "slow" in name else BOTH[kind])
        other = self.serve(table(), SECOND)
        gone = [self.look_up(f"{number}.slow.example") for number in range(9)]
        self.network.advance(3.0)

        found = self.look_up()

        self.assert_found(found, SIX, FOUR)
        self.assertIn((HOST, "A"), slow.asked)
        self.assertNotIn((HOST, "A"), other.asked)
        for each in gone:
            each.addErrback(lambda failure: None)

    def test_all_silent(self) -> None:
        """Where nobody answers, each server has its second in turn; known silence only shortens the first round."""
        servers = [self.network.datagrams(address, 53) for address in self.addresses]
        for counts in ([4, 4, 2], [4, 4, 4]):
            heard = [len(each.heard) for each in servers]
            found = self.look_up()
            self.network.advance(4.9)
            found.cancel()
            self.failureResultOf(found, CancelledError)

            self.assertEqual(counts, [len(each.heard) - before for each, before in zip(servers, heard, strict=True)])

    def test_late_answer(self) -> None:
        """An answer that comes while others are asked counts."""
        server = self.network.datagrams(FIRST, 53)
        for address in (SECOND, THIRD):
            self.network.blackhole(address)
        found = self.look_up()
        self.network.advance(2.5)

        for place in (0, 1):
            server.sends(Nameserver(WORLD)(server.heard[place]) or b"", place)
        self.network.settle()

        self.assert_found(found, SIX, FOUR)

    def test_failures_are_not_waited_for(self) -> None:
        """A server that is not there, that fails, that refuses or asks no others: the next one is asked at once."""
        for what, zone in (("nobody", None), ("SERVFAIL", "SERVFAIL"), ("REFUSED", "REFUSED"), ("FORMERR", "FORMERR")):
            with self.subTest(what):
                self.setUp()
                if zone is not None:
                    self.serve(lambda name, kind, word=zone: word)  # type: ignore[misc]
                self.serve(address=SECOND)

                self.assert_found(self.look_up(), SIX, FOUR)

                self.assertEqual(0.0, self.network.clock.seconds())

    def test_referral(self) -> None:
        """A server that knows nothing and asks nobody is not believed that a name has no address."""
        self.network.datagrams(FIRST, 53, Nameserver(lambda name, kind: [], is_recursive=False))
        self.serve(address=SECOND)

        self.assert_found(self.look_up(), SIX, FOUR)

    def test_every_failure_has_its_reason(self) -> None:
        """The reasons of all servers are told, each once, and at once."""
        self.serve(lambda name, kind: "SERVFAIL")
        self.serve(lambda name, kind: "SERVFAIL", SECOND)
        self.assert_fails(
            self.look_up(), ResolverFailed, "a name server answered SERVFAIL, a name server cannot be reached"
        )

        self.network.datagrams(SECOND, 53, lambda data: data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:] + b"\xc0")
        self.network.datagrams(THIRD, 53, Nameserver(lambda name, kind: [], is_recursive=False))
        self.assert_fails(
            self.look_up(),
            ResolverFailed,
            "a name server answered SERVFAIL, a name server gave a malformed answer, "
            "a name server does not resolve names of others",
        )
        self.assertEqual(0.0, self.network.clock.seconds())

    def test_no_route(self) -> None:
        """A server without a route to it costs no time."""
        self.network.unreachable(FIRST)
        self.serve(address=SECOND)

        self.assert_found(self.look_up(), SIX, FOUR)

    def test_no_descriptor(self) -> None:
        """A process without free descriptors says so, and is not to blame the name servers."""
        self.lookup.sockets = Sockets(self.network.reactor, self.exhausted)

        self.assert_fails(self.look_up(), ResolverFailed, "no socket could be opened to ask a name server")

    def exhausted(self, family: socket.AddressFamily) -> socket.socket:
        """Open nothing."""
        raise OSError(24, "Too many open files")

    def test_renewed(self) -> None:
        """A reload's servers are asked from the next look-up on."""
        self.serve(address="192.0.2.99")

        self.lookup.renew(DnsSettings(servers=("192.0.2.99",), timeout_seconds=2))

        self.assert_found(self.look_up(), SIX, FOUR)
        self.assertEqual(0.4, self.lookup.interval_seconds)

    def test_interval(self) -> None:
        """Five tries fit into a deadline, and none is sent within less than a second if there is time."""
        for seconds, interval in ((1, 0.2), (5, 1.0), (60, 1.0)):
            self.assertEqual(interval, interval_of(DnsSettings(timeout_seconds=seconds)))
