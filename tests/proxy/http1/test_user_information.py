"""User information in targets, and what the audit log has of targets that are refused."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, cast

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from egress.audit.encoder import LineEncoder
from tests.proxy.support import ServerCase

BASIC = b64encode(b"joe:sesame")
HOST = b" HTTP/1.1\r\nHost: origin.example\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class TargetCase(ServerCase):
    """Keeps what is logged."""

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[str] = []

        def observe(event: LogEvent) -> None:
            self.logged.append(f"{formatEvent(event)} {event}")

        observer = cast(ILogObserver, observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self) -> list[dict[str, Any]]:
        """Give the lines of the audit log, with whole paths."""
        encoder = LineEncoder("full")
        return [json.loads(encoder.encode(record)) for record in self.audit_log.records]

    def assert_hidden(self, *heard: bytes) -> None:
        """Neither logs nor what was heard holds the password."""
        for text in (json.dumps(self.lines()), *self.logged, *map(repr, heard), repr(self.audit_log.records)):
            self.assertNotIn("sesame", text)
            self.assertNotIn(BASIC.decode(), text)


class UserInformationTests(TargetCase):
    """A target with user information."""

    def test_becomes_authorization(self) -> None:
        """The origin gets credentials, and neither a target nor a Host with user information."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(b"GET http://joe:s%65same@origin.example/a?b" + HOST + b"\r\n")

        origin.heard(
            b"GET /a?b HTTP/1.1\r\nHost: origin.example\r\nAuthorization: Basic "
            + BASIC
            + b"\r\nVia: 1.1 egress\r\n\r\n"
        )
        client.heard(b"HTTP/1.1 200 ")
        self.assert_hidden(client.received)
        (line,) = self.lines()
        self.assertEqual(
            ("origin.example", 80, "/a"), tuple(line[key] for key in ("server_address", "server_port", "url_path"))
        )

    def test_credentials_of_the_request_stay(self) -> None:
        """A request with Authorization keeps it."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))

        self.said(b"GET http://joe:sesame@origin.example/" + HOST + b"Authorization: Bearer x\r\n\r\n")

        origin.heard(b"GET / HTTP/1.1\r\nHost: origin.example\r\nAuthorization: Bearer x\r\nVia: 1.1 egress\r\n\r\n")

    def test_host(self) -> None:
        """A Host that repeats the user information, as urllib sends it, is ignored and not reflected."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        head = b" http://joe:sesame@origin.example/ HTTP/1.1\r\nHost: joe:sesame@origin.example\r\n"

        self.said(b"GET" + head + b"\r\n").heard(b"HTTP/1.1 200 ")
        client = self.said(b"TRACE" + head + b"Max-Forwards: 0\r\n\r\n")

        origin.heard(b"GET / HTTP/1.1\r\nHost: origin.example\r\nAuthorization: Basic " + BASIC)
        self.assertIn(b"\r\nHost: origin.example\r\n", client.received)
        self.assert_hidden(client.received)

    def test_the_next_request_has_none(self) -> None:
        """User information belongs to its request alone."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))

        for information in (b"joe:sesame@", b""):
            self.said(b"GET http://" + information + b"origin.example/" + HOST + b"\r\n")

        self.assertEqual(1, b"".join(peer.received for peer in origin.peers).count(b"Authorization"))

    def test_refusals_do_not_repeat_it(self) -> None:
        """Whatever refuses the request, its answer and its line have no user information."""
        for target in (
            *(
                b"http://joe:sesame@denied.example/",
                b"http://joe:sesame@nowhere.example/",
                b"http://joe:sesame@origin.example/",
            ),
            *(b"http://joe:sesame%@origin.example/", b"http://joe:sesame@b@origin.example/", b"http://joe:sesame@/"),
            *(b"https://joe:sesame@origin.example/", b"ftp://joe:sesame@origin.example/", b"http://joe:sesame/@x/"),
        ):
            for method in (b"GET ", b"CONNECT "):
                client = self.said(method + target + HOST + b"\r\n")
                self.assertNotIn(b"HTTP/1.1 2", client.received)
                self.assert_hidden(client.received)
        client = self.said(b"CONNECT joe:sesame@origin.example:443" + HOST + b"\r\n")
        self.assert_refused(client, 400, "bad_target")
        self.assert_hidden(client.received)

    def test_trace_does_not_reflect_it(self) -> None:
        """The answer to TRACE that this proxy gives has the target without user information."""
        client = self.said(b"TRACE http://joe:sesame@origin.example/a" + HOST + b"Max-Forwards: 0\r\n\r\n")

        self.assertIn(b"\r\n\r\nTRACE http://origin.example/a HTTP/1.1\r\n", client.received)
        self.assert_hidden(client.received)


class RefusedTargetTests(TargetCase):
    """The line of a request that was refused after its target was read."""

    def test_method_and_host(self) -> None:
        """It has the method and the destination; the port is null where the scheme has none that is known."""
        for request, expected in (
            (b"GET https://Origin.example./a" + HOST, ("http", "GET", "origin.example", 443, "https_target")),
            (b"GET ftp://origin.example/a" + HOST, ("http", "GET", "origin.example", 21, "scheme_not_supported")),
            (b"HEAD x://origin.example" + HOST, ("http", "HEAD", "origin.example", None, "scheme_not_supported")),
            (b"PUT http://origin.example/.." + HOST, ("http", "PUT", "origin.example", 80, "bad_target")),
            (b"GET http://u%@origin.example:81/" + HOST, ("http", "GET", "origin.example", 81, "bad_target")),
            (b"GET http://origin.example/?a#b" + HOST, ("http", "GET", "origin.example", 80, "bad_target")),
            (
                b"POST http://origin.example/" + HOST + b"Content-Length: x\r\n",
                ("http", "POST", "origin.example", 80, "bad_framing"),
            ),
            (
                b"GET http://origin.example/" + HOST + b"Expect: x\r\n",
                ("http", "GET", "origin.example", 80, "expectation_failed"),
            ),
            (b"CONNECT u@origin.example:443" + HOST, ("connect", "CONNECT", "origin.example", 443, "bad_target")),
            (
                b"CONNECT origin.example:443" + HOST + b"Content-Length: 1\r\n",
                ("connect", "CONNECT", "origin.example", 443, "bad_framing"),
            ),
        ):
            client = self.said(request + b"\r\n")
            line = self.lines()[-1]
            names = ("request_form", "http_request_method", "server_address", "server_port", "code")
            self.assertEqual(expected, tuple(line[name] for name in names), request)
            self.assertEqual(("refused", None, "none"), (line["event"], line["url_path"], line["verdict"]))
            head, _, body = client.received.partition(b"\r\n\r\n")
            self.assertIn(line["request_id"].encode(), head)
            self.assertEqual(expected[1] != "HEAD", bool(body))

    def test_unread(self) -> None:
        """A request without a destination has none in its line."""
        for request in (b"GET /a" + HOST, b"GET http://a:x/" + HOST, b"GET http://a/ HTTP/1.1\r\nA : b\r\n"):
            self.said(request + b"\r\n")
            line = self.lines()[-1]
            names = ("http_request_method", "server_address", "server_port")
            self.assertEqual(("", None, None, None), (line["request_form"], *(line[name] for name in names)))
