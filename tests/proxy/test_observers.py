"""Events that observing policies receive for admitted requests."""

from __future__ import annotations

from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from zope.interface import implementer

from egress.interfaces import IPolicy, IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, Request, Resolution, Verdict
from egress.policy.audit_only import AuditOnly
from egress.policy.rate import make_rate
from egress.testing import FixedPolicy
from egress.testing.peers import NetworkPeer
from tests.proxy.support import ADDRESS, RULES, ServerCase
from tests.proxy.tunnel.support import CONNECT

GET = b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@implementer(IPolicy, IPolicyObserver)
@define(eq=False)
class Listener:
    """Allows everything, and writes down what it hears."""

    name: str = "listener"
    pure: bool = True
    heard: list[str] = field(factory=list)
    verdict: Verdict | None = None
    error: BaseException | None = None
    port: int = 0

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Allow."""
        return Verdict(Outcome.ALLOW, self.name)

    def started(self, request: Request, admission: Admission) -> None:
        """Write it down."""
        self.heard.append(f"started {request.authority.port}")
        self._break()

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        """Write it down."""
        self.heard.append(f"moved {up} {down}")
        self._break()
        return self.verdict if self.port in (0, request.authority.port) else None

    def ended(self, record: AuditEvent) -> None:
        """Write it down."""
        self.heard.append(f"ended {record.cause}")
        self._break()

    def _break(self) -> None:
        if self.error is not None:
            raise self.error


class ObserverCase(ServerCase):
    """Arranges a policy that watches."""

    def setUp(self) -> None:
        super().setUp()
        self._port += 1
        self.policy = Listener()
        self.arrange([self.policy])


class ObserverTests(ObserverCase):
    """started, moved at most once a second, ended exactly once."""

    def test_exchange(self) -> None:
        """A whole exchange: begun, its bytes, its end."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        self.said(GET)

        self.assertEqual(self.policy.heard, ["started 80", "moved 0 5", "ended complete"])

    def test_tunnel(self) -> None:
        """A tunnel is told of once a second, with what moved since, and only if something did."""
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        for _ in range(5):
            client.says(b"12")
            origin.peer.says(b"345")
            self.network.advance(0.5)
        self.network.advance(10)
        client.aborts()
        self.network.settle()

        moved = [line for line in self.policy.heard if line.startswith("moved")]
        self.assertEqual(sum(int(line.split()[1]) for line in moved), 10)
        self.assertEqual(sum(int(line.split()[2]) for line in moved), 15)
        self.assertLessEqual(len(moved), 4)
        self.assertEqual((self.policy.heard[0], self.policy.heard[-1]), ("started 443", "ended client_reset"))

    def test_idle_tunnel(self) -> None:
        """A tunnel that moves nothing is told of once, and a DENY ends it."""
        self.origin(port=443)
        self.said(CONNECT)
        self.network.advance(10)
        self.assertEqual(self.policy.heard, ["started 443", "moved 0 0"])

        self.policy.verdict = Verdict(Outcome.DENY, "listener", "r", "Enough.")
        client = self.said(CONNECT)
        self.network.advance(1)

        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "policy")

    def test_a_deny_ends_it(self) -> None:
        """A DENY on what moved ends the tunnel, and the record names the policy."""
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        self.policy.verdict = Verdict(Outcome.DENY, "listener", "r", "Enough.")

        client.says(b"12")
        self.network.advance(2)

        self.assertTrue(client.was_reset)
        self.assertTrue(origin.peer.was_reset)
        record = self.ends()[-1]
        assert record.refused is not None
        self.assertEqual(
            (record.cause, record.refused.policy, record.refused.reason), ("policy", "listener", "Enough.")
        )
        self.assertEqual(self.policy.heard.count("ended policy"), 1)

    def test_refused_requests_are_not_started(self) -> None:
        """What was not admitted has no start and no end."""
        self._port += 1
        self.arrange([self.policy, FixedPolicy("deny", Outcome.DENY)])
        self.said(GET)

        self.assertEqual(self.ends()[-1].cause, "refused")
        self.assertEqual(self.policy.heard, [])

    def test_failed_dial(self) -> None:
        """A request whose dial fails has a start and an end, as one that a reload refuses meanwhile."""
        self.said(GET)
        self.network.settle()  # Once more: a busy machine may be slow to refuse a connection.

        self.assertEqual(self.policy.heard, ["started 80", "moved 0 0", "ended failed"])

    def test_while_dialling(self) -> None:
        """A request that is dialled is told of within a second, and a DENY is its answer."""
        self.network.blackhole(ADDRESS)
        self.policy.verdict = Verdict(Outcome.DENY, "listener", "r", "Enough.")
        for request in (GET, CONNECT):
            self.policy.heard.clear()

            client = self.said(request)
            self.network.advance(1)

            self.assert_refused(client, 403, "denied")
            self.assertEqual(self.policy.heard[1:], ["moved 0 0", "ended refused"])
        self.assertEqual(self.network.open_links(), len(self.server.connections.live))

    def test_retried_exchange(self) -> None:
        """An exchange that changes connections starts once."""
        served = self.dying_origin(OK)

        self.said(GET + GET)

        self.assertEqual(len(served), 3)
        self.assertEqual(self.policy.heard.count("started 80"), 2)
        self.assertEqual(self.policy.heard.count("ended complete"), 2)

    def test_broken_observer(self) -> None:
        """A failure of an observer is logged by type and place, without its text, and ends the request."""
        self.policy.error = RuntimeError("boom")
        self.origin(port=443)

        with capturedLogs() as events:
            client = self.said(CONNECT)
            client.says(b"12")
            self.network.advance(2)

        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "policy")
        logged = [event["detail"] for event in events if event.get("policy") == "listener"]
        self.assertGreaterEqual(len(logged), 3)
        self.assertTrue(all("RuntimeError in _break" in detail and "boom" not in detail for detail in logged))

    def test_exits(self) -> None:
        """SystemExit and KeyboardInterrupt of an observer end its request alone, and the request has its log line."""
        self.origin(port=443)
        for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit()):
            self.policy.error = None
            self.policy.heard.clear()
            client = self.said(CONNECT)
            self.policy.error = error

            client.says(b"12")
            self.network.advance(2)

            self.assertTrue(client.was_reset)
            self.assertEqual(self.ends()[-1].cause, "policy")
            self.assertEqual(self.policy.heard[-1], "ended policy")

    def test_no_verdict(self) -> None:
        """An answer that is no verdict of the observer ends the request and has a log line, as with `decide`."""
        self.origin(port=443)
        rubbish: tuple[object, ...] = (
            True,
            "DENY",
            Outcome.DENY,
            Deferred(),
            Verdict(Outcome.ABSTAIN, "another"),
            Verdict(cast("Outcome", "allow"), "listener"),
            Verdict(Outcome.DENY, "listener", retry_seconds=cast("float", "soon")),
        )
        for answer in rubbish:
            self.policy.verdict = None
            client = self.said(CONNECT)
            self.policy.verdict = cast("Verdict", answer)
            count = len(self.ends())

            client.says(b"12")
            self.network.advance(2)

            self.assertTrue(client.was_reset, answer)
            self.assertEqual([event.cause for event in self.ends()[count:]], ["policy"], answer)
        self.flushLoggedErrors(TypeError)

    def test_audit_mode(self) -> None:
        """A failure of an observer with `mode = "audit"` ends nothing."""
        self._port += 1
        self.arrange([AuditOnly(self.policy), FixedPolicy()])
        self.origin(port=443)
        client = self.said(CONNECT)
        for answer, error in (("DENY", None), (None, RuntimeError("boom")), (None, SystemExit())):
            self.policy.verdict, self.policy.error = cast("Verdict | None", answer), error

            client.says(b"12")
            self.network.advance(2)

            self.assertFalse(client.was_reset)


