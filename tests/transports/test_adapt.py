"""Every kind of transport is adapted to one contract."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

from egress.testing.network import Network
from egress.testing.peers import NetworkPeer
from egress.transports.adapt import adapt
from egress.transports.contract import IRelay, IStreamTransport, PeerEnd
from egress.transports.protocol_relay import ProtocolRelay
from egress.transports.tls import TlsTransport
from egress.transports.twisted_tcp import TwistedTransport


@implementer(IHalfCloseableProtocol)
class Adapting(Protocol):
    """Adapts its transport, and notes what it is told."""

    stream: IStreamTransport

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.stream = adapt(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def readConnectionLost(self) -> None:
        self.told.append("eof")

    def writeConnectionLost(self) -> None:
        self.told.append("own eof")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append(f"lost {type(reason.value).__name__}")


@define(eq=False)
class Links:
    """Accepted connections of an in-memory network."""

    network: Network = field(factory=lambda: Network(window_bytes=4096))
    made: list[Adapting] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.network.listen("127.0.0.1", 1, Factory.forProtocol(self._make))

    def _make(self) -> Adapting:
        made = Adapting()
        self.made.append(made)
        return made

    def open(self) -> tuple[NetworkPeer, Adapting]:
        """Open one."""
        peer = self.network.dial("127.0.0.1", 1)
        self.network.settle()
        return peer, self.made[-1]


class AdaptTests(SynchronousTestCase):
    """What is adapted, and to what."""

    def setUp(self) -> None:
        """Make a network."""
        self.links = Links()

    def test_twisted(self) -> None:
        """A connection of Twisted is wrapped once."""
        _, one = self.links.open()

        self.assertIsInstance(one.stream, TwistedTransport)
        self.assertTrue(verifyObject(IStreamTransport, one.stream))
        self.assertIs(one.stream, adapt(cast(Any, one.stream)))

    def test_tls(self) -> None:
        """TLS of ours has the contract, and is returned as it is."""
        transport = TlsTransport(cast(Any, None), Protocol())

        self.assertTrue(verifyClass(IStreamTransport, TlsTransport))
        self.assertIs(transport, adapt(cast(Any, transport)))

    def test_other(self) -> None:
        """Any other transport is refused, also one that passes questions on to a stream transport."""
        tls = TLSMemoryBIOProtocol(cast(Any, None), Protocol())
        for transport in (StringTransport(), tls):
            with self.assertRaises(TypeError):
                adapt(cast(Any, transport))


class WriteTests(SynchronousTestCase):
    """Writing to an adapted connection of Twisted."""

    def setUp(self) -> None:
        """Make a network and a connection."""
        self.links = Links()
        self.peer, self.protocol = self.links.open()
        self.stream = self.protocol.stream

    def test_sent_at_once(self) -> None:
        """The kernel has small writes when `write` returns; a close still needs a deadline."""
        self.stream.write(b"abc")

        self.assertEqual((None, False), (self.stream.unsent, self.stream.is_flushed))
        self.assertEqual(0, self.links.network.reactor.unsent_bytes())

    def test_unsent(self) -> None:
        """What the kernel does not take is unsent until it does, and keeps its order."""
        self.peer.stops_reading()
        self.stream.write(b"a" * 5000)
        self.stream.write(b"b")

        self.assertIsNotNone(self.stream.unsent)
        self.links.network.settle()
        self.assertIsNotNone(self.stream.unsent)
        self.peer.reads_again()
        self.links.network.settle()
        self.assertIsNone(self.stream.unsent)
        self.assertEqual(b"a" * 5000 + b"b", self.peer.received)

    def test_pull_producer(self) -> None:
        """A pull producer is asked again and again, although nothing waits."""
        producer = Counter(self.stream)
        self.stream.registerProducer(producer, False)
        self.links.network.settle()

        self.assertEqual(b"123", self.peer.received)


class LookTests(SynchronousTestCase):
    """What has come and was not read."""

    def setUp(self) -> None:
        """Make a network and a connection that is not read."""
        self.links = Links()
        self.peer, protocol = self.links.open()
        self.stream = protocol.stream

    def test_quiet(self) -> None:
        """Octets that were read are no news."""
        self.peer.says(b"read")
        self.links.network.settle()

        self.assertTrue(self.stream.is_quiet())

    def test_not_quiet(self) -> None:
        """Octets, a FIN and a reset are, and a look takes none of them away."""
        for act in (lambda peer: peer.says(b"x"), NetworkPeer.ends, NetworkPeer.aborts):
            peer, protocol = self.links.open()
            protocol.stream.pauseProducing()
            act(peer)
            self.links.network.settle()

            self.assertFalse(protocol.stream.is_quiet())
            self.assertFalse(protocol.stream.is_quiet())

    def test_end(self) -> None:
        """A FIN and a reset are found behind octets that were not read."""
        for act, end in ((NetworkPeer.ends, PeerEnd.FIN), (NetworkPeer.aborts, PeerEnd.RESET)):
            peer, protocol = self.links.open()
            protocol.stream.pauseProducing()
            peer.says(b"x")
            self.links.network.settle()
            self.assertIsNone(protocol.stream.find_end())
            act(peer)
            self.links.network.settle()

            self.assertIs(end, protocol.stream.find_end())
            self.assertEqual(b"", protocol.data)

    def test_closing(self) -> None:
        """A connection that is closing, or is gone, is not quiet."""
        self.stream.loseConnection()
        self.assertFalse(self.stream.is_quiet())
        self.links.network.settle()
        self.assertFalse(self.stream.is_quiet())


@implementer(IPullProducer)
@define(eq=False)
class Counter:
    """Writes three digits."""

    stream: IStreamTransport
    count: int = 0

    def resumeProducing(self) -> None:
        """Write the next."""
        self.count += 1
        if self.count > 3:
            self.stream.unregisterProducer()
        else:
            self.stream.write(b"%d" % self.count)

    def stopProducing(self) -> None:
        """Do nothing."""


class RelayTests(SynchronousTestCase):
    """Relays between adapted connections of Twisted."""

    def setUp(self) -> None:
        """Make a network and two connections."""
        self.links = Links()
        self.network = self.links.network
        self.near, self.one = self.links.open()
        self.far, self.other = self.links.open()

    def test_moved(self) -> None:
        """Octets go to the sink and not to the protocol, and are counted."""
        relay = self.one.stream.relay_to(self.other.stream)
        self.near.says(b"hello")
        self.network.settle()

        self.assertTrue(verifyObject(IRelay, relay))
        self.assertEqual((b"hello", b""), (self.far.received, self.one.data))
        self.assertEqual((5, 0), (relay.collect(), relay.collect()))
        self.assertFalse(relay.closes_transports)

    def test_paused_source(self) -> None:
        """A source that was paused is read from then on."""
        cast(IPushProducer, self.one.stream).pauseProducing()
        self.near.says(b"hello")
        self.network.settle()
        self.one.stream.relay_to(self.other.stream)
        self.network.settle()

        self.assertEqual(b"hello", self.far.received)

    def test_back_pressure(self) -> None:
        """A sink that is not read stops the source."""
        self.one.stream.relay_to(self.other.stream)
        self.far.stops_reading()
        self.near.says(b"x" * 500_000)
        self.network.settle()

        self.assertTrue(self.near.unsent)
        self.far.reads_again()
        self.network.settle()
        self.assertEqual(500_000, len(self.far.received))

    def test_ends_are_told(self) -> None:
        """The protocols are told of half-closes and losses, and pass them on."""
        self.one.stream.relay_to(self.other.stream)
        self.other.stream.relay_to(self.one.stream)
        self.near.ends()
        self.network.settle()
        self.assertEqual((["eof"], []), (self.one.told, self.other.told))

        self.other.stream.unregisterProducer()
        self.other.stream.loseWriteConnection()
        self.network.settle()
        self.assertEqual((True, ["own eof"]), (self.far.saw_eof, self.other.told))
        self.far.says(b"still")
        self.network.settle()
        self.assertEqual(b"still", self.near.received)

        self.far.aborts()
        self.network.settle()
        self.assertEqual("lost ConnectionLost", self.other.told[-1])

    def test_lost_sink(self) -> None:
        """The relay of a sink that was reset leaves the end of the source to the protocols."""
        self.one.stream.relay_to(self.other.stream)

        self.far.aborts()
        self.network.settle()

        self.assertEqual("lost ConnectionLost", self.other.told[-1])
        self.assertEqual([], self.one.told)
        self.assertFalse(self.near.is_closed)

    def test_protocol_without_half_close(self) -> None:
        """A FIN closes a source whose protocol knows nothing of half-closes."""
        plain = Protocol()
        relay = ProtocolRelay(self.one.stream, self.other.stream, plain)
        relay.readConnectionLost()
        self.network.settle()

        self.assertTrue(self.near.is_closed)

    def test_only_once(self) -> None:
        """A source has one sink, and a sink one producer."""
        _, third = self.links.open()
        self.one.stream.relay_to(self.other.stream)
        with self.assertRaises(RuntimeError):
            self.one.stream.relay_to(third.stream)
        with self.assertRaises(RuntimeError):
            third.stream.relay_to(self.other.stream)
