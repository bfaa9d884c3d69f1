"""Metrics of whole dialogues."""

from __future__ import annotations

import time

from egress.proxy.statistics import count_tunnels
from tests.proxy.support import ServerCase
from tests.proxy.test_limits import CONNECT, GET, Counting, greet


class CountedDialogues(Counting):
    """Requests and tunnels of a proxy server are counted."""

    def requests(self, verdict: str, policy: str, upstream: str, code: str, request_form: str) -> float:
        """Give how many requests were counted with these labels."""
        labels = {
            "verdict": verdict,
            "policy": policy,
            "upstream": upstream,
            "code": code,
            "request_form": request_form,
            "listener": "agents",
        }
        return self.metrics.registry.get_sample_value("egress_requests_total", labels) or 0.0

    def value(self, name: str, **labels: str) -> float | None:
        """Give a sample, as a scrape would."""
        return self.metrics.registry.get_sample_value(name, labels)

    def test_requests(self) -> None:
        """Allowed, refused, failed and unreadable requests are counted apart."""
        origin = self.origin(answer=greet)
        self.said(GET)
        self.said(b"GET http://denied.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        self.said(b"GET http://a.wide.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        self.said(b"GARBAGE\r\n\r\n")
        origin.heard(b"GET / HTTP/1.1\r\n")

        self.assertEqual(1, self.requests("allow", "rules", "direct", "", "http"))
        self.assertEqual(1, self.requests("deny", "rules", "", "denied", "http"))
        self.assertEqual(1, self.requests("allow", "rules", "direct", "connection_refused", "http"))
        self.assertEqual(1, self.requests("none", "", "", "bad_head", ""))
        self.assertEqual(
            4, sum(self.counted("egress_requests_total", "request_form", request_form) for request_form in ("http", ""))
        )
        self.assertEqual(
            2, self.value("egress_transferred_bytes_total", direction="down", upstream="direct", listener="agents")
        )
        self.assertEqual(1, self.value("egress_request_phase_duration_seconds_count", phase="wait"))
        self.assertEqual(2, self.value("egress_request_phase_duration_seconds_count", phase="judge"))

    def test_tunnel(self) -> None:
        """A tunnel is a number of its own while it stands, and a request when it has ended; no octet is lost."""
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        client.says(b"ping")
        self.network.settle()
        origin.peer.says(b"pong!")
        self.network.advance(3)
        self.assertEqual(1, self.value("egress_tunnels", upstream="direct", listener="agents"))
        self.assertEqual(
            4, self.value("egress_open_tunnel_bytes", direction="up", upstream="direct", listener="agents")
        )
        self.assertEqual(
            5, self.value("egress_open_tunnel_bytes", direction="down", upstream="direct", listener="agents")
        )
        self.assertEqual(0, self.requests("allow", "rules", "direct", "", "connect"))
        self.assertEqual(1, self.value("egress_client_connections", listener="agents"))

        client.closes()
        origin.peer.closes()
        self.network.settle()

        self.assertIs(None, self.value("egress_tunnels", upstream="direct", listener="agents"))
        self.assertEqual(1, self.requests("allow", "rules", "direct", "", "connect"))
        self.assertEqual(
            4, self.value("egress_transferred_bytes_total", direction="up", upstream="direct", listener="agents")
        )
        self.assertEqual(
            5, self.value("egress_transferred_bytes_total", direction="down", upstream="direct", listener="agents")
        )
        self.assertEqual(
            1, self.value("egress_request_ends_total", cause="complete", request_form="connect", listener="agents")
        )
        self.assertIs(None, self.value("egress_client_connections", listener="agents"))

    def test_pool_and_snapshot(self) -> None:
        """Idle origin connections are counted, and which snapshot judges and since when."""
        self.origin(answer=greet)
        self.said(GET)

        self.assertEqual(1, self.value("egress_origin_pool_connections"))
        self.assertEqual(1, self.value("egress_config_generation"))
        self.assertGreaterEqual(self.value("egress_config_age_seconds") or -1.0, 0.0)
        applied = self.value("egress_config_last_reload_success_timestamp_seconds")
        self.assertLess(abs(time.time() - (applied or 0.0)), 60.0)
        self.assertEqual(applied, self.value("egress_config_last_reload_success_timestamp_seconds"))


class Tunnels(ServerCase):
    """The definition of a tunnel."""

    def test_only_what_stands(self) -> None:
        """Neither a request nor a tunnel that is being dialled is one; a WebSocket is."""
        self.network.blackhole("93.184.216.34", 443)
        self.said(CONNECT)
        origin = self.origin()
        self.said(GET)
        self.assertEqual({}, count_tunnels(self.server))

        self.said(
            b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        origin.peers[-1].says(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00")
        self.network.settle()

        found = count_tunnels(self.server)["direct", "agents"]
        self.assertEqual((1, 0, 2), (found.tunnels, found.up, found.down))
