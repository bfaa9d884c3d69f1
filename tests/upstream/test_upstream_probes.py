"""Upstreams that readiness depends on are reached, where no request uses them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.model import Hop
from egress.upstream import Upstream
from egress.upstream.upstream_probes import PROBE_SECONDS, Probed, UpstreamProbes
from tests.upstream.ends import place
from tests.upstream.test_tunneling_agent import FAR, NEAR, ROOT, Chain


class ProbeTests(SynchronousTestCase):
    """Probes over the in-memory network."""

    def setUp(self) -> None:
        self.chain = Chain()
        self.network = self.chain.network
        self.names: list[tuple[str, ...]] = []
        proxies = self.chain.agent.proxies
        self.probes = UpstreamProbes(self.network.clock, lambda: proxies, self.required)

    def required(self) -> Probed:
        """Give what is required: the last one of each route."""
        states, upstreams = self.chain.agent.states, self.chain.upstreams
        return {names[-1]: (self.hops(*names), states.of(upstreams[names[-1]])) for names in self.names}

    def hops(self, *names: str) -> tuple[Hop, ...]:
        """Give the proxies of a route."""
        return self.chain.route(*names).hops

    def fault(self, name: str) -> str:
        """Give what is the matter with an upstream."""
        return self.chain.agent.states.of(self.chain.upstreams[name]).readiness_fault()

    def advance(self, seconds: float = PROBE_SECONDS) -> None:
        """Let time pass, and let all happen that it brings."""
        self.network.advance(seconds)
        self.network.settle()

    def start(self, *names: str) -> None:
        """Start probing the route through these proxies."""
        self.names = [names]
        self.probes.start()
        self.network.settle()

    def stop(self) -> None:
        """Stop, and see that nothing is left."""
        self.probes.stop()
        self.network.settle()
        self.network.assert_quiet()

    def test_reached(self) -> None:
        """A proxy that accepts connections is found to do so at the start, and is asked for nothing."""
        near = self.chain.proxy("near", NEAR)

        self.start("near")

        self.assertEqual("", self.fault("near"))
        self.assertEqual([(NEAR, 8080)], self.network.dialled)
        self.assertEqual([], near.asked)
        self.stop()

    def test_comes_back(self) -> None:
        """One that cannot be reached is tried again until it can, without any request."""
        self.chain.upstreams["near"] = Upstream("near", "http", place(NEAR, 8080))
        self.start("near")
        self.assertIn("proxy_unreachable", self.fault("near"))
        self.advance()
        self.assertIn("proxy_unreachable", self.fault("near"))

        self.chain.proxy("near", NEAR)
        self.advance()

        self.assertEqual("", self.fault("near"))
        self.stop()

    def test_used(self) -> None:
        """A proxy that requests use is not probed as well."""
        self.chain.proxy("near", NEAR)
        self.start("near")
        state = self.chain.agent.states.of(self.chain.upstreams["near"])
        for _ in range(3):
            state.worked()
            self.advance()

        self.assertEqual(1, len(self.network.dialled))
        self.advance()
        self.assertEqual(2, len(self.network.dialled))
        self.stop()

    def test_tls(self) -> None:
        """TLS belongs to reaching a proxy."""
        self.chain.tls_proxy("near", NEAR, NEAR, ROOT.issue("other.example"))

        self.start("near")

        self.assertIn("proxy_tls_failed", self.fault("near"))
        self.stop()

    def test_row(self) -> None:
        """A proxy behind another one is reached through that one."""
        near = self.chain.proxy("near", NEAR)
        self.chain.proxy("far", FAR)
        self.start("near", "far")

        self.assertEqual([f"{FAR}:8080"], near.targets)
        self.assertEqual("", self.fault("far"))
        near.refusals[f"{FAR}:8080"] = b"HTTP/1.1 503 no\r\n\r\n"
        self.advance()

        self.assertIn("proxy_unreachable", self.fault("far"))
        self.stop()

    def test_stopped_meanwhile(self) -> None:
        """A probe in progress ends with the supervisor."""
        self.chain.proxy("near", NEAR)
        self.network.blackhole(NEAR, 8080)
        self.start("near")
        self.advance(0.5)

        self.stop()

        self.assertIn("has not been reached yet", self.fault("near"))
