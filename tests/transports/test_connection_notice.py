"""Reports that a protocol has its transport."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from egress.transports.connection_notice import AbortingProtocol, abort, notify_connected
from egress.upstream.replaceable_protocol import ReplaceableProtocol
from tests.upstream.ends import Ear, HalfEar


class NoticeTests(SynchronousTestCase):
    """What a dial hears, and what the protocol hears."""

    def setUp(self) -> None:
        self.told: list[tuple[IProtocol, ITransport, list[str]]] = []
        self.transport = StringTransport()

    def tell(self, protocol: IProtocol, transport: ITransport) -> None:
        """Note the report, and what the protocol had heard by then."""
        self.told.append((protocol, transport, list(getattr(protocol, "events", ["made"]))))

    def test_wrapped(self) -> None:
        """A protocol is reported once, after it has its transport, and hears everything else."""
        for kind, is_half in ((Ear, False), (HalfEar, True)):
            with self.subTest(kind.__name__):
                self.setUp()
                ear = kind()

                given = notify_connected(ear, self.tell)
                given.makeConnection(self.transport)
                given.dataReceived(b"data")
                if is_half:
                    IHalfCloseableProtocol(given).readConnectionLost()
                    IHalfCloseableProtocol(given).writeConnectionLost()
                given.connectionLost(Failure(ConnectionDone()))

                self.assertEqual([(ear, self.transport, ["made"])], self.told)
                self.assertEqual(["made", "data", *(["fin", "our fin"] if is_half else []), "lost"], ear.events)
                self.assertEqual(is_half, IHalfCloseableProtocol.providedBy(given))

    def test_not_wrapped(self) -> None:
        """A protocol that reports by itself is given to the transport as it is."""
        ear = Ear()
        protocol = ReplaceableProtocol(ear)

        given = notify_connected(protocol, self.tell)
        given.makeConnection(self.transport)

        self.assertIs(protocol, given)
        self.assertEqual([(protocol, self.transport, ["made"])], self.told)
        self.assertIsNone(protocol.on_connected)

    def test_aborts(self) -> None:
        """A connection that nobody waits for is aborted, or closed where it cannot be."""
        AbortingProtocol().makeConnection(self.transport)
        abort(None)

        self.assertTrue(self.transport.disconnected)
        self.assertIsInstance(AbortingProtocol(), Protocol)
