"""What a request starts: an answer of the proxy itself, an exchange or a tunnel."""

from __future__ import annotations

from tests.proxy.support import ServerCase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class OwnAnswers(ServerCase):
    """Requests that end here."""

    def test_options_asterisk(self) -> None:
        """`OPTIONS *` asks the proxy itself (RFC 9110, 9.3.7)."""
        client = self.said(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")

        client.heard(b"HTTP/1.1 204 No Content\r\n", contains=b"\r\nAllow: ")
        self.assertFalse(client.saw_eof)

    def test_max_forwards_zero(self) -> None:
        """OPTIONS and TRACE that may go no further are answered here (RFC 9110, 7.6.2)."""
        client = self.said(
            b"TRACE http://origin.example/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nCookie: secret\r\n"
            b"Authorization: secret\r\nX-Mine: 1\r\n\r\n"
        )

        client.heard(b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\n", contains=b"X-Mine: 1\r\n")
        self.assertNotIn(b"secret", client.received)
        self.said(b"OPTIONS http://origin.example/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n").heard(
            b"HTTP/1.1 204 No Content\r\n"
        )
        self.assertEqual(self.network.dialled, [])


class Persistence(ServerCase):
    """Whether a client's connection lives on."""

    def test_close_is_honoured(self) -> None:
        """Connection: close from the client ends its connection after the answer."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

        self.assertIn(b"Connection: close\r\n", client.received)
        self.assertTrue(client.saw_eof)


class Upgrades(ServerCase):
    """Protocols that a client may change to."""

    def test_h2c_is_not_passed_on(self) -> None:
        """Any other protocol would carry requests that nobody judges: the field is dropped."""
        origin = self.origin()

        self.said(
            b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )

        self.assertNotIn(b"pgrade", origin.peer.received)
        self.assertNotIn(b"HTTP2-Settings", origin.peer.received)
