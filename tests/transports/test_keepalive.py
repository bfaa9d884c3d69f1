"""The kernel is asked to probe connections."""

from __future__ import annotations

import socket

from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from egress.testing.network import Network
from egress.transports.keepalive import MOST_SECONDS, KeepaliveDialler, set_keepalive


def options_of(connection: socket.socket) -> tuple[int, int, int, int]:
    """Read whether a connection is probed, after how many seconds, how often, and how many times."""
    return (
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    )


class Dialled(ClientFactory[Protocol]):
    """Builds a protocol."""

    protocol = Protocol
    noisy = False


class KeepaliveTests(SynchronousTestCase):
    """The options of sockets."""

    def test_options(self) -> None:
        """The kernel takes every value that is allowed, and 0 turns probes off again."""
        with socket.socket() as plain:
            for seconds, interval in ((1, 1), (60, 15), (MOST_SECONDS, 8191)):
                set_keepalive(plain, seconds)
                self.assertEqual((1, seconds, interval, 4), options_of(plain))
            set_keepalive(plain, 0)
            self.assertEqual(0, options_of(plain)[0])

    def test_dialled(self) -> None:
        """A connection that a reactor of Twisted dials is probed."""
        for seconds, expected in ((60, (1, 60, 15, 4)), (0, (0, 0, 0, 0))):
            network = Network()
            network.listen("192.0.2.1", 80, Factory.forProtocol(Protocol))

            connector = KeepaliveDialler(network.reactor, seconds).connectTCP("192.0.2.1", 80, Dialled(), timeout=5)
            network.settle()

            self.assertEqual(expected, options_of(connector.transport.socket))  # type: ignore[attr-defined]

    def test_failed_at_once(self) -> None:
        """An attempt that fails at once is left to its factory."""
        network = Network()
        network.unreachable("192.0.2.1")

        KeepaliveDialler(network.reactor, 60).connectTCP("192.0.2.1", 80, Dialled())
        network.settle()

        self.assertEqual([], network.failures)
