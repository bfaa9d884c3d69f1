"""Every limit: its effect, and the metric that docs/reference/limits.md names.

There is one test for each key of `[limits]`, called after it; what leads up to a limit has more tests elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed

from egress.api.metrics import Metrics
from egress.audit.tee import Tee
from egress.identity import FailureLimit, Identifier, ListenerAuthentication, SecretChecks, open_tokens
from egress.model import Verdict
from egress.proxy.client.tls import TlsProxyFactory
from egress.proxy.factory import ProxyFactory
from egress.proxy.limits import Limits
from egress.service.status.metric_readings import read_server
from egress.testing import FixedPolicy
from egress.testing.peers import NetworkPeer
from egress.tls import ServerTls
from tests.documents import DOCS
from tests.proxy.support import ADDRESS, OTHER, ServerCase
from tests.proxy.test_routes import RouteCase
from tests.proxy.tunnel.support import hello
from tests.upstream.certificates import Root

GET = b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\n"
CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

_row = re.compile(r"^\| `(\w+)` \| .* \| (.*) \|$", re.M)
_counter = re.compile(r'`(\w+)\{(\w+)="(\w+)"\}`')


def greet(peer: NetworkPeer, _heard: bytes) -> None:
    """Answer a request."""
    peer.says(OK)


class Silent(FixedPolicy):
    """Never says anything."""

    def decide(self, request: object, resolution: object) -> Any:
        """Let wait for ever."""
        never: Deferred[Verdict] = Deferred()
        return never


class Counting(ServerCase):
    """Arranges a proxy server with limits of the test's choice, and counts what becomes of its requests."""

    limits = Limits()

    def limit(self, **limits: Any) -> None:
        """Arrange anew, with these limits."""
        self.limits = Limits(**limits)
        self.setUp()

    def arrange(self, *given: Any, **named: Any) -> None:
        super().arrange(*given, **named)
        self.metrics = Metrics()
        self.server.audit_log = Tee(self.audit_log, self.metrics.record)
        read_server(self.metrics, self.server)

    def counted(self, name: str, label: str, value: str) -> float:
        """Sum up the samples of a metric that have a label of this value."""
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == name and sample.labels.get(label) == value
        )

    def assert_counted(self, limit: str, value: str = "", times: int = 1) -> None:
        """Assert that a limit was counted where docs/reference/limits.md says so.

        Args:
            limit: its key.
            value: which of several places; by default the first.
            times: how often.
        """
        rows = dict(_row.findall((DOCS / "reference" / "limits.md").read_text("ascii")))
        places = [place for place in _counter.findall(rows[limit]) if value in ("", place[2])]
        self.assertTrue(places, (limit, value))
        self.assertEqual(times, self.counted(*places[0]), places[0])


