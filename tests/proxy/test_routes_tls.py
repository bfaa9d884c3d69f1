"""Whole dialogues through a proxy with TLS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL

from tests.proxy.test_routes import ANSWER, CONNECT, GET, PROXY, RouteCase
from tests.upstream.certificates import Root
from tests.upstream.tls_proxy import Speaker, TlsProxy

ROOT = Root()
SERVER = ROOT.issue(PROXY)
CLIENTS = Root("clients")
GOOD = b"HTTP/1.1 200 Connection established\r\n\r\n"


class TlsRouteTests(RouteCase):
    """An https:// upstream."""

    environ: dict[str, str] = {}  # noqa: RUF012
    via = "secure"

    def setUp(self) -> None:
        """Arrange everything."""
        authorities = Path(self.mktemp())
        authorities.write_bytes(ROOT.pem)
        self.upstreams = [
            {
                "name": "secure",
                "url": f"https://user:pass@{PROXY}:8443",
                "ca": str(authorities),
                "ca_mode": "replace",
            }
        ]
        super().setUp()

    def secure_proxy(self, answer: Callable[[Speaker, bytes], object], context: SSL.Context | None = None) -> TlsProxy:
        """Let there be a proxy that speaks TLS."""
        proxy = TlsProxy(context or SERVER.for_server(), answer)
        self.network.listen(PROXY, 8443, proxy.factory(self.network.reactor))
        return proxy

    def test_plain_http(self) -> None:
        """Requests go in absolute form inside TLS, on one connection."""
        proxy = self.secure_proxy(lambda speaker, _: speaker.says(ANSWER))
        client = self.said(GET)
        client.heard(b"HTTP/1.1 200 ")

        client.says(GET)
        self.network.settle()

        client.heard(b"HTTP/1.1 200 ")
        self.assertEqual(1, len(proxy.speakers))
        self.assertEqual(2, proxy.speaker.heard.count(b"GET http://origin.example/page?q=1 HTTP/1.1\r\n"))
        self.assertEqual(2, proxy.speaker.heard.count(b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"))

    def test_surplus(self) -> None:
        """A record that comes with the next request of the client is not its answer."""
        proxy = self.secure_proxy(lambda speaker, _: speaker.says(ANSWER))
        client = self.said(GET)

        client.says(GET)
        proxy.speaker.says(ANSWER.replace(b"ok", b"no"))
        self.network.settle()

        self.assertNotIn(b"\r\n\r\nno", client.received)
        self.assertEqual([1, 1], [each.heard.count(b"GET ") for each in proxy.speakers])

    def test_tunnel(self) -> None:
        """A tunnel carries bytes both ways, and the origin's end reaches the client after the last of them."""

        def answer(speaker: Speaker, data: bytes) -> None:
            if data.startswith(b"CONNECT"):
                speaker.says(GOOD + b"hello")
            elif data == b"bye":
                speaker.says(b"x" * 100_000)
                speaker.tls.loseConnection()

        self.secure_proxy(answer)
        client = self.said(CONNECT)
        client.heard(b"HTTP/1.1 200 ", contains=b"hello")

        client.says(b"bye")
        self.network.settle()

        self.assertEqual(100_000, client.received.count(b"x"))
        client.closes()
        self.network.settle()
        self.assertEqual("complete", self.ends()[-1].cause)

    def test_half_closed_client(self) -> None:
        """A client that has said all it has to say still hears the answer to the end."""

        def answer(speaker: Speaker, data: bytes) -> None:
            if data.startswith(b"CONNECT"):
                speaker.says(GOOD)
            elif data == b"question":
                speaker.says(b"~" * 50_000)
                speaker.tls.loseConnection()

        self.secure_proxy(answer)
        client = self.said(CONNECT)
        client.heard(b"HTTP/1.1 200 ")

        client.says(b"question")
        client.ends()
        self.network.settle()

        self.assertEqual(50_000, client.received.count(b"~"))
        self.assertEqual("complete", self.ends()[-1].cause)

    def test_unknown_authority(self) -> None:
        """A certificate that nobody here trusts is told with its reason, and nothing is sent."""
        proxy = self.secure_proxy(lambda speaker, _: speaker.says(ANSWER), Root("other").issue(PROXY).for_server())

        problem = self.assert_refused(self.said(GET), 502, "proxy_tls_failed")

        self.assertIn("certificate", problem["reason"])
        self.assertEqual([b""], [speaker.heard for speaker in proxy.speakers])

    def test_certificate_wanted_too_late(self) -> None:
        """A proxy that wants a certificate says so after the handshake, in TLS 1.3; the reason is still told."""
        context = SERVER.for_server()
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        self.secure_proxy(lambda speaker, _: speaker.says(ANSWER), context)

        for request in (GET, CONNECT):
            with self.subTest(request=request[:8]):
                problem = self.assert_refused(self.said(request), 502, "proxy_tls_failed")
                self.assertIn("certificate", problem["reason"])
