"""Dialling judged addresses: whole dialogues on the in-memory network."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import Any

from attrs import define, field
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.errors import DialFailed
from egress.model import Address, Trace
from egress.testing.network import Network
from egress.upstream import DirectEndpoint

FOUR, FOUR_TOO, SIX, SIX_TOO = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"


class Listening(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.end: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = reason


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Listening):
    """Also wants to hear of half-closes."""

    has_heard_fin = False

    def readConnectionLost(self) -> None:
        self.has_heard_fin = True

    def writeConnectionLost(self) -> None:
        """Nothing to do."""


class Counting(Factory):
    """Builds protocols, and counts starts and stops."""

    noisy = False

    def __init__(self, protocol: type[Protocol] | None = Listening) -> None:
        self.kind = protocol
        self.starts = 0
        self.stops = 0

    def buildProtocol(self, addr: object) -> Protocol | None:
        return None if self.kind is None else self.kind()

    def doStart(self) -> None:
        self.starts += 1

    def doStop(self) -> None:
        self.stops += 1


def addresses_of(*texts: str) -> tuple[Address, ...]:
    return tuple(ip_address(text) for text in texts)


@define(eq=False)
class Dialogue:
    """One dial on a network of its own."""

    network: Network = field(factory=Network)
    trace: Trace = field(factory=Trace)
    factory: Counting = field(factory=Counting)

    def dial(self, *addresses: str, per_address: float = 10.0, total: float = 20.0) -> Deferred[IProtocol]:
        """Begin, and let all that happens at once happen."""
        endpoint = DirectEndpoint(self.network.reactor, addresses_of(*addresses), 443, per_address, total, self.trace)
        result = endpoint.connect(self.factory)
        self.network.settle()
        return result

    @property
    def dialled(self) -> list[str]:
        """The addresses that were tried."""
        return [host for host, _ in self.network.dialled]


class OneAddressTests(SynchronousTestCase):
    """The usual case."""

    def setUp(self) -> None:
        self.talk = Dialogue()
        self.network = self.talk.network

    def test_it_is_an_endpoint(self) -> None:
        """It can stand wherever Twisted wants an endpoint."""
        endpoint = DirectEndpoint(self.network.reactor, (), 443, 1.0, 1.0, Trace())

        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))

    def test_a_protocol_comes_connected(self) -> None:
        """The Deferred gives the protocol itself, which has its transport, and bytes go both ways."""
        origin = self.network.origin(FOUR, 443)

        protocol = self.successResultOf(self.talk.dial(FOUR))
        assert isinstance(protocol, Listening) and protocol.transport is not None
        protocol.transport.write(b"to the origin")
        self.network.settle()
        peer = origin.peer
        peer.says(b"from the origin")
        self.network.settle()

        peer.heard(b"to the origin")
        self.assertEqual(protocol.heard, b"from the origin")
        self.assertEqual((self.talk.trace.dialled, self.talk.trace.attempts), (FOUR, [(FOUR, "")]))

    def test_a_connection_needs_no_timer(self) -> None:
        """Once connected, nothing of the dial waits on the clock."""
        self.network.origin(FOUR, 443)

        protocol = self.successResultOf(self.talk.dial(FOUR))

        self.assertEqual(self.network.clock.getDelayedCalls(), [])
        assert isinstance(protocol, Listening) and protocol.transport is not None
        protocol.transport.loseConnection()
        self.network.settle()

    def test_the_only_timer_is_the_connectors(self) -> None:
        """Dialling one address costs one delayed call."""
        self.network.blackhole(FOUR)

        result = self.talk.dial(FOUR)

        self.assertEqual(len(self.network.clock.getDelayedCalls()), 1)
        result.cancel()
        self.failureResultOf(result, CancelledError)

    def test_half_close_is_passed_on(self) -> None:
        """A protocol that wants to hear of the origin's FIN does, and one that does not is closed by it."""
        for kind, is_open in ((HalfCloseable, True), (Listening, False)):
            with self.subTest(kind=kind.__name__):
                talk = Dialogue(factory=Counting(kind))
                origin = talk.network.origin(FOUR, 443)
                protocol = self.successResultOf(talk.dial(FOUR))
                assert isinstance(protocol, Listening)

                origin.peer.ends()
                talk.network.settle()

                self.assertEqual(getattr(protocol, "has_heard_fin", False), is_open)
                self.assertEqual(protocol.end is None, is_open)

    def test_factories_are_started_and_stopped_in_pairs(self) -> None:
        """Whatever became of the attempts, the caller's factory ends as it began."""
        self.network.origin(FOUR, 443)
        protocol = self.successResultOf(self.talk.dial(SIX, FOUR))

        assert isinstance(protocol, Listening) and protocol.transport is not None
        protocol.transport.loseConnection()
        self.network.settle()

        self.assertEqual((self.talk.factory.starts, self.talk.factory.stops), (2, 2))

    def test_no_address_is_a_failure(self) -> None:
        """A route without judged addresses leads nowhere; nothing is dialled."""
        failure = self.failureResultOf(self.talk.dial(), DialFailed)

        self.assertEqual((failure.value.code, self.talk.dialled), ("unreachable", []))

    def test_a_factory_without_a_protocol(self) -> None:
        """A factory that builds nothing is told so, and the connection is dropped."""
        self.network.origin(FOUR, 443)
        self.talk.factory.kind = None

        self.failureResultOf(self.talk.dial(FOUR), error.NoProtocol)

        self.network.assert_quiet()

    def test_a_factory_that_raises(self) -> None:
        """Its error reaches the caller, and the connection is dropped."""

        class Broken(Listening):
            def __init__(self) -> None:
                raise ZeroDivisionError

        self.network.origin(FOUR, 443)
        self.talk.factory.kind = Broken

        self.failureResultOf(self.talk.dial(FOUR), ZeroDivisionError)

        self.network.assert_quiet()


