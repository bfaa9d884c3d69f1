"""The in-memory network: outcomes of connection attempts, and reports to the test."""

from __future__ import annotations

from typing import cast

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from zope.interface.verify import verifyObject

from tests.testing.sides import ORIGIN, ClientKeeping, Half, Keeping, NetworkCase, Plain


class ConnectTests(NetworkCase):
    """What becomes of attempts to connect."""

    def test_interfaces(self) -> None:
        """The reactor and its transports provide what they promise."""
        _, server = self.connect()

        verifyObject(IReactorTCP, self.network.reactor)
        verifyObject(IReactorTime, self.network.reactor)
        verifyObject(IReactorFDSet, self.network.reactor)
        verifyObject(ITCPTransport, server.transport)

    def test_origin_answers(self) -> None:
        """The code under test dials; the origin's script answers."""
        origin = self.network.origin(ORIGIN, 80, answer=lambda peer, data: peer.says(data.upper()))

        client = self.successful_dial()
        client.tcp.write(b"hello")
        self.network.settle()

        origin.heard(b"hello")
        self.assertEqual(client.heard, b"HELLO")
        self.assertEqual(self.network.dialled, [(ORIGIN, 80)])

    def test_peer_that_ends_after_a_reset(self) -> None:
        """A peer may send data and FIN to an end that is gone: it is told of the reset, and nothing fails."""
        peer, server = self.connect()
        server.tcp.loseConnection()
        self.network.settle()

        peer.says(b"too late")
        peer.ends()
        self.network.settle()

        self.assertTrue(peer.was_reset)

    def successful_dial(self) -> Plain:
        """Connect to the origin with Twisted's endpoint."""
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80).connect(Keeping())
        self.network.settle()
        return cast(Plain, self.successResultOf(dialling))

    def test_addresses_agree(self) -> None:
        """Each end's host is the other's peer."""
        clients, servers = ClientKeeping(), Keeping()
        self.network.listen(ORIGIN, 80, servers)
        self.network.reactor.connectTCP(ORIGIN, 80, clients)
        self.network.settle()

        self.assertEqual(servers.last.tcp.getHost(), IPv4Address("TCP", ORIGIN, 80))
        self.assertEqual(clients.last.tcp.getPeer(), servers.last.tcp.getHost())
        self.assertEqual(clients.last.tcp.getHost(), servers.last.tcp.getPeer())

    def test_source_and_bind_address(self) -> None:
        """A dialler comes from where it says."""
        origin = self.network.origin(ORIGIN, 80)
        peer = self.network.dial("127.0.0.1", 3128, source="10.0.0.9")
        endpoint = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80, bindAddress=("10.0.0.7", 0))
        endpoint.connect(Keeping())
        self.network.settle()

        self.assertEqual(self.servers.last.tcp.getPeer(), IPv4Address("TCP", *peer.address))
        self.assertEqual(peer.address[0], "10.0.0.9")
        self.assertEqual(origin.peer.peer[0], "10.0.0.7")

    def test_ipv6(self) -> None:
        """IPv6 works as IPv4 does, however the literal is spelled."""
        servers = Keeping()
        self.network.listen("2001:db8::1", 80, servers)
        dialling = TCP6ClientEndpoint(self.network.reactor, "2001:DB8:0::1", 80).connect(Keeping())
        peer = self.network.dial("2001:db8::1", 80)
        self.network.settle()

        client = cast(Plain, self.successResultOf(dialling))
        client.tcp.write(b"six")
        peer.says(b"too")
        self.network.settle()

        self.assertEqual([server.heard for server in servers.built], [b"too", b"six"])
        self.assertEqual(servers.last.tcp.getHost(), IPv6Address("TCP", "2001:db8::1", 80))
        self.assertEqual(peer.address[0], "::1")
        self.assertEqual(self.network.dialled, [("2001:db8::1", 80)])

    def test_refused(self) -> None:
        """Where nobody listens, a dialler is refused; so is one to an origin that stopped."""
        self.network.origin(ORIGIN, 80).stops()
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80).connect(Keeping())
        self.network.settle()

        self.failureResultOf(dialling, error.ConnectionRefusedError)
        with self.assertRaises(error.ConnectionRefusedError):
            self.network.dial(ORIGIN, 81)
        self.assertEqual(self.network.open_links(), 0)

    def test_unreachable(self) -> None:
        """Without a route, a dialler fails at once."""
        self.network.unreachable(ORIGIN)
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80).connect(Keeping())
        self.network.settle()

        self.failureResultOf(dialling, error.NoRouteError)

    def test_blackhole(self) -> None:
        """A SYN that vanishes ends by the dialler's timeout and not before."""
        self.network.origin(ORIGIN, 80)
        self.network.blackhole(ORIGIN)
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80, timeout=5).connect(Keeping())

        self.network.advance(4.9)
        self.assertNoResult(dialling)
        self.assertEqual(self.network.open_links(), 1)
        self.network.advance(0.2)

        self.failureResultOf(dialling, error.TimeoutError)
        self.network.assert_quiet()

    def test_blackhole_of_one_port(self) -> None:
        """The other ports of the host still answer."""
        self.network.blackhole(ORIGIN, 81)
        self.network.origin(ORIGIN, 80)

        self.assertEqual(self.successful_dial().ends, [])

    def test_delay(self) -> None:
        """A slow handshake is done when the clock says so."""
        self.network.origin(ORIGIN, 80)
        self.network.delay(ORIGIN, 2)
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80).connect(Keeping())

        self.network.advance(1.9)
        self.assertNoResult(dialling)
        self.network.advance(0.2)

        self.successResultOf(dialling)

    def test_cancelled_dial_leaves_nothing(self) -> None:
        """An attempt that is cancelled leaves neither socket nor delayed call."""
        self.network.delay(ORIGIN, 2)
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80).connect(Keeping())
        self.network.settle()

        dialling.cancel()

        self.failureResultOf(dialling, error.ConnectingCancelledError)
        self.network.assert_quiet()

    def test_name_is_refused(self) -> None:
        """A name that is dialled fails the test, even if the code under test swallows it."""
        with self.assertRaises(AssertionError):
            self.network.reactor.connectTCP("origin.example", 80, ClientKeeping())

        with self.assertRaisesRegex(AssertionError, "a name was dialled"):
            self.network.settle()
        self.assertEqual(self.network.dialled, [])

    def test_port_in_use(self) -> None:
        """Two cannot listen on one port; after the first stops, the second can."""
        listening = TCP4ServerEndpoint(self.network.reactor, 8080, interface="127.0.0.1").listen(Keeping())
        with self.assertRaises(error.CannotListenError):
            self.network.listen("127.0.0.1", 8080, Keeping())

        self.successResultOf(listening).stopListening()
        self.network.settle()

        self.network.listen("127.0.0.1", 8080, Keeping())

    def test_stopped_port_resets_who_waits(self) -> None:
        """A connection that was never accepted is reset when the port closes."""
        origin = self.network.origin(ORIGIN, 80)
        peer = self.network.dial(ORIGIN, 80)

        origin.stops()
        self.network.settle()

        self.assertTrue(peer.was_reset)

    def test_wildcard(self) -> None:
        """A port without interface is reached through every loopback address and no other."""
        self.network.listen("", 9000, self.servers)

        self.network.dial("127.0.0.2", 9000)
        self.network.settle()

        self.assertEqual(self.servers.last.tcp.getHost(), IPv4Address("TCP", "127.0.0.2", 9000))
        with self.assertRaises(error.ConnectionRefusedError):
            self.network.dial(ORIGIN, 9000)

    def test_chosen_port(self) -> None:
        """Port 0 is given a number."""
        port = self.network.listen("127.0.0.1", 0, self.servers)

        self.assertGreater(cast(IPv4Address, port.getHost()).port, 1024)

    def test_no_delay(self) -> None:
        """What was asked with setTcpNoDelay can be seen."""
        _, server = self.connect()
        self.assertFalse(server.tcp.getTcpNoDelay())

        server.tcp.setTcpNoDelay(True)

        self.assertTrue(getattr(server.transport, "no_delay"))  # noqa: B009


