"""Heads that the proxy server refuses, and requests that it serves itself."""

from __future__ import annotations

import json

from egress.audit.encoder import LineEncoder
from egress.errors import CODES, Refused
from egress.proxy.error_responses import refusal_response
from egress.proxy.limits import Limits
from tests.proxy.support import ServerCase

# name: (bytes, status, code). The sections are those of RFC 9112 unless they say otherwise.
REFUSED = {
    "two Hosts (3.2)": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_head"),
    "no Host (3.2)": (b"GET http://a/ HTTP/1.1\r\n\r\n", 400, "bad_head"),
    "length and coding (6.3)": (
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_framing",
    ),
    "two lengths (6.3)": (
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        400,
        "bad_framing",
    ),
    "a list of lengths (6.3)": (
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        400,
        "bad_framing",
    ),
    "a signed length (6.2)": (b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400, "bad_framing"),
    "an odd coding (6.1)": (
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        400,
        "bad_framing",
    ),
    "chunked twice (6.1)": (
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "bad_framing",
    ),
    "a coding in HTTP/1.0 (6.1)": (
        b"POST http://a/ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "bad_framing",
    ),
    "a folded field (5.2)": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400, "bad_head"),
    "a bare CR (2.2)": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", 400, "bad_head"),
    "a bare LF (2.2)": (b"GET http://a/ HTTP/1.1\nHost: a\n\n\r\n\r\n", 400, "bad_head"),
    "NUL (RFC 9110, 5.5)": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", 400, "bad_head"),
    "space before the colon (5.1)": (b"GET http://a/ HTTP/1.1\r\nHost : a\r\n\r\n", 400, "bad_head"),
    "no such version (2.3)": (b"GET http://a/ HTTP/1.2\r\nHost: a\r\n\r\n", 505, "bad_version"),
    "HTTP/2 (RFC 9113, 3.4)": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http2_preface"),
    "CONNECT with a path (3.2.3)": (b"CONNECT a:443/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "CONNECT with a scheme (3.2.3)": (b"CONNECT https://a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "CONNECT without a port (RFC 9110, 9.3.6)": (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "CONNECT with a length (RFC 9110, 9.3.6)": (
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n",
        400,
        "bad_framing",
    ),
    "userinfo (RFC 9110, 4.2.4)": (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "https in the clear": (b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "https_target"),
    "another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "scheme_not_supported"),
    "origin form (3.2.1)": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "not_for_a_proxy"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_head"),
    "a long target": (b"GET http://a/" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
    "a long head": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 20_000, 431, "head_too_large"),
    "many fields": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 500 + b"\r\n", 431, "head_too_large"),
    "fullwidth digits": (
        "GET http://\uff11\uff12\uff17.0.0.1/ HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
        400,
        "bad_target",
    ),
    "a zone id": (b"GET http://[fe80::1%25eth0]/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "Connection names Host (RFC 9110, 7.6.1)": (
        b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n",
        400,
        "bad_framing",
    ),
    "above the root": (b"GET http://a/../x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
}


class Refusals(ServerCase):
    """Everything that is ambiguous is refused, and the connection closes."""

    def test_refused(self) -> None:
        """Each row is answered with its status and code, and nothing is dialled or looked up."""
        for name, (data, status, code) in REFUSED.items():
            with self.subTest(name):
                client = self.said(data)
                self.assert_refused(client, status, code)
                self.assertTrue(client.saw_eof)
                self.assertFalse(client.was_reset)
                self.assertEqual((self.network.dialled, self.resolver.asked), ([], []))

    def test_https_target_has_a_hint(self) -> None:
        """The answer to an https target says what to do."""
        problem = self.assert_refused(self.said(REFUSED["https in the clear"][0]), 400, "https_target")

        self.assertIn("CONNECT", problem["hint"])

    def test_the_audit_log_knows_the_answer(self) -> None:
        """The id in the answer to what could not be read is on its line in the audit log, too."""
        problem = self.problem(self.said(b"GET bad\r\n\r\n"))

        line = json.loads(LineEncoder("first").encode(self.ends()[-1]))
        self.assertEqual((line["request_id"], line["code"]), (problem["request_id"], "bad_head"))

    def test_refusal_after_a_good_request(self) -> None:
        """A bad head in second place is refused in its place."""
        client = self.said(b"GET http://denied.example/ HTTP/1.1\r\nHost: a\r\n\r\nGET bad\r\n\r\n")

        self.assertIn(b"HTTP/1.1 403 ", client.received)
        self.assertIn(b"HTTP/1.1 400 ", client.received)
        self.assertTrue(client.saw_eof)

    def test_unread_bytes_do_not_destroy_the_answer(self) -> None:
        """A client that goes on sending after its mistake still hears the answer."""
        client = self.said(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 300_000)

        client.heard(b"HTTP/1.1 400 ")
        self.assertFalse(client.was_reset)

    def test_no_byte_of_the_client_comes_back(self) -> None:
        """An answer holds nothing that the client sent."""
        client = self.said(b"GET http://evil<script>.example/ HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")

        self.assertNotIn(b"script", client.received)


