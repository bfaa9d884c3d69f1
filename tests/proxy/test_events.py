"""Events in any order: no exception, and every connection is removed from the counts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import evolve
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import Refused
from egress.interfaces import IPolicy, IPolicyObserver
from egress.model import Client, Outcome, Request, Verdict
from egress.proxy.reload.displaced_listeners import NONE_DISPLACED, DisplacedListeners
from egress.testing import FixedPolicy
from egress.testing.peers import NetworkPeer
from tests.proxy.accounts import ALICE, Roster
from tests.proxy.reload.test_reevaluation import CONNECT, GET, OK, OTHERS, SAME, ReevaluationCase, Slow, Watcher
from tests.proxy.support import ADDRESS, RULES, SHORT

OPTIONS = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
DENIED = b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n"
POST = b"POST http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 40\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

SAYINGS = (
    GET,
    GET,
    GET,
    GET,
    GET[30:],
    GET[30:],
    GET[:-2] + b"Connection: close\r\n\r\n",
    GET[:30],
    CONNECT,
    CONNECT,
    CONNECT + b"early",
    POST,
    POST + bytes(40),
    bytes(20),
    UPGRADE,
    OPTIONS,
    OPTIONS * 40,
    OPTIONS[:-2] + b"Connection: close\r\n\r\n",
    DENIED,
    b"not a head\r\n\r\n",
    *(request[:-2] + b"Proxy-Authorization: " + ALICE + b"\r\n\r\n" for request in (GET, GET, CONNECT, OPTIONS)),
    POST[:-2] + b"Proxy-Authorization: unknown\r\n\r\n" + bytes(40),
    GET * 5,
)
ANSWERS = (
    OK,
    OK,
    OK,
    OK,
    b"HTTP/1.1 200 OK\r\nContent-Length: 66000\r\n\r\n" + bytes(66_000),
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    SWITCHED,
    CHUNKED + b"2\r\nok\r\n",
    b"0\r\n\r\n",
    b"\x00",
)
SECONDS = (0.0, 0.01, 0.01, 0.5, 1.0, 1.0, 3.0, 11.0, 41.0)


@implementer(IPolicy, IPolicyObserver)
class Impatient(Watcher):
    """Allows, and denies as soon as anything moved."""

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        """Deny."""
        return Verdict(Outcome.DENY if up + down else Outcome.ABSTAIN, self.name, reason="Enough.")


class Events(ReevaluationCase):
    """Clients, origins, reloads, deadlines and the end of the server, in random order."""

    limits = evolve(SHORT, policy_seconds=2.5, response_seconds=30, tunnel_seconds=300)

    def begin(self, seed: int) -> None:
        """Arrange a new server, and what may happen to it."""
        self.setUp()
        self.random = Random(seed)
        self.network.window_bytes = self.random.choice((64, 65_536))
        self.slow = Slow()
        self.roster = Roster(is_required=self.random.random() < 0.5, is_slow=self.random.random() < 0.5)
        if self.random.random() < 0.3:
            self.server.identifier = self.roster
        self.clients: list[NetworkPeer] = []
        self.origins = [self.origin(), self.origin(port=443)]
        self.trail: list[str] = []
        self.events: list[Callable[[], object]] = [
            self.connects,
            self.client_says,
            self.client_says,
            self.client_says,
            self.client_says,
            self.client_does,
            self.origin_says,
            self.origin_says,
            self.origin_says,
            self.origin_says,
            self.origin_does,
            self.reloads,
            self.decides,
            self.identifies,
            self.waits,
            self.steps,
            self.network_changes,
        ]

    def connects(self) -> None:
        """A client connects."""
        if len(self.clients) < 3:
            self.clients.append(self.client())

    def client_says(self) -> None:
        """A client sends something."""
        if not self.clients:
            self.connects()
        client = self.random.choice(self.clients)
        if not client._ends and not client._socket.is_closed:
            client.says(self.random.choice(SAYINGS))

    def does(self, peer: NetworkPeer) -> None:
        """A peer ends, stops or reads on."""
        self.random.choice(
            (peer.ends, peer.ends, peer.aborts, peer.closes, peer.stops_reading, peer.reads_again, peer.reads_again)
        )()

    def client_does(self) -> None:
        """A client ends, stops or reads on."""
        if self.clients:
            client = self.random.choice(self.clients)
            self.does(client)
            if client.is_closed:
                self.clients.remove(client)

    def heard(self) -> NetworkPeer | None:
        """Choose an open connection of an origin."""
        peers = [peer for origin in self.origins for peer in origin.peers if not peer.is_closed]
        return self.random.choice(peers) if peers else None

    def origin_says(self) -> None:
        """An origin sends something."""
        peer = self.heard()
        if peer is not None and not peer._ends and not peer._socket.is_closed:
            peer.says(self.random.choice(ANSWERS))

    def origin_does(self) -> None:
        """An origin ends, stops or reads on."""
        peer = self.heard()
        if peer is not None:
            self.does(peer)

    def reloads(self) -> None:
        """A reload allows, refuses, waits or removes the listener."""
        deny, impatient = FixedPolicy("deny", Outcome.DENY), Impatient("impatient")
        watching: list[list[IPolicy] | None] = [[Watcher("watcher")], [impatient]]
        choices = [None, None, None, None, [self.slow], [deny], *watching]
        policies = self.random.choice(choices)
        displaced = self.random.choice(
            (
                NONE_DISPLACED,
                NONE_DISPLACED,
                NONE_DISPLACED,
                NONE_DISPLACED,
                DisplacedListeners(lost=frozenset({"agents"})),
                DisplacedListeners(moved=frozenset({"agents"})),
            )
        )
        self.renew(self.random.choice((SAME, RULES, SAME, RULES, OTHERS)), policies, displaced)

    def decides(self) -> None:
        """A slow policy answers."""
        waiting = self.slow.waiting
        while waiting and waiting[0].called:
            waiting.pop(0)
        if waiting:
            self.slow.say(self.random.choice((Outcome.ALLOW, Outcome.DENY)))

    def identifies(self) -> None:
        """The credentials of the oldest waiting request are accepted or refused."""
        pending = self.roster.pending
        while pending and pending[0].called:
            pending.pop(0)
        if pending:
            answer = self.random.choice((Client("alice"), Failure(Refused("credentials_refused", "Unknown."))))
            pending.pop(0).callback(answer)

    def waits(self) -> None:
        """Time passes."""
        self.network.advance(self.random.choice(SECONDS))

    def steps(self) -> None:
        """A few things happen, events of sockets before timers."""
        for _ in range(self.random.randrange(8)):
            if self.network._kernel.is_idle:
                break
            self.network._kernel.turn()

    def network_changes(self) -> None:
        """Dials and look-ups take longer or not."""
        self.random.choice(
            (
                lambda: self.network.delay(ADDRESS, self.random.choice((0.0, 0.5, 1.0))),
                lambda: self.resolver.hold("origin.example"),
                lambda: self.resolver.answer("origin.example", ADDRESS),
                lambda: self.resolver.answer("origin.example", ADDRESS),
            )
        )()

    def finish(self) -> None:
        """Stop or drain the server, and assert that nothing is left."""
        if self.random.random() < 0.5:
            drained = self.server.drain()
            for _ in range(self.random.randrange(6)):
                self.random.choice(self.events[1:])()
            self.network.advance(9)
            self.successResultOf(drained)
        self.server.stop()
        for peer in [*self.clients, *(peer for origin in self.origins for peer in origin.peers)]:
            if not peer._socket.is_closed:
                peer.aborts()
        self.network.advance(60)
        self.assertEqual((set(), {}), (self.server.connections.live, self.server.connections.per_client))
        self.network.assert_quiet()
        ids = [event.request.id for event in self.ends() if event.request is not None]
        self.assertEqual(len(ids), len(set(ids)))

    def test_random_order(self) -> None:
        """No event fails in any state; each request ends once, and no connection, timer or count is left."""
        for seed in range(SEEDS):
            self.begin(seed)
            try:
                for _ in range(self.random.randrange(5, 80)):
                    event = self.random.choice(self.events)
                    self.trail.append(event.__name__)
                    event()
                    if self.random.random() < 0.6:
                        self.network.settle()
                self.finish()
                self.assertEqual([], self.flushLoggedErrors())
            except Exception as error:
                raise AssertionError(f"seed {seed}, after {self.trail[-12:]}") from error


SEEDS = 150
