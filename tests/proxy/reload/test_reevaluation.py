"""Re-evaluation after a reload: refused requests end, allowed requests continue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from egress.errors import NameNotFound, Refused
from egress.gate.own_addresses import OwnAddresses
from egress.interfaces import IPolicy, IPolicyObserver
from egress.model import Admission, AuditEvent, Authority, Hop, Outcome, Request, Resolution, RoutePlan, Verdict
from egress.policy.destinations import make_destinations
from egress.policy.guard import Guard, GuardSettings
from egress.policy.rate import make_rate
from egress.proxy.reload import reevaluation as reevaluate
from egress.proxy.reload.displaced_listeners import NONE_DISPLACED, DisplacedListeners
from egress.proxy.reload.reevaluation import Reevaluation
from egress.testing import FixedPolicy
from egress.testing.peers import NetworkPeer, Origin
from egress.upstream import DirectSelector
from tests.proxy.support import ADDRESS, OTHER, RULES, ServerCase

CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
GET = b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
OTHERS = {"allow": [{"name": "others", "hosts": ["other.example"]}]}
SAME = {"allow": [{"name": "renamed", "hosts": ["origin.example"], "ports": ["1-65535"]}]}


@implementer(IPolicy)
@define(eq=False)
class Slow:
    """Decides when the test does."""

    name: str = "slow"
    pure: bool = False
    waiting: list[Deferred[Verdict]] = field(factory=list)
    cancelled: list[Deferred[Verdict]] = field(factory=list)

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict | Deferred[Verdict]:
        """Wait, if there is time for it."""
        if resolution is not None:
            return Verdict(Outcome.ALLOW, self.name)
        waiting: Deferred[Verdict] = Deferred(self.cancelled.append)
        self.waiting.append(waiting)
        return waiting

    def say(self, outcome: Outcome) -> None:
        """Decide about the one that has waited the longest."""
        self.waiting.pop(0).callback(Verdict(outcome, self.name, reason="It was said so."))


@implementer(IPolicy, IPolicyObserver)
@define(eq=False)
class Watcher:
    """Allows, and writes down what it hears."""

    name: str
    heard: list[str] = field(factory=list)
    pure: bool = True

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Allow."""
        return Verdict(Outcome.ALLOW, self.name)

    def started(self, request: Request, admission: Admission) -> None:
        """Write it down."""
        self.heard.append("started")

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        """Write it down."""
        self.heard.append(f"moved {up} {down}")
        return None

    def ended(self, record: AuditEvent) -> None:
        """Write it down."""
        self.heard.append(f"ended {record.cause}")


class NothingDirect(DirectSelector):
    """Refuses every request."""

    def select(self, request: Request) -> RoutePlan:
        """Refuse."""
        raise Refused("direct_refused", "Nothing goes direct.")


class ThroughProxy(DirectSelector):
    """Sends every request through a proxy.

    Args:
        is_direct_allowed: whether what goes direct already may go on.
    """

    def __init__(self, is_direct_allowed: bool) -> None:
        self._is_direct_allowed = is_direct_allowed

    def select(self, request: Request) -> RoutePlan:
        """Choose the proxy."""
        return RoutePlan("corp", "system", hops=(Hop("corp", "http", Authority("proxy.example", 3128)),))

    def check_direct(self) -> None:
        """Say what may go on."""
        if not self._is_direct_allowed:
            raise Refused("direct_refused", "Nothing goes direct.")