class OddPaces(ServerCase):
    """The same answers, however the bytes come."""

    segment_bytes = 1

    def test_refused(self) -> None:
        """The short rows of the table, byte by byte."""
        for name, (data, status, code) in REFUSED.items():
            if len(data) < 300:
                with self.subTest(name):
                    self.assert_refused(self.said(data), status, code)


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

    def test_max_forwards_is_counted_down(self) -> None:
        """One that may go on goes on with one less."""
        origin = self.origin()

        self.said(b"TRACE http://origin.example/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n")

        origin.heard(b"TRACE /x HTTP/1.1\r\n", contains=b"Max-Forwards: 2\r\n")

    def test_options_of_a_whole_server(self) -> None:
        """An absolute target without a path is passed on as `*` (RFC 9112, 3.2.4)."""
        origin = self.origin()

        self.said(b"OPTIONS http://origin.example HTTP/1.1\r\nHost: a\r\n\r\n")

        origin.heard(b"OPTIONS * HTTP/1.1\r\n")


class Stopping(ServerCase):
    """SIGTERM."""

    limits = Limits(drain_seconds=10)

    def test_drain(self) -> None:
        """What runs is served to its end, idle connections close, and then it is over."""
        origin = self.origin()
        idle = self.said(b"")
        client = self.said(b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\n\r\n")

        over = self.server.drain()
        self.network.settle()
        self.assertTrue(idle.saw_eof)
        self.assertNoResult(over)
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.network.settle()

        self.assertTrue(client.received.endswith(b"Connection: close\r\n\r\nok"), client.received)
        self.successResultOf(over)

    def test_drain_ends(self) -> None:
        """What does not end by itself is ended, and the record says why."""
        self.origin(port=443)
        client = self.said(b"CONNECT origin.example:443 HTTP/1.1\r\nHost: a\r\n\r\n")

        over = self.server.drain()
        self.network.advance(11)

        self.successResultOf(over)
        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "stopping")

    def test_new_connections_are_told(self) -> None:
        """Whoever still comes is told."""
        self.server.connections.is_stopping = True

        self.assert_refused(self.said(b""), 503, "stopping")


class Catalogue(ServerCase):
    """The codes."""

    def test_every_status_has_a_phrase(self) -> None:
        """Each code can be answered."""
        for code, entry in CODES.items():
            answer = refusal_response(Refused(code, "Because."), "id-1", keep_alive=False)
            self.assertTrue(answer.startswith(f"HTTP/1.1 {entry.status} ".encode()), code)
            # Clients show the reason phrase of a refused CONNECT, and drop its content.
            self.assertTrue(answer.partition(b"\r\n")[0].endswith(f" by egress: {code} (id-1)".encode()), code)
            self.assertIn(f'; details="{code}: Because."\r\n'.encode(), answer)

    def test_details_cannot_break_the_head(self) -> None:
        """A plugin's reason with quotes, control characters or any length stays within the field Proxy-Status."""
        reason = 'Say "please" \\ \r\nSet-Cookie: a=b\x7f\u00e9' + "x" * 9999

        head = refusal_response(Refused("denied", reason), "id-1", keep_alive=False).partition(b"\r\n\r\n")[0]

        status = next(line for line in head.split(b"\r\n") if line.startswith(b"Proxy-Status: "))
        details = rb'; details="denied: Say \"please\" \\ ??Set-Cookie: a=b??xxx'
        self.assertIn(details, status)
        self.assertTrue(status.endswith(b'x"'))
        self.assertLess(len(status), 700)
        self.assertNotIn(b"\r\nSet-Cookie", head)
