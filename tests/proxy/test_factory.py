"""What a listener tells of its connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import Factory

from egress.proxy.factory import ProxyFactory
from tests.proxy.client.test_identification import CallersCase, get


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
