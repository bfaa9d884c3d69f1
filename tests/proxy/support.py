"""A complete proxy server on the in-memory network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from egress.gate.gate import Gate
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.identity import ListenerIdentifier
from egress.interfaces import IPolicy, IUpstreamSelector
from egress.model import AuditEvent
from egress.policy.destinations import make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.proxy.factory import ProxyFactory
from egress.proxy.limits import HttpSettings, Limits, TlsSettings
from egress.proxy.server import ProxyServer
from egress.testing import FakeHost, FakeResolver
from egress.testing.audit_log import MemoryAuditLog
from egress.testing.network import Network
from egress.testing.peers import NetworkPeer, Origin
from egress.upstream import DirectSelector, TunnelingAgent
from egress.wire.via import Via

# Addresses of the public network, so that the guard has nothing against them.
ADDRESS = "93.184.216.34"
OTHER = "93.184.216.35"
ADDRESS6 = "2606:2800:220:1:248:1893:25c8:1946"

# What an answer without Date gets, at the time at which the clock of every test begins.
DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"

RULES = {
    "allow": [
        {"name": "example", "hosts": ["origin.example", "*.wide.example", ADDRESS, ADDRESS6], "ports": [80, 443]},
    ],
    "deny": [{"name": "never", "hosts": ["denied.example"], "ports": ["1-65535"]}],
}

# Deadlines that a test with steps of seconds reaches.
SHORT = Limits(head_seconds=10, keepalive_seconds=20, linger_seconds=5, idle_seconds=40, drain_seconds=8)


class ServerCase(SynchronousTestCase):
    """Arranges one listener, one policy with `RULES`, and one origin name, `origin.example`."""

    limits = Limits()
    tls = TlsSettings()
    http = HttpSettings()
    segment_bytes = 1460
    pseudonym = b"egress"

    def setUp(self) -> None:
        self.network = self.make_network()
        self.resolver = FakeResolver({"origin.example": ADDRESS, "a.wide.example": OTHER, "denied.example": OTHER})
        self.audit_log = MemoryAuditLog()
        self.host = FakeHost(clock=self.network.clock, resolver=self.resolver)
        self.arrange()

    def make_network(self) -> Network:
        """Make what connections run on."""
        return Network(segment_bytes=self.segment_bytes)

    def arrange(self, policies: Iterable[IPolicy] | None = None, rules: dict[str, Any] | None = None) -> None:
        """Make the proxy server, anew if need be.

        Args:
            policies: in place of the one with rules.
            rules: in place of `RULES`.
        """
        if policies is None:
            policies = [make_destinations("rules", rules or RULES, self.host)]
        reactor = self.network.reactor
        own = self.own()
        agent = self.agent(own)
        snapshot = Snapshot(
            1,
            tuple(policies),
            Guard(GuardSettings()),
            self.resolver,
            self.resolver,
            self.selector(),
            agent,
            own,
            agent.proxies,
        )
        self.gate = Gate(snapshot, reactor, self.limits.policy_seconds)
        self.server = ProxyServer(
            self.gate,
            ListenerIdentifier(),
            self.audit_log,
            reactor,
            self.limits,
            self.tls,
            self.http,
            now=reactor.seconds,
            via=Via(self.pseudonym),
        )
        self.server.start()
        self.addCleanup(self.server.stop)
        self.network.listen("127.0.0.1", self.port(), ProxyFactory("agents", self.server))

    def own(self) -> OwnAddresses:
        """Say what is no destination."""
        return OwnAddresses((("127.0.0.1", self.port()),), local=lambda address: address.is_loopback)

    def selector(self) -> IUpstreamSelector:
        """Say which route requests take."""
        return DirectSelector()

    def agent(self, own: OwnAddresses) -> TunnelingAgent:
        """Say what dials."""
        return TunnelingAgent(
            self.network.reactor, self.limits.dial_seconds_per_address, self.limits.dial_seconds, is_own=own.serves
        )

    _port = 3128

    def port(self) -> int:
        """Tell where the proxy server is."""
        return self._port

    def client(self) -> NetworkPeer:
        """Connect a client to the proxy server."""
        return self.network.dial("127.0.0.1", self.port())

    def origin(
        self, address: str = ADDRESS, port: int = 80, answer: Callable[[NetworkPeer, bytes], object] | None = None
    ) -> Origin:
        """Let there be an origin."""
        return self.network.origin(address, port, answer)

    def dying_origin(self, answer: bytes) -> list[bytes]:
        """Let there be an origin that resets its connection on the second request it hears, and answers all others.

        Returns:
            What it hears, request by request.
        """
        heard: list[bytes] = []

        def hear(peer: NetworkPeer, data: bytes) -> None:
            heard.append(data)
            if len(heard) == 2:
                peer.aborts()
            else:
                peer.says(answer)

        self.origin(answer=hear)
        return heard

    def said(self, data: bytes) -> NetworkPeer:
        """Connect a client, let it say something, and let all of it happen."""
        client = self.client()
        client.says(data)
        self.network.settle()
        return client

    def ends(self) -> list[AuditEvent]:
        """Give the records of what is over."""
        return [record for record in self.audit_log.records if record.event != "open"]

    def problem(self, client: NetworkPeer) -> dict[str, Any]:
        """Read the problem that a client was answered with."""
        head, _, body = client.received.rpartition(b"\r\n\r\n")
        self.assertIn(b"Content-Type: application/problem+json", head)
        found: dict[str, Any] = json.loads(body)
        return found

    def assert_refused(self, client: NetworkPeer, status: int, code: str) -> dict[str, Any]:
        """Assert that a client got a refusal, and that the record has it too."""
        client.heard(b"HTTP/1.1 %d " % status)
        problem = self.problem(client)
        self.assertEqual((problem["status"], problem["code"]), (status, code))
        record = self.ends()[-1]
        assert record.refused is not None
        self.assertEqual((record.refused.code, record.status), (code, status))
        return problem
