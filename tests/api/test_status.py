"""The status page server, whole dialogues over the in-memory network."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.api.metrics import Metrics
from egress.api.settings import CONNECTIONS_LIMIT
from egress.api.status import CONNECTION_SECONDS, HEAD_SECONDS, StatusFactory, StatusPage
from egress.testing.network import Network
from egress.testing.peers import NetworkPeer
from tests.api.events import make_admission, make_event


class StatusCase(SynchronousTestCase):
    """Arranges a status listener."""

    def setUp(self) -> None:
        self.network = Network()
        self.metrics = Metrics()
        self.faults: list[str] = []
        self.warnings: list[str] = []
        page = StatusPage(self.metrics.registry, lambda: self.faults, ["egress.monitoring.svc"], lambda: self.warnings)
        self.network.listen("127.0.0.1", 3181, StatusFactory(page, self.network.clock))

    def said(self, data: bytes) -> NetworkPeer:
        """Connect a client, send data, and run until nothing is pending."""
        client = self.network.dial("127.0.0.1", 3181)
        client.says(data)
        self.network.settle()
        return client

    def ask(self, path: str, *fields: str, method: str = "GET", host: str = "127.0.0.1:3181") -> tuple[int, str]:
        """Ask for a page.

        Returns:
            The status and the body.
        """
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields, "", ""]
        client = self.said("\r\n".join(lines).encode("ascii"))
        head, _, body = client.received.partition(b"\r\n\r\n")
        self.head = head.decode("ascii").lower()
        self.assertTrue(client.saw_eof)
        return int(head.split()[1]), body.decode("utf-8")


class PageTests(StatusCase):
    """The answers of the page."""

    def test_alive(self) -> None:
        """As long as the reactor answers it is alive, ready or not."""
        self.faults.append("it is stopping")

        self.assertEqual((200, "alive\n"), self.ask("/livez"))

    def test_ready(self) -> None:
        """Without a fault it is ready."""
        self.assertEqual((200, "ready\n"), self.ask("/readyz"))

    def test_ready_with_a_warning(self) -> None:
        """A warning is said, and changes nothing for probes."""
        self.warnings.append("the audit log cannot be written")

        self.assertEqual((200, "ready\nthe audit log cannot be written\n"), self.ask("/readyz"))

    def test_not_ready(self) -> None:
        """Otherwise the faults are named, one a line."""
        self.faults += ["the audit log cannot take records", "it is stopping"]

        self.assertEqual((503, "the audit log cannot take records\nit is stopping\n"), self.ask("/readyz"))

    def test_metrics(self) -> None:
        """Metrics are given in Prometheus' text format."""
        self.metrics.record(make_event(make_admission()))

        status, body = self.ask("/metrics")

        self.assertEqual(200, status)
        self.assertIn("content-type: text/plain; version=", self.head)
        self.assertIn("# TYPE egress_requests_total counter\n", body)
        self.assertIn(
            'egress_requests_total{code="",listener="agents",policy="rules",request_form="http",upstream="direct",'
            'verdict="allow"}',
            body,
        )
        self.assertIn('egress_request_phase_duration_seconds_bucket{le="+Inf",phase="judge"} 0.0\n', body)

    def test_openmetrics(self) -> None:
        """A client that accepts OpenMetrics receives it."""
        _, body = self.ask("/metrics", "Accept: application/openmetrics-text; version=1.0.0")

        self.assertIn("content-type: application/openmetrics-text; version=1.0.0", self.head)
        self.assertTrue(body.endswith("# EOF\n"))

    def test_formats_that_there_are_not(self) -> None:
        """Any other Accept field is answered with the text format."""
        kinds = ("application/openmetrics-text", "text/plain")
        for version in ("abc", "1.x", "1..", "9" * 5000, "-1", "1.0.0\xe9", "="):
            for kind in kinds:
                with self.subTest(kind=kind, version=version):
                    raw = f"GET /metrics HTTP/1.0\r\nAccept: {kind}; version={version}\r\n\r\n"
                    client = self.said(raw.encode("latin-1"))
                    self.assertTrue(client.received.startswith(b"HTTP/1.0 200 "))
                    self.assertIn(b"# TYPE egress_requests_total counter\n", client.received)
        self.assertEqual([], self.flushLoggedErrors())

    def test_head(self) -> None:
        """HEAD is answered as GET is, without the body."""
        self.assertEqual((200, ""), self.ask("/livez", method="HEAD"))
        self.assertIn("content-length: 6", self.head)

    def test_nothing_else(self) -> None:
        """Other paths are not found."""
        for path in ("/", "/metrics/", "/livez/x", "/..%2flivez", "/favicon.ico"):
            self.assertEqual(404, self.ask(path)[0], path)

    def test_queries_are_no_matter(self) -> None:
        """A probe may put a query behind its path."""
        self.assertEqual(200, self.ask("/livez?verbose")[0])

    def test_only_reading(self) -> None:
        """Nothing can be written."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
            self.assertEqual(405, self.ask("/livez", method=method)[0], method)
            self.assertIn("allow: get, head", self.head)

    def test_fields(self) -> None:
        """An answer is not cached, sniffed or framed, and does not name its server."""
        self.ask("/metrics")

        self.assertIn("cache-control: no-store", self.head)
        self.assertIn("x-content-type-options: nosniff", self.head)
        self.assertIn("content-security-policy: default-src 'none'; frame-ancestors 'none'", self.head)
        self.assertIn("connection: close", self.head)
        self.assertNotIn("server:", self.head)


class HostTests(StatusCase):
    """A web page that makes a name of its own resolve here cannot read the answers."""

    def test_known(self) -> None:
        """Addresses, localhost and names that were configured are answered."""
        for host in ("127.0.0.1", "10.1.2.3:3181", "[::1]:3181", "[::1]", "localhost", "LOCALHOST:3181"):
            self.assertEqual(200, self.ask("/livez", host=host)[0], host)
        self.assertEqual(200, self.ask("/livez", host="egress.monitoring.svc:3181")[0])

    def test_others(self) -> None:
        """Any other name is not, nor is nonsense, nor two at once."""
        for host in (
            "evil.example",
            "evil.example:3181",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
        ):
            self.assertEqual(421, self.ask("/metrics", host=host)[0], host)
        self.assertEqual(421, self.ask("/metrics", "Host: evil.example")[0])

    def test_without(self) -> None:
        """A client that names none is no browser."""
        self.said(b"GET /livez HTTP/1.0\r\n\r\n").heard(contains=b"alive")


class BoundTests(StatusCase):
    """Nobody can make it hold much, or for long."""

    def test_time(self) -> None:
        """A client that does not get to the end of its request is cut off, however busy it keeps the line."""
        client = self.said(b"GET /livez HTTP/1.1\r\n")
        for _ in range(int(HEAD_SECONDS) + 1):
            if client.is_closed:
                break
            client.says(b"X: y\r\n")
            self.network.advance(1)

        self.assertTrue(client.was_reset)

    def test_reader_that_does_not_read(self) -> None:
        """Nor does one hold it that does not read its answer."""
        self.network.window_bytes = 1024
        client = self.network.dial("127.0.0.1", 3181)
        client.stops_reading()
        client.says(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")

        self.network.advance(HEAD_SECONDS + 1)
        self.assertEqual(1, self.network.open_links())
        self.network.advance(CONNECTION_SECONDS - HEAD_SECONDS)

        self.assertEqual(0, self.network.open_links())

    def test_connections(self) -> None:
        """The number of connections is bounded; the longest idle one makes room for a probe."""
        idle = [self.said(b"") for _ in range(CONNECTIONS_LIMIT)]

        for _ in range(3):
            self.said(b"GET /livez HTTP/1.0\r\n\r\n").heard(contains=b"alive")

        self.assertEqual([True, False], [each.is_closed for each in idle[:2]])
        self.assertTrue(idle[0].was_reset)
        for _ in range(2 * CONNECTIONS_LIMIT):
            self.said(b"")
        self.assertEqual(CONNECTIONS_LIMIT, self.network.open_links())

    def test_connections_at_once(self) -> None:
        """Connections that arrive together each end another one."""
        idle = [self.network.dial("127.0.0.1", 3181) for _ in range(CONNECTIONS_LIMIT + 3)]

        self.network.settle()

        self.assertEqual([True] * 3, [each.was_reset for each in idle[:3]])
        self.assertEqual(CONNECTIONS_LIMIT, self.network.open_links())

    def test_connections_that_are_answered(self) -> None:
        """A connection that is being answered is kept before idle ones, and none is kept for ever."""
        self.network.window_bytes = 1024
        slow = [self.network.dial("127.0.0.1", 3181) for _ in range(CONNECTIONS_LIMIT - 1)]
        for each in slow:
            each.stops_reading()
            each.says(b"GET /metrics HTTP/1.0\r\n\r\n")
        self.network.settle()
        idle = self.said(b"")

        self.said(b"GET /livez HTTP/1.0\r\n\r\n").heard(contains=b"alive")
        self.assertTrue(idle.was_reset)
        self.assertFalse(slow[0].was_reset)
        late = self.network.dial("127.0.0.1", 3181)
        late.stops_reading()
        late.says(b"GET /metrics HTTP/1.0\r\n\r\n")
        self.network.settle()
        self.assertEqual(CONNECTIONS_LIMIT, self.network.open_links())

        self.said(b"GET /livez HTTP/1.0\r\n\r\n").heard(contains=b"alive")

    def test_head(self) -> None:
        """A long head is refused."""
        client = self.said(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)

        self.assertTrue(client.is_closed)
        self.assertNotIn(b"alive", client.received)

    def test_body(self) -> None:
        """A body is refused before it arrives, whatever its length and content."""
        for field in (b"Content-Length: 5", b"Content-Length: 999999999999", b"Transfer-Encoding: chunked"):
            with self.subTest(field):
                client = self.said(b"POST /livez HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n\r\nhello")
                client.heard(b"HTTP/1.1 413 ")
                self.assertEqual(1, client.received.count(b"HTTP/1.1"))
                self.assertTrue(client.is_closed)

    def test_one_request_a_connection(self) -> None:
        """Octets after a request are not read."""
        client = self.said(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)

        self.assertEqual(1, client.received.count(b"alive"))
        self.assertTrue(client.is_closed)