class ReevaluationCase(ServerCase):
    """Arranges reloads."""

    def renew(
        self,
        rules: dict[str, Any] | None = None,
        policies: Iterable[IPolicy] | None = None,
        displaced: DisplacedListeners = NONE_DISPLACED,
        **parts: Any,
    ) -> Reevaluation:
        """Put a new snapshot in place.

        Args:
            rules: of its only policy.
            policies: in its place.
            displaced: listeners that are not what they were.
            parts: further parts of the snapshot.

        Returns:
            The walk over what is under way, which has not begun.
        """
        old = self.gate.snapshot
        made = tuple(policies) if policies is not None else (make_destinations("rules", rules or RULES, self.host),)
        settings: dict[str, Any] = {
            "generation": old.generation + 1,
            "policies": made,
            "guard": old.guard,
            "resolver": old.resolver,
            "hop_resolver": old.hop_resolver,
            "selector": old.selector,
            "agent": old.agent,
            "own": old.own,
            "proxies": old.proxies,
        }
        settings.update(parts)
        walks: list[Reevaluation] = []
        done = self.server.renew(
            type(old)(**settings), self.server.identifier, self.limits, self.tls, self.http, displaced
        )
        done.addCallback(walks.append)
        walk = self.server._reevaluation
        assert walk is not None
        return walk

    def open(self) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel."""
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        client.heard(ESTABLISHED)
        client.take()
        return client, origin

    def assert_ended(self, client: NetworkPeer, code: str) -> tuple[AuditEvent, Refused]:
        """Assert that a tunnel was ended by a policy, and give its record."""
        self.assertTrue(client.was_reset)
        record = self.ends()[-1]
        assert record.refused is not None
        self.assertEqual(("refused", "policy", code), (record.event, record.cause, record.refused.code))
        return record, record.refused

    def assert_lives(self, client: NetworkPeer, origin: Origin) -> None:
        """Assert that bytes go both ways."""
        self.assertEqual([], self.ends())
        client.says(b"ping")
        origin.peer.says(b"pong")
        self.network.settle()
        origin.heard(contains=b"ping")
        client.heard(b"pong")


class Tunnels(ReevaluationCase):
    """Tunnels that stand."""

    def test_newly_denied(self) -> None:
        """A tunnel to a host that no rule allows any more ends, and the record says that a policy ended it."""
        client, origin = self.open()

        walk = self.renew(OTHERS)
        self.network.settle()

        record, _ = self.assert_ended(client, "no_rule")
        self.assertTrue(origin.peer.was_reset)
        # What let it in is still told; what ended it too.
        assert record.admission is not None
        self.assertEqual(("example", 1), (record.admission.verdict.rule, record.admission.generation))
        self.assertEqual((1, 1), (walk.judged, walk.ended))

    def test_still_allowed(self) -> None:
        """A tunnel that another rule allows lives on, and nothing is looked up or dialled again."""
        client, origin = self.open()

        walk = self.renew(SAME)
        self.network.settle()

        self.assertEqual((1, 0), (walk.judged, walk.ended))
        self.assertEqual(["origin.example"], self.resolver.asked)
        self.assertEqual([(ADDRESS, 443)], self.network.dialled)
        self.assert_lives(client, origin)

    def test_the_same_answer_many_times(self) -> None:
        """Each reload asks again."""
        client, origin = self.open()
        for _ in range(3):
            walk = self.renew(SAME)
            self.network.settle()
            self.assertEqual(1, walk.judged)
        self.assert_lives(client, origin)

        self.renew(OTHERS)
        self.network.settle()

        self.assert_ended(client, "no_rule")

    def test_half_open(self) -> None:
        """A tunnel of which one direction has ended is judged like any other."""
        client, origin = self.open()
        client.ends()
        self.network.settle()
        self.assertTrue(origin.peer.saw_eof)

        self.renew(OTHERS)
        self.network.settle()

        self.assert_ended(client, "no_rule")

    def test_in_its_client_hello(self) -> None:
        """A tunnel whose ClientHello has only begun is judged, too."""
        client, _ = self.open()
        client.says(b"\x16\x03\x01\x02\x00\x01")
        self.network.settle()

        self.renew(OTHERS)
        self.network.settle()

        self.assert_ended(client, "no_rule")

    def test_a_name_that_is_gone(self) -> None:
        """A tunnel does not end because its name no longer resolves."""
        client, origin = self.open()
        self.resolver.answer("origin.example", NameNotFound("gone"))

        self.renew(SAME)
        self.network.settle()

        self.assert_lives(client, origin)

    def test_the_address_that_was_dialled(self) -> None:
        """A rule about addresses ends the tunnels that lead there, and no others of the same name."""
        self.resolver.answer("origin.example", (ADDRESS, OTHER))
        client, origin = self.open()
        deny = {**SAME, "deny": [{"name": "network", "hosts": [f"{OTHER}/32"], "ports": ["1-65535"]}]}

        self.renew(deny)
        self.network.settle()
        self.assert_lives(client, origin)
        self.renew({**deny, "deny": [{"name": "network", "hosts": [f"{ADDRESS}/32"], "ports": ["1-65535"]}]})
        self.network.settle()

        self.assertEqual("network", self.assert_ended(client, "denied")[1].rule)

    def test_the_guard(self) -> None:
        """A tunnel to an address that is not public ends once the guard is on."""
        self.resolver.answer("origin.example", "10.0.0.1")
        self.gate.snapshot = evolve(self.gate.snapshot, guard=Guard(GuardSettings(enabled=False)))
        self.origin("10.0.0.1", 443)
        client = self.said(CONNECT)
        client.heard(ESTABLISHED)

        self.renew(SAME, guard=Guard(GuardSettings()))
        self.network.settle()

        self.assert_ended(client, "address_refused")

    def test_ourselves(self) -> None:
        """A tunnel to where a new listener of ours is now ends."""
        client, _ = self.open()

        self.renew(SAME, own=OwnAddresses(((ADDRESS, 443),)))
        self.network.settle()

        self.assert_ended(client, "own_address")

    def test_a_route_that_refuses(self) -> None:
        """A tunnel whose route is refused now ends."""
        client, _ = self.open()

        self.renew(SAME, selector=NothingDirect())
        self.network.settle()

        self.assert_ended(client, "direct_refused")

    def test_another_route(self) -> None:
        """A tunnel that goes direct stays though new ones go through a proxy, and ends where direct is forbidden."""
        client, origin = self.open()

        self.renew(SAME, selector=ThroughProxy(is_direct_allowed=True))
        self.network.settle()
        self.assert_lives(client, origin)
        self.renew(SAME, selector=ThroughProxy(is_direct_allowed=False))
        self.network.settle()

        self.assert_ended(client, "direct_refused")

    def test_many_in_slices(self) -> None:
        """Thousands of tunnels are judged a few in each turn of the reactor, and all of them are."""
        self.patch(reevaluate, "_SLICE", 3)
        self.origin(port=443)
        clients = [self.said(CONNECT) for _ in range(10)]

        walk = self.renew(OTHERS)
        self.assertEqual(0, walk.judged)
        self.network.settle()

        self.assertEqual((10, 10), (walk.judged, walk.ended))
        self.assertEqual(["policy"] * 10, [record.cause for record in self.ends()])
        self.assertTrue(all(client.was_reset for client in clients))
        self.assertEqual(0, len(self.server.connections.live))


class Observers(ReevaluationCase):
    """Policies that watch and count."""

    def test_the_old_snapshot_still_hears(self) -> None:
        """Who was told of a tunnel's start hears of its bytes and its end; who comes later is not told of it."""
        old, new = Watcher("old"), Watcher("new")
        self.arrange_anew([old])
        client, _ = self.open()

        self.renew(policies=[new])
        self.network.settle()
        client.says(b"12345")
        self.network.settle()
        self.network.advance(1.0)
        client.aborts()
        self.network.settle()

        self.assertEqual(["started", "moved 5 0", "ended client_reset"], old.heard)
        self.assertEqual([], new.heard)

    def test_the_old_snapshot_still_hears_where_nobody_else_does(self) -> None:
        """The same where the new snapshot has no observers at all."""
        old = Watcher("old")
        self.arrange_anew([old])
        client, _ = self.open()

        self.renew(SAME)
        self.network.settle()
        client.says(b"123")
        self.network.settle()
        self.network.advance(1.0)

        self.assertEqual(["started", "moved 3 0"], old.heard)

    def test_nothing_is_counted_twice(self) -> None:
        """A limit of requests is not used up by judging again, and a full one ends nothing."""
        settings = {"requests_per_minute": 2, "connections": 2}
        allow = FixedPolicy("allow")
        self.arrange_anew([allow, make_rate("rate", settings, self.host)])
        first, _ = self.open()
        second = self.said(CONNECT)
        second.heard(ESTABLISHED)

        for _ in range(5):
            self.renew(policies=[allow, make_rate("rate", settings, self.host)])
            self.network.settle()

        self.assertEqual(([], 2), (self.ends(), len(self.server.connections.live)))
        self.assert_refused(self.said(CONNECT), 429, "rate_limited")
        second.aborts()
        first.aborts()
        self.network.settle()
        self.assertEqual({}, {key: value for key, value in self.host.counters("rate").items() if "open" in key})

    def test_a_new_limit(self) -> None:
        """A limit that is new ends nothing that came before it."""
        client, origin = self.open()
        peer = origin.peer
        self.said(CONNECT).heard(ESTABLISHED)
        origin.peers.append(peer)

        self.renew(policies=[FixedPolicy("allow"), make_rate("rate", {"connections": 1}, self.host)])
        self.network.settle()

        self.assert_lives(client, origin)

    def arrange_anew(self, policies: list[IPolicy]) -> None:
        """Let these policies have judged from the start."""
        self._port += 1
        self.arrange(policies)


