"""Client connections in each state when the server ends."""

from __future__ import annotations

from tests.proxy.reload.test_reevaluation import GET, OK
from tests.proxy.support import ServerCase


class Draining(ServerCase):
    """`ProxyServer.drain`, as a client connection meets it."""

    def test_flushing(self) -> None:
        """A client that reads its response late gets all of it and a FIN, and further requests are not read."""
        for more in (b"", GET):
            with self.subTest(more):
                self.setUp()
                self.origin(answer=lambda peer, _: peer.says(OK))
                self.network.window_bytes = 32
                client = self.client()
                client.stops_reading()
                client.says(GET + more)
                self.network.settle()
                self.assertEqual(1, len(self.ends()))
                drained = self.server.drain()

                client.reads_again()
                self.network.settle()

                client.heard(b"HTTP/1.1 200 ")
                self.assertTrue(client.saw_eof)
                self.assertEqual(1, len(self.ends()))
                client.closes()
                self.network.settle()
                self.successResultOf(drained)

    def test_idle(self) -> None:
        """A client that has sent nothing of a request is closed at once."""
        client = self.said(b"")

        drained = self.server.drain()
        self.network.settle()

        self.assertTrue(client.saw_eof)
        self.successResultOf(drained)
