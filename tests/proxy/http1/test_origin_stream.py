"""Responses on their way from an origin to a client: the outcome does not depend on how the octets are split."""

from __future__ import annotations

from tests.proxy.support import ServerCase

GET = b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n"

RESPONSES = (
    b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 5\r\nDate: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: c\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
)


class SplitTests(ServerCase):
    """A response in one piece and in two."""

    def forwarded(self, pieces: list[bytes]) -> tuple[bytes, object]:
        """Return what the client gets when an origin sends these pieces, and the log line of the request."""
        origin = self.origin()
        client = self.said(GET)
        for piece in pieces:
            origin.peer.says(piece)
            self.network.settle()
        octets = client.take()
        client.aborts()
        self.network.settle()
        line = self.audit_log.records[-1]
        return octets, (line.event, line.status, line.cause, line.client_bytes, line.server_bytes)

    def test_split_responses(self) -> None:
        """Client and audit log get the same for a response in one piece and in two, at every place."""
        for response in RESPONSES:
            expected = self.forwarded([response])
            self.assertIn(b"Via: 1.1 egress\r\n", expected[0])
            for place in range(1, len(response)):
                self.setUp()
                self.assertEqual(expected, self.forwarded([response[:place], response[place:]]), place)
            self.setUp()

    def test_surplus(self) -> None:
        """Octets after the body do not reach the client, whether they arrive with the body or after it."""
        response = RESPONSES[0]
        expected = self.forwarded([response])
        for pieces in ([response + b"surplus"], [response[:-1], response[-1:] + b"surplus"]):
            self.setUp()
            self.assertEqual(expected, self.forwarded(pieces))