class LatePolicies(ReevaluationCase):
    """Policies that answer later."""

    def test_it_lives_until_it_is_decided(self) -> None:
        """A tunnel lives on while a policy thinks about it, and ends when that denies."""
        client, _ = self.open()
        slow = Slow()

        walk = self.renew(policies=[slow])
        self.network.settle()
        self.assertEqual(([], False), (self.ends(), walk.done.called))
        slow.say(Outcome.DENY)
        self.network.settle()

        self.assertEqual("It was said so.", self.assert_ended(client, "denied")[1].reason)
        self.assertTrue(walk.done.called)

    def test_it_stays(self) -> None:
        """The same where it allows."""
        client, origin = self.open()
        slow = Slow()

        walk = self.renew(policies=[slow])
        self.network.settle()
        slow.say(Outcome.ALLOW)
        self.network.settle()

        self.assertTrue(walk.done.called)
        self.assert_lives(client, origin)

    def test_too_late(self) -> None:
        """A policy that does not answer in time has denied."""
        client, _ = self.open()

        self.renew(policies=[Slow()])
        self.network.settle()
        self.network.advance(self.limits.policy_seconds)

        self.assert_ended(client, "policy_failed")

    def test_the_client_leaves_meanwhile(self) -> None:
        """A tunnel that ends by itself is asked about no more, and has one record."""
        client, _ = self.open()
        slow = Slow()
        walk = self.renew(policies=[slow])
        self.network.settle()

        client.aborts()
        self.network.settle()

        self.assertEqual(["client_reset"], [record.cause for record in self.ends()])
        self.assertEqual(1, len(slow.cancelled))
        self.assertTrue(walk.done.called)

    def test_another_snapshot_meanwhile(self) -> None:
        """What the last snapshot but one was asked is forgotten; the last one decides."""
        client, origin = self.open()
        slow = Slow()
        first = self.renew(policies=[slow])
        self.network.settle()

        second = self.renew(SAME)
        self.network.settle()

        self.assertTrue(first.done.called)
        self.assertEqual((1, 0), (second.judged, second.ended))
        self.assert_lives(client, origin)

    def test_no_more_than_so_many_at_once(self) -> None:
        """A policy that answers later is asked about a bounded number at a time."""
        self.patch(reevaluate, "_PENDING", 2)
        self.origin(port=443)
        for _ in range(5):
            self.said(CONNECT)
        slow = Slow()

        walk = self.renew(policies=[slow])
        self.network.settle()
        self.assertEqual(2, len(slow.waiting))
        while slow.waiting:
            slow.say(Outcome.ALLOW)
            self.network.advance(0.1)

        self.assertTrue(walk.done.called)
        self.assertEqual(([], 5), (self.ends(), walk.judged))

    def test_the_end_of_everything(self) -> None:
        """Stopping in the middle of it leaves nothing behind."""
        self.open()
        self.renew(policies=[Slow()])
        self.network.settle()

        self.server.stop()
        self.network.settle()

        self.assertEqual(["stopping"], [record.cause for record in self.ends()])


class Exchanges(ReevaluationCase):
    """Plain requests."""

    def test_a_long_answer(self) -> None:
        """An answer that is under way ends where its request is refused now."""
        origin = self.origin()
        client = self.said(GET)
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        self.network.settle()

        self.renew(OTHERS)
        self.network.settle()

        self.assert_ended(client, "no_rule")

    def test_stale_before_it_is_sent(self) -> None:
        """A request is not sent where the new snapshot refuses it, and is told so."""
        origin = self.origin()
        self.network.delay(ADDRESS, 1.0)
        client = self.said(GET)

        self.renew(OTHERS)
        self.network.advance(1.0)

        self.assert_refused(client, 403, "no_rule")
        self.assertEqual(b"", origin.peer.received)

    def test_a_kept_alive_client(self) -> None:
        """The next request on a connection that stood before is judged by the new snapshot."""
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)
        client.heard(OK[:12])
        client.take()

        self.renew(OTHERS)
        self.network.settle()
        client.says(GET)
        self.network.settle()

        self.assert_refused(client, 403, "no_rule")
        self.assertEqual(1, len(origin.peers))
