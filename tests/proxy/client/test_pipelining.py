"""Many requests in one segment."""

from __future__ import annotations

from egress.proxy.limits import Limits
from tests.proxy.support import ServerCase

OPTIONS = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
NO_RULE = b"GET http://other.example/%d HTTP/1.1\r\nHost: a\r\n\r\n"


class PipeliningTests(ServerCase):
    """They are answered in order, and others have their turn between."""

    limits = Limits(connections_per_client=50)

    def test_all_are_answered(self) -> None:
        """However many come in one piece, each has its answer, in order, and the connection lives on."""
        client = self.said(b"".join(NO_RULE % number for number in range(500)))

        self.assertEqual(500, client.received.count(b"HTTP/1.1 403 "))
        paths = [record.request.path for record in self.audit_log.records if record.request is not None]
        self.assertEqual([f"/{number}" for number in range(500)], paths)
        client.take()
        client.says(OPTIONS)
        self.network.settle()
        client.heard(b"HTTP/1.1 204 ")

    def test_others_have_their_turn(self) -> None:
        """Whoever asks for little is served long before all of another one's requests."""
        flood = self.client()
        other = self.client()
        self.network.settle()
        flood.says(NO_RULE % 1 * 1000)
        other.says(NO_RULE % 2)
        self.network.settle()

        paths = [record.request.path for record in self.audit_log.records if record.request is not None]
        self.assertEqual(1001, len(paths))
        self.assertLess(paths.index("/2"), 100)

    def test_half_close(self) -> None:
        """A client that says all it has to say and ends has every answer, and then the end."""
        client = self.client()
        client.says(OPTIONS * 100)
        client.ends()
        self.network.settle()

        self.assertEqual(100, client.received.count(b"HTTP/1.1 204 "))
        self.assertTrue(client.is_closed)

    def test_client_that_leaves(self) -> None:
        """Nothing is left of a client that resets its connection with requests unread."""
        client = self.client()
        client.says(OPTIONS * 3000)
        client.aborts()
        self.network.settle()

        self.assertEqual(set(), self.server.connections.live)
