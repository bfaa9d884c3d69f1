"""Origin connections that end."""

from __future__ import annotations

from egress.proxy.limits import Limits
from tests.proxy.support import ServerCase


class UnreadOriginTests(ServerCase):
    """An origin that answers and does not read."""

    limits = Limits(linger_seconds=5.0)

    def test_not_kept(self) -> None:
        """Its connection serves no further request, and is reset if it does not take what it was sent."""
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        head = b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"
        origin = self.origin(answer=lambda peer, _: peer.stops_reading())
        client = self.client()
        kept = []
        # The first fits into the window of an origin that does not read, the second does not.
        for self.network.window_bytes in (65_536, 32_768):
            client.take()
            client.says(head + bytes(60_000))
            self.network.settle()
            origin.peer.says(ok)
            self.network.settle()
            client.heard(b"HTTP/1.1 200 ")
            kept.append(len(self.server.pool))
        self.assertEqual([1, 0], kept)
        self.assertEqual(2, len(origin.peers))
        client.closes()
        self.network.settle()
        self.assertEqual(2, self.network.open_links())
        self.network.advance(6)

        self.assertEqual(0, self.network.open_links())

    def test_idle_connection(self) -> None:
        """One that is closed because it was idle for long, or for a reload, is reset in the end as well."""
        head = b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"
        origin = self.origin(answer=lambda peer, _: peer.stops_reading())
        client = self.said(head + bytes(60_000))
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.network.settle()
        client.closes()
        self.network.settle()
        self.assertEqual(1, len(self.server.pool))
        self.server.pool.close()
        self.network.settle()
        self.network.advance(6)

        self.assertEqual(0, len(self.server.pool))
        self.assertEqual(0, self.network.open_links())