class HappyEyeballsTests(SynchronousTestCase):
    """Several addresses (RFC 8305)."""

    def setUp(self) -> None:
        self.talk = Dialogue()
        self.network = self.talk.network

    def test_the_first_is_enough(self) -> None:
        """Where the first address answers, no other is dialled."""
        self.network.origin(SIX, 443)
        self.network.origin(FOUR, 443)

        self.successResultOf(self.talk.dial(SIX, FOUR))

        self.assertEqual(self.talk.dialled, [SIX])
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_the_resolvers_first_family_begins(self) -> None:
        """The resolver knows the host's own addresses; if it puts IPv4 first, so do we."""
        self.network.origin(SIX, 443)
        self.network.origin(FOUR, 443)

        self.successResultOf(self.talk.dial(FOUR, SIX))

        self.assertEqual(self.talk.dialled, [FOUR])

    def test_a_refusal_is_followed_at_once(self) -> None:
        """No time passes between a refusal and the next address."""
        self.network.origin(FOUR, 443)

        self.successResultOf(self.talk.dial(SIX, FOUR))

        self.assertEqual(self.network.clock.seconds(), 0.0)
        self.assertEqual(self.talk.trace.attempts, [(SIX, "refused"), (FOUR, "")])
        self.assertEqual(self.talk.trace.dialled, FOUR)

    def test_silence_is_followed_after_a_quarter_second(self) -> None:
        """A silent address does not hold the next one up for long."""
        self.network.blackhole(SIX)
        self.network.origin(FOUR, 443)

        result = self.talk.dial(SIX, FOUR)
        self.network.advance(0.249)
        self.assertEqual(self.talk.dialled, [SIX])
        self.network.advance(0.001)

        self.successResultOf(result)
        self.assertEqual(self.talk.trace.attempts, [(SIX, "overtaken"), (FOUR, "")])

    def test_losers_are_dropped(self) -> None:
        """When one answered, the others are given up, also those not yet begun."""
        self.network.blackhole(SIX)
        self.network.delay(FOUR, 0.4)
        self.network.origin(FOUR, 443)
        self.network.origin(FOUR_TOO, 443)

        result = self.talk.dial(SIX, FOUR, SIX_TOO, FOUR_TOO)
        self.network.blackhole(SIX_TOO)
        self.network.advance(0.65)

        protocol = self.successResultOf(result)
        self.assertEqual(self.talk.dialled, [SIX, FOUR, SIX_TOO])
        self.assertEqual(self.network.open_links(), 1)
        assert isinstance(protocol, Listening) and protocol.transport is not None
        protocol.transport.loseConnection()
        self.network.settle()
        self.network.assert_quiet()

    def test_a_slow_first_can_still_win(self) -> None:
        """An address that was overtaken in starting, but answers first, is taken."""
        self.network.delay(SIX, 0.5)
        self.network.origin(SIX, 443)
        self.network.blackhole(FOUR)

        result = self.talk.dial(SIX, FOUR)
        self.network.advance(0.5)

        self.successResultOf(result)
        self.assertEqual(self.talk.trace.dialled, SIX)
        self.assertEqual(self.talk.trace.attempts, [(SIX, ""), (FOUR, "overtaken")])

    def test_an_old_attempts_end_hurries_nobody(self) -> None:
        """Only the end of the latest attempt starts the next one before its time."""
        self.network.delay(SIX, 0.3)
        self.network.blackhole(FOUR)
        self.network.blackhole(SIX_TOO)

        result = self.talk.dial(SIX, FOUR, SIX_TOO)
        self.network.advance(0.4)
        self.assertEqual(self.talk.trace.attempts, [(SIX, "refused"), (FOUR, "")])
        self.network.advance(0.1)

        self.assertEqual(self.talk.dialled, [SIX, FOUR, SIX_TOO])
        result.cancel()
        self.failureResultOf(result, CancelledError)

    def test_families_take_turns(self) -> None:
        """A family that is broken as a whole costs one attempt before the other has its turn."""
        self.talk.dial(SIX, SIX_TOO, FOUR, FOUR_TOO).addErrback(lambda _: None)

        self.assertEqual(self.talk.dialled, [SIX, FOUR, SIX_TOO, FOUR_TOO])

    def test_two_dials_share_a_trace(self) -> None:
        """When a second route is dialled, its attempts follow those of the first."""
        self.failureResultOf(self.talk.dial(FOUR), DialFailed)
        self.network.origin(FOUR_TOO, 443)

        self.successResultOf(self.talk.dial(FOUR_TOO))

        self.assertEqual(self.talk.trace.attempts, [(FOUR, "refused"), (FOUR_TOO, "")])