@implementer(IPolicy)
@define(eq=False)
class Pending:
    """Abstains when the test says so."""

    name: str = "pending"
    pure: bool = False
    waiting: list[Deferred[Verdict]] = field(factory=list)

    def decide(self, _request: Request, _resolution: Resolution | None) -> Deferred[Verdict]:
        """Let wait."""
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self) -> None:
        """Abstain wherever an answer is awaited."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(Verdict(Outcome.ABSTAIN, self.name))


class RateTests(ServerCase):
    """The rate policy on the real proxy server."""

    def arrange_rate(self, **settings: object) -> None:
        """Put a rate beside the rules."""
        from egress.policy.destinations import make_destinations

        self._port += 1
        self.arrange([make_destinations("rules", RULES, self.host), make_rate("pace", settings, self.host)])

    def test_requests(self) -> None:
        """Too many are answered 429 with a time, and it passes by itself."""
        self.arrange_rate(requests_per_minute=2)
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(GET * 3)

        self.assertEqual(client.received.count(b"hello"), 2)
        self.assertIn(b"HTTP/1.1 429 ", client.received)
        self.assertIn(b"Retry-After: ", client.received)
        self.network.advance(60)
        self.said(GET).heard(b"HTTP/1.1 200 ")

    def test_connections(self) -> None:
        """Only so many tunnels at once; one that ends makes room."""
        self.arrange_rate(connections=1)
        origin = self.origin(port=443)
        first = self.said(CONNECT)
        first.heard(b"HTTP/1.1 200 ")
        self.assert_refused(self.said(CONNECT), 429, "rate_limited")

        first.aborts()
        origin.peer.closes()
        self.network.settle()

        self.said(CONNECT).heard(b"HTTP/1.1 200 ")

    def test_dialling(self) -> None:
        """Requests whose origin is still dialled count, and one whose dial fails makes room."""
        self.arrange_rate(connections=2)
        self.network.blackhole(ADDRESS)
        for request in (GET, CONNECT):
            dialling = [self.said(request) for _ in range(2)]

            self.assert_refused(self.said(request), 429, "rate_limited")

            self.network.advance(self.limits.dial_seconds + 1)
            for client in dialling:
                client.heard(b"HTTP/1.1 504 ")
        self.assertEqual({}, {key: count for key, count in self.host.counters("pace").items() if count})

    def arrange_excess(self) -> tuple[list[NetworkPeer], Pending]:
        """Let five tunnels be judged at the same moment, of which two may be open."""
        pending = Pending()
        self._port += 1
        self.arrange([FixedPolicy(), make_rate("pace", {"connections": 2}, self.host), pending])
        clients = [self.said(CONNECT) for _ in range(5)]
        pending.answer()
        return clients, pending

    def test_excess_while_dialling(self) -> None:
        """What was admitted together exceeds the limit for a second at most, and is told so if it is still dialled."""
        self.network.blackhole(ADDRESS)
        clients, pending = self.arrange_excess()
        pending.answer()
        self.network.settle()
        self.assertEqual(5, len(self.network.dialled))

        self.network.advance(1)

        self.assertEqual(3, sum(b"HTTP/1.1 429 " in client.received for client in clients))
        self.assertEqual(2, self.network.open_links() - len(self.server.connections.live))

    def test_idle_excess(self) -> None:
        """Tunnels that were admitted together exceed the limit for a second at most, even if they stay idle."""
        self.origin(port=443)
        clients, pending = self.arrange_excess()
        pending.answer()
        self.network.settle()
        opened = [client for client in clients if b"HTTP/1.1 200 " in client.received]
        self.assertEqual(len(opened), 5)

        self.network.advance(1)

        self.assertEqual(sum(not client.was_reset for client in opened), 2)
        causes = [event.cause for event in self.ends() if event.refused and event.refused.rule == "connections"]
        self.assertEqual(causes, ["policy"] * (len(opened) - 2))
        self.network.advance(30)
        self.assertEqual(sum(not client.was_reset for client in opened), 2)

    def test_idle_tunnels_count(self) -> None:
        """A tunnel that has moved nothing counts as long as it is open."""
        self.arrange_rate(connections=1)
        self.origin(port=443)
        self.said(CONNECT)
        self.network.advance(30)

        self.assert_refused(self.said(CONNECT), 429, "rate_limited")

    def test_bytes(self) -> None:
        """A tunnel that carries too much is ended."""
        self.arrange_rate(bytes_per_minute=1000)
        origin = self.origin(port=443)
        client = self.said(CONNECT)

        origin.peer.says(b"x" * 5000)
        self.network.advance(3)

        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "policy")