class SettleTests(NetworkCase):
    """What a test is told."""

    def test_exceptions_reach_the_test(self) -> None:
        """A protocol that raises loses its connection, and settle raises what it raised; once."""

        class Broken(Half):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        peer, server = self.connect(Broken)
        peer.says(b"x")

        self.assertRaises(ZeroDivisionError, self.network.settle)
        self.network.settle()

        self.assertEqual(server.ends, [ZeroDivisionError])
        self.assertEqual(len(self.network.failures), 1)

    def test_exceptions_in_accept_and_half_close(self) -> None:
        """So does one in connectionMade or in readConnectionLost; nothing goes to the log."""

        class Broken(Half):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

            def readConnectionLost(self) -> None:
                raise LookupError

        self.servers.make = Broken
        peer = self.network.dial("127.0.0.1", 3128)
        self.assertRaises(ZeroDivisionError, self.network.settle)
        peer.ends()
        self.assertRaises(LookupError, self.network.settle)

    def test_exception_in_delayed_call(self) -> None:
        """A delayed call that raises does not stop the others."""
        ran: list[int] = []
        self.network.reactor.callLater(1, lambda: 1 // 0)
        self.network.reactor.callLater(1, ran.append, 1)

        self.assertRaises(ZeroDivisionError, self.network.advance, 2)

        self.assertEqual(ran, [1])

    def test_endless_dialogue(self) -> None:
        """Two that never stop talking fail the test."""
        self.network.origin(ORIGIN, 80, answer=lambda peer, data: peer.says(data))
        peer = self.network.dial(ORIGIN, 80)

        class Echo(Half):
            def dataReceived(self, data: bytes) -> None:
                self.tcp.write(data)

        self.servers.make = Echo
        dialling = TCP4ClientEndpoint(self.network.reactor, ORIGIN, 80).connect(self.servers)
        self.network.settle()
        cast(Plain, self.successResultOf(dialling)).tcp.write(b"x")
        peer.says(b"y")

        with self.assertRaisesRegex(AssertionError, "still busy"):
            self.network.settle(limit=1000)

    def test_endless_calls(self) -> None:
        """So does a call that schedules itself again without delay."""

        def again() -> None:
            self.network.reactor.callLater(0, again)

        again()

        with self.assertRaisesRegex(AssertionError, "still busy"):
            self.network.settle(limit=1000)

    def test_advance_runs_calls_at_their_time(self) -> None:
        """Each delayed call sees the time it was meant for, with everything settled before."""
        seen: list[float] = []
        for seconds in (3.0, 1.0, 2.0):
            self.network.reactor.callLater(seconds, lambda: seen.append(self.network.reactor.seconds()))

        self.network.advance(2.5)

        self.assertEqual(seen, [1.0, 2.0])
        self.assertEqual(self.network.clock.seconds(), 2.5)

    def test_settle_inside_settle(self) -> None:
        """A script that settles is told not to."""
        self.network.origin(ORIGIN, 80, answer=lambda peer, data: self.network.settle())
        self.network.dial(ORIGIN, 80).says(b"x")

        with self.assertRaisesRegex(AssertionError, "inside settle"):
            self.network.settle()

    def test_leaks(self) -> None:
        """A connection left open is counted, and so is a delayed call; those that are expected are not."""
        peer, server = self.connect()
        expected = self.network.reactor.callLater(9, print)
        self.assertEqual(self.network.open_links(), 1)
        self.assertRaises(AssertionError, self.network.assert_quiet, expected)

        peer.ends()
        server.tcp.loseConnection()
        self.network.settle()

        self.network.assert_quiet(expected)
        self.assertRaises(AssertionError, self.network.assert_quiet)

    def test_link_between_two_protocols_counts_once(self) -> None:
        """A connection whose both ends belong to the code under test is one link."""
        TCP4ClientEndpoint(self.network.reactor, "127.0.0.1", 3128).connect(Keeping())
        self.network.settle()

        self.assertEqual(self.network.open_links(), 1)

    def test_heard_tells_what_was_heard(self) -> None:
        """A failed expectation shows the bytes."""
        peer, server = self.connect()
        server.tcp.write(b"HTTP/1.1 403 Forbidden\r\n")
        self.network.settle()

        peer.heard(b"HTTP/1.1 403", contains=b"Forb")
        with self.assertRaisesRegex(AssertionError, "403 Forbidden"):
            peer.heard(b"HTTP/1.1 200")
        with self.assertRaisesRegex(AssertionError, "403 Forbidden"):
            peer.heard(contains=b"OK")

    def test_take(self) -> None:
        """take gives each byte once; heard is about those not yet taken."""
        peer, server = self.connect()
        server.tcp.write(b"first")
        self.network.settle()
        self.assertEqual(peer.take(), b"first")
        server.tcp.write(b"second")
        self.network.settle()

        peer.heard(b"second")
        self.assertEqual((peer.take(), peer.take()), (b"second", b""))
        self.assertEqual(peer.received, b"firstsecond")
