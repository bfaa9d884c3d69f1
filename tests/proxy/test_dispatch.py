"""What a request starts: an answer of the proxy itself, an exchange or a tunnel."""

from __future__ import annotations

from tests.proxy.accounts import ALICE, Roster
from tests.proxy.support import ServerCase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
OPTIONS = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
LAST_HOP = b"\r\nMax-Forwards: 0\r\n\r\n"
DENIED = b"GET http://denied.example/ HTTP/1.1\r\nHost: a\r\n\r\n"


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

    def test_nothing_is_judged(self) -> None:
        """What ends here is answered for any host: it asks the proxy server, and nothing of it leaves."""
        client = self.said(b"OPTIONS http://denied.example/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")

        client.heard(b"HTTP/1.1 204 ")
        self.assertEqual([], self.resolver.asked)

    def test_trace_reflects_the_request(self) -> None:
        """TRACE gives back the request line as it came, and each field that cannot hold a secret, in its order."""
        for version in (b"1.1", b"1.0"):
            with self.subTest(version):
                line = b"TRACE http://Origin.example/x?q=1 HTTP/" + version
                client = self.said(
                    line + b"\r\nHost: a\r\nX-B: 2\r\nCookie2: secret\r\nProxy-Authorization: secret\r\n"
                    b"Max-Forwards: 0\r\nx-a: 1\r\nX-B: 3\r\n\r\n"
                )

                head, _, content = client.received.partition(b"\r\n\r\n")
                self.assertEqual(
                    line + b"\r\nHost: a\r\nX-B: 2\r\nMax-Forwards: 0\r\nx-a: 1\r\nX-B: 3\r\n\r\n", content
                )
                self.assertIn(b"\r\nContent-Length: %d\r\n" % len(content), head)

    def test_record(self) -> None:
        """What is answered here has its line in the audit log, with an id and the client, and without a destination."""
        self.said(OPTIONS + OPTIONS.replace(b"*", b"http://origin.example/").replace(b"\r\n\r\n", LAST_HOP))

        records = self.ends()
        self.assertEqual(
            [("end", "complete", 204, "http", None, "egress")] * 2,
            [
                (each.event, each.cause, each.status, each.request_form, each.request, each.response_source)
                for each in records
            ],
        )
        self.assertEqual({"agents/127.0.0.1"}, {each.client.key for each in records})
        self.assertEqual(2, len({each.request_id for each in records} - {""}))

    def test_content_closes(self) -> None:
        """Content of such a request is not read: the connection closes, and what follows is no request."""
        client = self.said(
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(OPTIONS) + OPTIONS + OPTIONS
        )

        client.heard(b"HTTP/1.1 204 ", contains=b"\r\nConnection: close\r\n")
        self.assertEqual(1, client.received.count(b"HTTP/1.1 "))
        self.assertTrue(client.saw_eof)
        self.assertFalse(client.was_reset)

    def test_late_content_does_not_destroy_the_answer(self) -> None:
        """A client that still sends its content hears the answer, and is not reset for what it sends."""
        client = self.said(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n")

        client.says(b"x" * 70_000)
        self.network.settle()

        client.heard(b"HTTP/1.1 204 ")
        self.assertTrue(client.saw_eof)
        self.assertFalse(client.was_reset)

    def test_record_of_a_caller(self) -> None:
        """The client in the log is the one that the credentials tell."""
        self.server.identifier = Roster()

        self.said(OPTIONS[:-2] + b"Proxy-Authorization: " + ALICE + b"\r\n\r\n")

        self.assertEqual(["alice"], [each.client.key for each in self.ends()])

    def test_last_answer_of_a_server_that_stops(self) -> None:
        """A server that stops answers a request whose head had begun, and says that it was the last."""
        client = self.said(OPTIONS[:9])
        self.server.drain()

        client.says(OPTIONS[9:])
        self.network.settle()

        client.heard(b"HTTP/1.1 204 ", contains=b"\r\nConnection: close\r\n")
        self.assertTrue(client.saw_eof)


class Judged(ServerCase):
    """What the gate is given."""

    def test_requests(self) -> None:
        """Form, method, destination and path are those of the head, in canonical form; a tunnel has no path."""
        rows = {
            b"CONNECT Denied.example:8443": ("connect", "CONNECT", "denied.example:8443", None, False),
            b"GET http://Denied.example/a/../b%7e?q=1": ("http", "GET", "denied.example:80", "/b~", False),
            b"BREW http://denied.example:81": ("http", "BREW", "denied.example:81", "/", False),
            b"GET http://denied.example/a%2fb": ("http", "GET", "denied.example:80", "/a%2Fb", True),
        }
        for line, expected in rows.items():
            with self.subTest(line):
                self.said(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")

                request = self.ends()[-1].request
                assert request is not None
                authority = f"{request.authority.host}:{request.authority.port}"
                self.assertEqual(
                    expected,
                    (request.request_form, request.method, authority, request.path, request.is_path_ambiguous),
                )
                self.assertEqual(("agents", "agents/127.0.0.1"), (request.listener, request.client.key))

    def test_times_and_ids(self) -> None:
        """A request begins with the end of its head, and has an id of its own."""
        client = self.said(DENIED[:20])
        self.network.advance(3)
        client.says(DENIED[20:] + DENIED)
        self.network.settle()

        first, second = (each.request for each in self.ends())
        assert first is not None and second is not None
        self.assertEqual([3.0, 3.0], [first.begun, second.begun])
        self.assertNotEqual(first.id, second.id)


class Persistence(ServerCase):
    """Whether a client's connection lives on."""

    def test_close_is_honoured(self) -> None:
        """Connection: close from the client ends its connection after the answer."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

        self.assertIn(b"Connection: close\r\n", client.received)
        self.assertTrue(client.saw_eof)

    def test_options_and_versions(self) -> None:
        """HTTP/1.1 lives on unless it says close, HTTP/1.0 closes unless it says keep-alive; close always wins."""
        rows = {
            (b"1.1", b""): True,
            (b"1.1", b"Connection: Close\r\n"): False,
            (b"1.1", b"Connection: keep-alive, close\r\n"): False,
            (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n"): False,
            (b"1.0", b""): False,
            (b"1.0", b"Connection: Keep-Alive\r\n"): True,
            (b"1.0", b"Proxy-Connection: keep-alive\r\n"): False,
            (b"1.0", b"Connection: close, keep-alive\r\n"): False,
        }
        self.origin(answer=lambda peer, _: peer.says(OK))
        for (version, fields), is_kept in rows.items():
            for target in (b"GET http://origin.example/", b"GET http://denied.example/", b"OPTIONS *"):
                with self.subTest(version=version, fields=fields, target=target):
                    client = self.said(target + b" HTTP/" + version + b"\r\nHost: a\r\n" + fields + b"\r\n")

                    client.heard(b"HTTP/1.1 ")
                    self.assertIs(is_kept, not client.saw_eof)


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

    def test_websocket_alone_is_passed_on(self) -> None:
        """The origin is asked for WebSocket where the client can change to it, and for nothing else."""
        option, field = b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n"
        rows = {
            (b"GET", b"1.1", option + field): True,
            (b"GET", b"1.1", b"Connection: keep-alive, upgrade\r\nUpgrade: h2c, WebSocket\r\n"): True,
            (b"GET", b"1.1", option + b"Upgrade: h2c\r\n" + field): True,
            (b"GET", b"1.1", field): False,
            (b"GET", b"1.1", option): False,
            (b"GET", b"1.1", option + b"Upgrade: websockets, x-websocket, websocket/13\r\n"): False,
            (b"GET", b"1.0", option + field): False,
            (b"HEAD", b"1.1", option + field): False,
            (b"POST", b"1.1", option + field + b"Content-Length: 0\r\n"): False,
            (b"GET", b"1.1", option + field + b"Content-Length: 1\r\n"): False,
            (b"GET", b"1.1", option + field + b"Transfer-Encoding: chunked\r\n"): False,
        }
        origin = self.origin()
        for (method, version, fields), is_passed in rows.items():
            with self.subTest(method=method, version=version, fields=fields):
                line = method + b" http://origin.example/ HTTP/" + version

                self.said(line + b"\r\nHost: a\r\n" + fields + b"\r\n")

                head = origin.peer.received
                self.assertIs(is_passed, b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head, head)
                self.assertIs(is_passed, b"pgrade" in head, head)