class LimitTests(Counting):
    """Each limit, its answer and its metric."""

    def test_every_limit_has_a_test(self) -> None:
        """No limit is without one."""
        tests = {*dir(LimitTests), *dir(LimitThroughProxyTests)}

        self.assertEqual([], [each.name for each in attrs.fields(Limits) if f"test_{each.name}" not in tests])

    def test_head_bytes(self) -> None:
        """A longer head is answered 431; an origin's is a 502."""
        self.limit(head_bytes=1024)
        self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2000))

        self.assert_refused(self.said(GET[:-2] + b"X: " + b"x" * 2000 + b"\r\n\r\n"), 431, "head_too_large")
        self.assert_refused(self.said(GET), 502, "origin_malformed")

        self.assert_counted("head_bytes")
        self.assert_counted("head_bytes", "origin_malformed")

    def test_target_bytes(self) -> None:
        """A longer target is answered 414."""
        self.limit(target_bytes=256)

        client = self.said(b"GET http://origin.example/" + b"x" * 300 + b" HTTP/1.1\r\nHost: a\r\n\r\n")

        self.assert_refused(client, 414, "target_too_long")
        self.assert_counted("target_bytes")

    def test_head_fields(self) -> None:
        """More fields are answered 431. An origin's head is bounded by its octets."""
        self.limit(head_fields=8)
        self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 204 No\r\n" + b"X: y\r\n" * 500 + b"\r\n"))

        self.assert_refused(self.said(GET[:-2] + b"X: y\r\n" * 9 + b"\r\n"), 431, "head_too_large")
        self.said(GET).heard(b"HTTP/1.1 204 No\r\n" + b"X: y\r\n" * 500)

        self.assert_counted("head_fields")

    def test_head_seconds(self) -> None:
        """A head that takes longer is answered 408."""
        self.limit(head_seconds=5)
        client = self.said(GET[:9])

        self.network.advance(6)

        self.assert_refused(client, 408, "head_timeout")
        self.assert_counted("head_seconds")

    def test_keepalive_seconds(self) -> None:
        """A connection without a request closes without a word."""
        self.limit(keepalive_seconds=5)
        client = self.said(b"")
        self.assert_counted("keepalive_seconds", times=0)

        self.network.advance(6)

        self.assertEqual(b"", client.received)
        self.assertTrue(client.saw_eof)
        self.assert_counted("keepalive_seconds")

    def test_connections(self) -> None:
        """One more than there may be is told 503."""
        self.limit(connections=2)
        for last in range(3):
            client = self.network.dial("127.0.0.1", self.port(), source=f"192.0.2.{last + 2}")
        self.network.settle()

        self.assert_refused(client, 503, "busy")
        self.assert_counted("connections")

    def test_connections_per_client(self) -> None:
        """One more than a client may have is told 429."""
        self.limit(connections_per_client=1)
        self.said(b"")

        self.assert_refused(self.said(b""), 429, "too_many_connections")
        self.assert_counted("connections_per_client")

    def test_authentication_failures_per_minute(self) -> None:
        """Who goes on guessing is answered 429."""
        self.limit(authentication_failures_per_minute=2)
        path = Path(self.mktemp()).resolve()
        path.write_text("", "ascii")
        path.chmod(0o600)
        tokens = open_tokens(str(path), self.network.clock, "listener[0].tokens")

        def run(job: Callable[[], bool]) -> Deferred[bool]:
            return succeed(job())

        failures = FailureLimit(self.network.clock, self.limits.authentication_failures_per_minute)
        self.server.identifier = Identifier(
            {"agents": ListenerAuthentication("basic", tokens)}, SecretChecks(run, failures)
        )
        wrong = GET[:-2] + b"Proxy-Authorization: Basic dXNlcjp3cm9uZw==\r\n\r\n"

        for _ in range(2):
            self.assert_refused(self.said(wrong), 407, "credentials_refused")

        self.assert_refused(self.said(wrong), 429, "too_many_failures")
        self.assert_counted("authentication_failures_per_minute")

    def test_handshakes(self) -> None:
        """With one TLS handshake more, the one that has taken longest is reset."""
        self.check_handshakes("handshakes")

    def test_handshakes_per_client(self) -> None:
        """So it is with one more of a client that has its share."""
        self.check_handshakes("handshakes_per_client")

    def check_handshakes(self, limit: str) -> None:
        """Begin one handshake more than there may be."""
        self.limit(**{limit: 1})
        server = Root().issue("proxy.example")
        tls = ServerTls.make(server.own)
        self.network.listen("127.0.0.3", 3129, TlsProxyFactory(tls, ProxyFactory("secure", self.server)))
        slow = self.network.dial("127.0.0.3", 3129)
        slow.says(b"\x16")
        self.network.settle()

        self.network.dial("127.0.0.3", 3129).says(b"\x16")
        self.network.settle()

        self.assertTrue(slow.was_reset)
        self.assert_counted(limit)

    def test_policy_seconds(self) -> None:
        """A policy that answers later is a DENY."""
        self.limit(policy_seconds=5)
        self._port += 1
        self.arrange([Silent("slow", pure=False)])
        client = self.said(GET)

        self.network.advance(6)

        self.assert_refused(client, 403, "policy_failed")
        self.assert_counted("policy_seconds")
        self.flushLoggedErrors()

    def test_dial_seconds_per_address(self) -> None:
        """An address that does not answer is followed by the next one, and the last one by a 504."""
        self.limit(dial_seconds_per_address=3, dial_seconds=60)
        self.resolver.answer("origin.example", [ADDRESS, OTHER])
        self.network.blackhole(ADDRESS)
        other = self.origin(OTHER, answer=greet)
        patient = self.said(GET)
        self.network.advance(4)
        patient.heard(b"HTTP/1.1 200 ")
        self.assertEqual(1, len(other.peers))
        self.resolver.answer("origin.example", ADDRESS)
        client = self.said(GET)

        self.network.advance(4)

        self.assert_refused(client, 504, "dial_timeout")
        self.assert_counted("dial_seconds_per_address")

    def test_dial_seconds(self) -> None:
        """However many addresses there are, there is an end to it."""
        self.limit(dial_seconds_per_address=30, dial_seconds=5)
        self.resolver.answer("origin.example", [ADDRESS, OTHER])
        for address in (ADDRESS, OTHER):
            self.network.blackhole(address)
        client = self.said(GET)

        self.network.advance(6)

        self.assert_refused(client, 504, "dial_timeout")
        self.assert_counted("dial_seconds")

    def test_response_seconds(self) -> None:
        """An answer that does not begin is a 504."""
        self.limit(response_seconds=5)
        self.origin()
        client = self.said(GET)

        self.network.advance(6)

        self.assert_refused(client, 504, "origin_timeout")
        self.assert_counted("response_seconds")

    def test_body_stall_seconds(self) -> None:
        """A body that does not move on is answered 408."""
        self.limit(body_stall_seconds=5)
        self.origin()
        client = self.said(POST + b"Content-Length: 9\r\n\r\nx")

        self.network.advance(9)

        self.assert_refused(client, 408, "body_timeout")
        self.assert_counted("body_stall_seconds")

    def test_request_body_bytes(self) -> None:
        """A longer body is answered 413; if the answer has begun, both sides are reset."""
        self.limit(request_body_bytes=10)
        origin = self.origin()

        self.assert_refused(self.said(POST + b"Content-Length: 11\r\n\r\n"), 413, "body_too_large")
        client = self.said(POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n")
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
        self.network.settle()
        client.says(b"b\r\nhello world\r\n")
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assert_counted("request_body_bytes")
        self.assert_counted("request_body_bytes", "body_too_large")
        self.assertEqual(1, self.counted("egress_request_ends_total", "cause", "body_too_large"))

    def test_hello_bytes(self) -> None:
        """A longer ClientHello is met by a reset."""
        self.limit(hello_bytes=512)
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        sent = hello("origin.example")
        self.assertGreater(len(sent), 200)

        client.says(b"\x16\x03\x01\x04\x00\x01\x00\x03\xfc\x03\x03" + b"x" * 1000)
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(b"", origin.peer.received)
        self.assert_counted("hello_bytes")

    def test_hello_seconds(self) -> None:
        """So is one that does not end in time."""
        self.limit(hello_seconds=5)
        self.origin(port=443)
        client = self.said(CONNECT)
        client.says(hello("origin.example")[:50])

        self.network.advance(6)

        self.assertTrue(client.was_reset)
        self.assert_counted("hello_seconds")

    def test_idle_seconds(self) -> None:
        """A tunnel in which nothing moves is reset, and so is a client that does not take its last bytes."""
        self.limit(idle_seconds=20)
        self.origin(port=443)
        client = self.said(CONNECT)

        self.network.advance(40)

        self.assertTrue(client.was_reset)
        self.assert_counted("idle_seconds")

        self.origin(
            answer=lambda peer, _: peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999)
        )
        slow = self.client()
        slow.stops_reading()
        slow.says(GET.replace(b"Host: a", b"Host: a\r\nConnection: close"))
        self.network.advance(40)

        self.assertEqual(0, len(self.server.connections.live))
        self.assert_counted("idle_seconds")
        self.assert_counted("idle_seconds", "idle_seconds")

    def test_tunnel_seconds(self) -> None:
        """A tunnel ends after its longest life, however busy."""
        self.limit(tunnel_seconds=20)
        self.origin(port=443)
        client = self.said(CONNECT)
        for _ in range(10):
            if client.is_closed:
                break
            client.says(b"x")
            self.network.advance(3)

        self.assertTrue(client.was_reset)
        self.assert_counted("tunnel_seconds")

    def test_tcp_keepalive_seconds(self) -> None:
        """A peer that the kernel has given up ends its tunnel as a reset does; tests/live has the kernel's part."""
        origin = self.origin(port=443)
        for cause in ("client_reset", "origin_reset"):
            client = self.said(CONNECT)

            (client if cause == "client_reset" else origin.peer).aborts()
            self.network.settle()

            self.assert_counted("tcp_keepalive_seconds", cause)

    def test_linger_seconds(self) -> None:
        """Who keeps the connection after a refusal is let go."""
        self.limit(linger_seconds=3)
        client = self.said(b"BAD\r\n\r\n")
        client.heard(b"HTTP/1.1 400 ")

        self.network.advance(4)

        self.assertTrue(client.is_closed)
        self.assert_counted("linger_seconds")

    def test_drain_seconds(self) -> None:
        """What still runs then is ended."""
        self.limit(drain_seconds=5)
        self.origin(port=443)
        client = self.said(CONNECT)

        over = self.server.drain()
        self.network.advance(6)

        self.successResultOf(over)
        self.assertTrue(client.was_reset)
        self.assert_counted("drain_seconds")
        self.assert_counted("drain_seconds", "drain_seconds")

    def test_pool_connections(self) -> None:
        """Idle connections beyond the ceiling are closed."""
        self.limit(pool_connections=1)
        self.origin(answer=greet)
        other = self.origin(port=443, answer=greet)

        self.said(GET + GET.replace(b".example/", b".example:443/"))

        self.assertEqual(1, len(self.server.pool))
        self.assertTrue(other.peer.saw_eof)
        self.assert_counted("pool_connections")

    def test_pool_connections_per_origin(self) -> None:
        """So are those of one origin, and none is kept where none may be."""
        for most in (1, 0):
            with self.subTest(most):
                self.limit(pool_connections_per_origin=most)
                origin = self.origin()
                clients = [self.said(GET) for _ in range(most + 1)]
                for peer in origin.peers:
                    peer.says(OK)
                self.network.settle()
                self.assertEqual([True] * (most + 1), [b"ok" in client.received for client in clients])
                self.assertEqual(most, len(self.server.pool))
                self.assert_counted("pool_connections_per_origin")

    def test_pool_seconds(self) -> None:
        """An idle connection is closed after its time; one that its origin closes has not reached it."""
        self.limit(pool_seconds=5)
        origin = self.origin(answer=greet)
        self.said(GET)
        origin.peer.closes()
        self.network.settle()
        self.assertEqual(0, len(self.server.pool))
        self.assert_counted("pool_seconds", times=0)
        self.said(GET)

        self.network.advance(6)

        self.assertEqual(0, len(self.server.pool))
        self.assert_counted("pool_seconds")


class LimitThroughProxyTests(Counting, RouteCase):
    """The limit that there is only where the route has a proxy."""

    limits = Limits(handshake_seconds=5)

    def test_handshake_seconds(self) -> None:
        """A proxy that does not answer CONNECT in time is a 504."""
        self.proxy()
        client = self.said(CONNECT)

        self.network.advance(6)

        self.assert_refused(client, 504, "proxy_timeout")
        self.assert_counted("handshake_seconds")
