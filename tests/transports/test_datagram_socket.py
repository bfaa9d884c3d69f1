"""Connected UDP sockets, on the network in memory."""

from __future__ import annotations

import errno
import socket

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.testing.network import Network
from egress.transports.datagram_socket import DatagramSocket, open_datagram_socket

HOST, HOST_6 = "192.0.2.53", "2001:db8::53"


class Received:
    """Takes note of what a socket receives."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.errors: list[int | None] = []

    def datagram_received(self, data: bytes) -> None:
        """Take note of a datagram."""
        self.data.append(data)

    def datagram_failed(self, error: OSError) -> None:
        """Take note of the end."""
        self.errors.append(error.errno)


class DatagramSocketTests(SynchronousTestCase):
    """`DatagramSocket`"""

    def setUp(self) -> None:
        self.network = Network()
        self.received = Received()

    def open(self, host: str = HOST) -> DatagramSocket:
        """Open a socket to port 53 of a host."""
        reactor = self.network.reactor
        return DatagramSocket(reactor, reactor.open_datagrams, host, 53, self.received)

    def test_both_ways(self) -> None:
        """What is sent arrives, and so does what comes back, one datagram at a time."""
        for host in (HOST, HOST_6):
            with self.subTest(host):
                server = self.network.datagrams(host, 53)
                opened = self.open(host)
                self.assertTrue(verifyObject(IReadDescriptor, opened))

                opened.send(b"question")
                for answer in (b"one", b"", b"two"):
                    server.sends(answer)
                self.network.settle()

                self.assertEqual(([b"question"], [b"one", b"", b"two"]), (server.heard, self.received.data))
                opened.close()
                self.received.data.clear()
        self.network.assert_quiet()

    def test_others(self) -> None:
        """What comes from another address or port never arrives."""
        server = self.network.datagrams(HOST, 53)
        self.open().send(b"question")

        server.sends(b"forged", source=("192.0.2.54", 53))
        server.sends(b"forged", source=(HOST, 5353))
        self.network.settle()

        self.assertEqual([], self.received.data)

    def test_nobody_there(self) -> None:
        """An ICMP error ends the socket, whether it is reported as an event, or by the next call."""
        opened = self.open()

        opened.send(b"question")
        with self.assertRaises(ConnectionRefusedError):
            opened.send(b"again")
        opened.send(b"once more")
        self.network.settle()

        self.assertEqual([errno.ECONNREFUSED], self.received.errors)
        self.assertFalse(opened.is_open)
        self.network.assert_quiet()

    def test_no_route(self) -> None:
        """A socket that cannot be connected is closed."""
        self.network.unreachable(HOST)

        with self.assertRaises(OSError) as caught:
            self.open()

        self.assertEqual(errno.ENETUNREACH, caught.exception.errno)

    def test_closed(self) -> None:
        """Nothing is received after the close, and a second one does nothing."""
        server = self.network.datagrams(HOST, 53)
        opened = self.open()
        opened.send(b"question")
        server.sends(b"answer")

        opened.close()
        opened.close()
        self.network.settle()
        opened.connectionLost(Failure(ConnectionDone()))

        self.assertEqual(([], []), (self.received.data, self.received.errors))

    def test_reactor_stops(self) -> None:
        """A reactor that drops its readers ends the socket."""
        opened = self.open()

        opened.connectionLost(Failure(ConnectionDone()))

        self.assertEqual([errno.ECONNABORTED], self.received.errors)

    def test_no_datagram(self) -> None:
        """A wake-up without a datagram does nothing."""
        opened = self.open()

        opened.doRead()

        self.assertEqual(([], []), (self.received.data, self.received.errors))
        self.assertTrue(opened.is_open)

    def test_real_socket(self) -> None:
        """A socket of this machine neither blocks nor is inherited."""
        with open_datagram_socket(socket.AF_INET) as opened:
            self.assertEqual(
                (socket.SOCK_DGRAM, False, False), (opened.type, opened.getblocking(), opened.get_inheritable())
            )
