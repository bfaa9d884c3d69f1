"""Tunnels of the proxy server on the engine: joined, counted, watched and ended."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from egress.transports.engine import is_supported

if not is_supported():
    raise SkipTest("this system has no epoll")

from egress.errors import Refused
from egress.gate.gate import Gate
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.identity import ListenerIdentifier
from egress.interfaces import IPolicy
from egress.model import AuditEvent, Outcome, Verdict
from egress.policy.destinations import make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.proxy.client.connection import ClientConnection
from egress.proxy.factory import ProxyFactory
from egress.proxy.limits import Limits
from egress.proxy.server import ProxyServer
from egress.proxy.statistics import count_tunnels
from egress.proxy.transaction import Transaction
from egress.proxy.tunnel.tunnel import Tunnel
from egress.testing import FakeHost, FakeResolver
from egress.testing.audit_log import MemoryAuditLog
from egress.transports.engine.engine import Engine
from egress.upstream import DirectSelector, TunnelingAgent
from tests.live.joined import Bench, End
from tests.proxy.test_observers import Listener

LIMITS = Limits()


def listening() -> socket.socket:
    """Make a socket that listens."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    made.setblocking(False)
    return made


class JoinedTunnelTests(SynchronousTestCase):
    """One proxy server, one origin, and a client with a tunnel."""

    def setUp(self) -> None:
        """Open it."""
        self.bench = Bench(Engine)
        self.addCleanup(self.bench.stop)
        hand, engine = self.bench.hand, self.bench.engine
        self.origin = listening()
        self.addCleanup(self.origin.close)
        self.port = self.origin.getsockname()[1]
        rules = {"allow": [{"name": "near", "hosts": ["127.0.0.0/8"], "ports": [self.port]}]}
        self.observer = Listener()
        policies: tuple[IPolicy, ...] = (
            make_destinations("rules", rules, FakeHost(clock=hand, resolver=FakeResolver({}))),
            self.observer,
        )
        bound = listening()
        own = OwnAddresses((("127.0.0.1", bound.getsockname()[1]),), local=lambda address: address.is_loopback)
        agent = TunnelingAgent(engine, LIMITS.dial_seconds_per_address, LIMITS.dial_seconds, is_own=own.serves)
        snapshot = Snapshot(
            1, policies, Guard(GuardSettings()), FakeResolver({}), FakeResolver({}), DirectSelector(), agent, own, None
        )
        self.audit_log = MemoryAuditLog()
        self.server = ProxyServer(
            Gate(snapshot, hand, LIMITS.policy_seconds),
            ListenerIdentifier(),
            self.audit_log,
            hand,
            LIMITS,
            now=hand.seconds,
        )
        self.server.start()
        self.addCleanup(self.server.stop)
        self.address = bound.getsockname()
        engine.listen(bound, ProxyFactory("agents", self.server))
        self.open(b"early")

    def open(self, early: bytes) -> None:
        """Open a tunnel: `near` is the client's end, `far` the origin's."""
        near = socket.create_connection(self.address)
        near.setblocking(False)
        self.addCleanup(near.close)
        authority = b"127.0.0.1:%d" % self.port
        near.send(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n%s" % (authority, authority, early))
        self.near = End(near)
        self.bench.until(lambda: self.near.got.endswith(b"\r\n\r\n"), self.near)
        self.near.got.clear()
        far, _ = self.origin.accept()
        far.setblocking(False)
        self.addCleanup(far.close)
        self.far = End(far)

    def guest(self) -> ClientConnection:
        """Give the proxy server's side of the client."""
        (guest,) = self.server.connections.live
        assert isinstance(guest, ClientConnection)
        return guest

    def record(self) -> AuditEvent:
        """Give the record, once everything is over."""
        self.bench.until(lambda: not self.server.connections.live)
        (record,) = (each for each in self.audit_log.records if each.event != "open")
        return record

    def test_both_ways(self) -> None:
        """Bytes pass without the protocols, early ones first, and the record and the counts have all of them."""
        self.near.send(b" and late")
        self.far.send(b"answer")
        self.bench.until(lambda: len(self.far.got) == 14 and len(self.near.got) == 6, self.near, self.far)
        guest = self.guest()
        assert isinstance(guest.receiver, Tunnel) and isinstance(guest.transaction, Transaction)
        self.assertTrue(guest.transaction.upward and guest.transaction.downward)
        self.assertIsNone(guest.reader)
        (route,) = count_tunnels(self.server).values()
        self.assertEqual((1, 14, 6), (route.tunnels, route.up, route.down))
        self.far.finish()
        self.bench.until(lambda: self.near.is_ended, self.near)
        self.near.send(b" and last")
        self.near.finish()
        self.bench.until(lambda: self.far.is_ended, self.far)

        self.assertEqual((b"early and late and last", b"answer"), (bytes(self.far.got), bytes(self.near.got)))
        record = self.record()
        self.assertEqual((23, 6, "complete"), (record.client_bytes, record.server_bytes, record.cause))

    def test_observers(self) -> None:
        """Observers are told what moved, and their DENY ends the tunnel."""
        self.near.send(b"x" * 1000)
        self.bench.until(lambda: len(self.far.got) == 1005, self.far)
        self.bench.hand.advance(1.0)

        self.assertIn("moved 1005 0", self.observer.heard)
        self.observer.verdict = Verdict(Outcome.DENY, "listener", reason="Enough.")
        self.near.send(b"x")
        self.bench.until(lambda: len(self.far.got) == 1006, self.far)
        self.bench.hand.advance(1.0)
        self.bench.until(lambda: self.near.is_reset, self.near)

        self.assertEqual(1006, self.record().client_bytes)

    def test_reset(self) -> None:
        """A reset by either side reaches the other, and the record names who began."""
        for first, cause in ((0, "client_reset"), (1, "origin_reset")):
            self.audit_log.records.clear()
            ends = self.near, self.far
            self.bench.turns()
            ends[first].reset()
            self.bench.until(lambda ends=ends, first=first: ends[1 - first].is_reset, ends[1 - first])  # type: ignore[misc]
            self.assertEqual(cause, self.record().cause)
            if not first:
                self.open(b"")

    def test_idle(self) -> None:
        """A tunnel in which nothing moves is reset; while bytes move it stands."""
        step = LIMITS.idle_seconds / 2
        for number in range(6, 10):
            self.near.send(b"x")
            self.bench.until(lambda number=number: len(self.far.got) == number, self.far)  # type: ignore[misc]
            self.pass_time(step)
        self.assertTrue(self.server.connections.live)
        for _ in range(4):
            self.pass_time(step)
        self.bench.until(lambda: self.near.is_reset, self.near)

        record = self.record()
        self.assertEqual(("idle", 9), (record.cause, record.client_bytes))

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, as the wheel's timer has it."""
        for _ in range(int(seconds / 5) + 1):
            self.bench.hand.advance(5.0)

    def test_end(self) -> None:
        """Whoever is refused later loses both sides at once, and the record says why."""
        self.near.send(b"more")
        self.bench.until(lambda: len(self.far.got) == 9, self.far)
        self.guest().end("policy", Refused("denied", "No longer."))
        for end in (self.near, self.far):
            self.bench.until(lambda end=end: end.is_reset, end)  # type: ignore[misc]

        record = self.record()
        self.assertEqual(("policy", 9, "refused"), (record.cause, record.client_bytes, record.event))
