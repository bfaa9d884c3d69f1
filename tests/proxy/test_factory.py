"""What a listener tells of its connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocolFactory, ITransport
from twisted.internet.protocol import Factory
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.errors import Refused
from egress.identity import ListenerIdentifier
from egress.interfaces import IIdentifier
from egress.model import Client, Connection
from egress.proxy.client.connection_facts import read_peer
from egress.proxy.factory import ProxyFactory
from tests.proxy.client.test_identification import CallersCase, get
from tests.proxy.support import ServerCase


class Unix(CallersCase):
    """The kernel says who connected to a unix socket."""

    def test_uid_and_gid(self) -> None:
        """They are read once, when the connection is made, and are facts of it."""
        asked: list[ITransport] = []

        def read_peer_of(transport: ITransport) -> tuple[int, int]:
            asked.append(transport)
            return 1001, 100

        inner = ProxyFactory("agents", self.server, read_peer_of)

        class AsUnix(Factory):
            noisy = False

            def buildProtocol(self, _address: IAddress | None) -> Any:
                return inner.buildProtocol(UNIXAddress(None))

        self.network.listen("127.0.0.2", 3128, AsUnix())
        client = self.network.dial("127.0.0.2", 3128)
        client.says(get() + get())
        self.network.settle()

        client.heard(b"HTTP/1.1 407 ")
        self.assertEqual(["agents/uid:1001 gid:100"] * 2, self.clients())
        self.assertEqual((1001, 100), (self.ends()[0].connection.uid, self.ends()[0].connection.gid))
        self.assertEqual(1, len(asked))

    def test_other_sockets_are_not_asked(self) -> None:
        """A TCP connection has no such facts."""
        self.said(get())

        self.assertEqual((-1, -1), (self.ends()[0].connection.uid, self.ends()[0].connection.gid))


class FactoryTests(ServerCase):
    """What a connection is told of where it comes from."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = ProxyFactory("agents", self.server)

    def test_addresses(self) -> None:
        """A connection has the listener's name, and the address and port of its peer as far as there are any."""
        rows = {
            IPv4Address("TCP", "192.0.2.1", 4711): ("agents", "192.0.2.1", 4711),
            IPv6Address("TCP", "2001:db8::1", 4711): ("agents", "2001:db8::1", 4711),
            UNIXAddress(b"/run/egress.sock"): ("agents", "", 0),
            None: ("agents", "", 0),
        }
        for address, expected in rows.items():
            with self.subTest(address=address):
                made = self.factory.buildProtocol(address).connection

                self.assertEqual(expected, (made.listener, made.peer, made.peer_port))

    def test_accepted_by_the_engine(self) -> None:
        """A connection that the engine accepted is built like one of a port of Twisted's."""
        built = self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4711))

        accepted = self.factory.accepted(("192.0.2.1", 4711))

        self.assertEqual(built.connection, accepted.connection)
        self.assertEqual((built.server, built.start, None), (accepted.server, accepted.start, accepted.read_peer_of))

    def test_only_unix_sockets_have_credentials(self) -> None:
        """The kernel is asked who connected to a unix socket, and for no other connection."""
        self.assertIs(read_peer, self.factory.buildProtocol(UNIXAddress(b"/run/egress.sock")).read_peer_of)
        self.assertIs(None, self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4711)).read_peer_of)

    def test_own_connections(self) -> None:
        """Each connection has a protocol of its own, which is not counted before it is open."""
        address = IPv4Address("TCP", "192.0.2.1", 4711)

        self.assertIsNot(self.factory.buildProtocol(address), self.factory.buildProtocol(address))
        self.assertEqual(set(), self.server.connections.live)

    def test_interface(self) -> None:
        """Ports of Twisted's can listen with it, and it logs nothing of its start."""
        self.assertTrue(verifyObject(IProtocolFactory, self.factory))
        self.factory.doStart()
        self.factory.doStop()
        self.assertFalse(self.factory.noisy)


@implementer(IIdentifier)
class Stranger(ListenerIdentifier):
    """Knows nobody by the facts of a connection."""

    def recognise(self, connection: Connection) -> Client:
        """Refuse."""
        raise Refused("internal_error", "Nobody is known here.")


class Strangers(ServerCase):
    """A listener that nobody may connect to."""

    def test_refused_before_a_request(self) -> None:
        """Whoever cannot be recognised is told at once and recorded by address, and the connection closes."""
        self.server.identifier = Stranger()

        client = self.said(b"")

        self.assert_refused(client, 500, "internal_error")
        self.assertTrue(client.saw_eof)
        self.assertEqual("127.0.0.1", self.ends()[-1].client.key)
        client.closes()
        self.network.settle()
        self.assertEqual({}, self.server.connections.per_client)