class DeadlineTests(SynchronousTestCase):
    """No wait is without end, and the code says what happened."""

    def test_codes(self) -> None:
        """A refusal says most, a missed deadline more than a missing route."""
        rows = [
            # what each address does, the code, the seconds until it is known
            (["refused"], "connection_refused", 0.0),
            (["silent"], "dial_timeout", 10.0),
            (["no_route"], "unreachable", 0.0),
            (["no_route", "refused"], "connection_refused", 0.0),
            (["refused", "silent"], "connection_refused", 10.0),
            (["silent", "refused"], "connection_refused", 10.0),
            (["no_route", "silent"], "dial_timeout", 10.0),
            (["silent", "silent"], "dial_timeout", 10.25),
            (["no_route", "no_route"], "unreachable", 0.0),
        ]
        words = {"refused": "refused", "silent": "timeout", "no_route": "no_route"}
        for behaviours, code, seconds in rows:
            with self.subTest(behaviours=behaviours):
                talk = Dialogue()
                addresses = [f"192.0.2.{number}" for number, _ in enumerate(behaviours, 1)]
                for address, behaviour in zip(addresses, behaviours, strict=True):
                    if behaviour == "silent":
                        talk.network.blackhole(address)
                    elif behaviour == "no_route":
                        talk.network.unreachable(address)

                result = talk.dial(*addresses)
                if seconds:
                    talk.network.advance(seconds - 0.01)
                    self.assertNoResult(result)
                    talk.network.advance(0.02)

                failure = self.failureResultOf(result, DialFailed)
                self.assertEqual(failure.value.code, code)
                expected = {(address, words[word]) for address, word in zip(addresses, behaviours, strict=True)}
                self.assertEqual(set(talk.trace.attempts), expected)
                self.assertEqual(set(failure.value.attempts), expected)
                talk.network.assert_quiet()

    def test_the_whole_has_a_deadline(self) -> None:
        """However many addresses there are, the caller hears in time, and no more are dialled."""
        talk = Dialogue()
        addresses = [f"192.0.2.{number}" for number in range(1, 21)]
        for address in addresses:
            talk.network.blackhole(address)

        result = talk.dial(*addresses, per_address=0.3, total=1.0)
        talk.network.advance(0.999)
        self.assertNoResult(result)
        talk.network.advance(0.002)

        failure = self.failureResultOf(result, DialFailed)
        self.assertEqual(failure.value.code, "dial_timeout")
        self.assertEqual(talk.dialled, addresses[:4])
        talk.network.assert_quiet()

    def test_a_short_whole_cuts_one_address(self) -> None:
        """The deadline of all holds for a single address too."""
        talk = Dialogue()
        talk.network.blackhole(FOUR)

        result = talk.dial(FOUR, per_address=10.0, total=1.0)
        talk.network.advance(1.0)

        self.failureResultOf(result, DialFailed)
        talk.network.assert_quiet()

    def test_attempts_faster_than_turns(self) -> None:
        """Where an address has less time than its turn, the next follows at its deadline."""
        talk = Dialogue()
        talk.network.blackhole(FOUR)
        talk.network.origin(FOUR_TOO, 443)

        result = talk.dial(FOUR, FOUR_TOO, per_address=0.1)
        talk.network.advance(0.1)

        self.successResultOf(result)
        self.assertEqual(talk.network.clock.seconds(), 0.1)


