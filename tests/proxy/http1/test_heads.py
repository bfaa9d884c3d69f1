"""Request heads that the proxy server refuses."""

from __future__ import annotations

import json

from egress.audit.encoder import LineEncoder
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
    "malformed userinfo (RFC 3986, 3.2.1)": (b"GET http://u:%@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "userinfo in CONNECT (3.2.3)": (b"CONNECT u:p@a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 400, "bad_target"),
    "userinfo in Host (RFC 9110, 7.2)": (b"GET http://a/ HTTP/1.1\r\nHost: u:p@a\r\n\r\n", 400, "bad_head"),
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