class CancelTests(SynchronousTestCase):
    """Whoever stops waiting leaves nothing behind."""

    def test_cancel_stops_every_attempt(self) -> None:
        """No connection, no attempt and no timer is left."""
        talk = Dialogue()
        talk.network.blackhole(SIX)
        talk.network.blackhole(FOUR)
        result = talk.dial(SIX, FOUR, SIX_TOO)
        talk.network.advance(0.3)

        result.cancel()
        talk.network.settle()

        self.failureResultOf(result, CancelledError)
        self.assertEqual(talk.trace.attempts, [(SIX, "cancelled"), (FOUR, "cancelled")])
        talk.network.assert_quiet()
        talk.network.advance(60)
        self.assertEqual(talk.dialled, [SIX, FOUR])

    def test_cancel_after_the_connection_changes_nothing(self) -> None:
        """A connection that was handed over is its owner's."""
        talk = Dialogue()
        talk.network.origin(FOUR, 443)
        result = talk.dial(FOUR)

        result.cancel()
        talk.network.settle()

        self.successResultOf(result)
        self.assertEqual(talk.network.open_links(), 1)

    def test_cancel_while_the_protocol_is_built(self) -> None:
        """Even at the last moment the connection is dropped, not leaked."""
        talk = Dialogue()
        talk.network.origin(FOUR, 443)

        class Cancelling(Listening):
            def __init__(self) -> None:
                super().__init__()
                results[0].cancel()

        talk.factory.kind = Cancelling
        endpoint = DirectEndpoint(talk.network.reactor, addresses_of(FOUR), 443, 1.0, 1.0, talk.trace)
        results: list[Deferred[IProtocol]] = [endpoint.connect(talk.factory)]
        talk.network.settle()

        self.failureResultOf(results[0], CancelledError)
        talk.network.assert_quiet()


class AwkwardReactorTests(SynchronousTestCase):
    """What real reactors rarely do, played by hand."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.trace = Trace()

    def connect(self, *addresses: str) -> Deferred[IProtocol]:
        endpoint = DirectEndpoint(self.reactor, addresses_of(*addresses), 443, 10.0, 20.0, self.trace)
        result: Deferred[IProtocol] = endpoint.connect(Factory.forProtocol(Listening))
        return result

    def attempt(self, index: int) -> ClientFactory[Any]:
        return self.reactor.tcpClients[index][2]

    def test_late_connections_are_dropped(self) -> None:
        """A connection that comes after all was called off is aborted at once."""
        result = self.connect(FOUR)
        result.cancel()
        self.failureResultOf(result, CancelledError)

        late = self.attempt(0).buildProtocol(IPv4Address("TCP", FOUR, 443))
        transport = StringTransport()
        assert late is not None
        late.makeConnection(transport)

        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.assertTrue(transport.disconnected)
        self.assertNotIsInstance(late, Listening)

    def test_the_second_to_answer_is_dropped(self) -> None:
        """Two answers in one turn make one connection."""
        result = self.connect(FOUR, SIX)
        self.reactor.advance(0.25)
        transports = [StringTransport(), StringTransport()]
        for index, transport in enumerate(transports):
            protocol = self.attempt(index).buildProtocol(IPv4Address("TCP", FOUR, 443))
            assert protocol is not None
            protocol.makeConnection(transport)

        self.assertIsInstance(self.successResultOf(result), Listening)
        self.assertEqual([transport.disconnected for transport in transports], [False, True])

    def test_only_literals_reach_the_reactor(self) -> None:
        """The reactor never gets a name that it could look up, and the address as it was judged."""
        self.connect("::ffff:192.0.2.1").addErrback(lambda _: None)

        host, port, _, timeout, bind_address = self.reactor.tcpClients[0]
        self.assertEqual(ip_address(host), ip_address("::ffff:192.0.2.1"))
        self.assertEqual((port, timeout, bind_address), (443, 10.0, None))

    def test_errors_of_the_system_are_named(self) -> None:
        """What the record says of an attempt comes from the system's error, never from its text."""
        rows: list[tuple[BaseException, str, str]] = [
            (error.ConnectError(errno.EADDRNOTAVAIL, "text"), "eaddrnotavail", "unreachable"),
            (error.ConnectError(errno.EACCES, "text"), "eacces", "unreachable"),
            (error.ConnectBindError(errno.EMFILE, "text"), "emfile", "unreachable"),
            (error.ConnectError(errno.EHOSTUNREACH, "text"), "ehostunreach", "unreachable"),
            (error.TCPTimedOutError(errno.ETIMEDOUT, "text"), "timeout", "dial_timeout"),
            (error.ConnectError(string="text"), "failed", "unreachable"),
            (OverflowError("text"), "failed", "unreachable"),
        ]
        for reason, outcome, code in rows:
            with self.subTest(reason=repr(reason)):
                self.setUp()
                result = self.connect(FOUR)

                self.attempt(0).clientConnectionFailed(self.reactor.connectors[0], Failure(reason))

                failure = self.failureResultOf(result, DialFailed)
                self.assertEqual((failure.value.code, failure.value.attempts), (code, ((FOUR, outcome),)))
                self.assertEqual(str(failure.value), f"{code}: {FOUR} ({outcome})")
