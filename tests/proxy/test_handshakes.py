"""TLS handshakes: the shares of clients, and their turns."""

from __future__ import annotations

from itertools import pairwise

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import Refused
from egress.model import Client
from egress.proxy.handshakes import Handshakes
from egress.proxy.limits import Limits
from egress.timing.turn_queue import TURN_SECONDS

ALICE, BOB = Client("agents/alice"), Client("agents/bob")
COST_SECONDS = TURN_SECONDS * 0.75


@define(eq=False)
class FakeHandshake:
    """A handshake that costs time.

    Attributes:
        refusals: the refusals with which it was displaced.
        proceeded_at: the times of its turns.
    """

    client: Client
    clock: Clock
    handshakes: Handshakes
    listener: str = "agents"
    refusals: list[str] = field(factory=list)
    proceeded_at: list[float] = field(factory=list)

    def proceed(self) -> None:
        """Take time."""
        self.proceeded_at.append(self.clock.seconds())
        self.clock.rightNow += COST_SECONDS

    def displaced(self, refused: Refused) -> None:
        """Fail."""
        self.refusals.append(refused.code)
        self.end("refused", refused)

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End."""
        self.handshakes.remove(self)


class HandshakesTests(SynchronousTestCase):
    """Handshakes of two clients."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.handshakes = Handshakes(Limits(handshakes=6, handshakes_per_client=4), self.clock)

    def begin(self, client: Client, number: int, is_waiting: bool = True) -> list[FakeHandshake]:
        """Start handshakes, whose first octets are here."""
        begun = [FakeHandshake(client, self.clock, self.handshakes) for _ in range(number)]
        for each in begun:
            self.handshakes.start(each)
            if is_waiting:
                self.handshakes.wait(each)
        return begun

    def settle(self) -> None:
        """Run until nothing is left to do."""
        while self.clock.getDelayedCalls():
            self.clock.advance(0)

    def test_own_share(self) -> None:
        """A client at its limit loses its own oldest handshake, and no other client loses one."""
        bob = self.begin(BOB, 1)
        alice = self.begin(ALICE, 6)

        self.assertEqual([["too_many_connections"]] * 2 + [[]] * 4, [each.refusals for each in alice])
        self.assertEqual([], bob[0].refusals)
        self.assertEqual(5, self.handshakes.count)

    def test_all(self) -> None:
        """At the limit of all, the client with most handshakes loses one, whoever begins another."""
        alice, bob = self.begin(ALICE, 4), self.begin(BOB, 2)
        others = [self.begin(Client(f"agents/{number}"), 1)[0] for number in range(3)]

        self.assertEqual([["busy"]] * 3 + [[]], [each.refusals for each in alice])
        self.assertEqual([[], []], [each.refusals for each in bob])
        self.assertEqual([[]] * 3, [each.refusals for each in others])
        self.assertEqual(6, self.handshakes.count)

    def test_turns(self) -> None:
        """A client waits for one handshake of another client, however many that client has."""
        self.handshakes.limits = Limits()
        alice = self.begin(ALICE, 100)
        bob = self.begin(BOB, 2)

        self.settle()

        self.assertEqual([1, 3], [round(each.proceeded_at[0] / COST_SECONDS) for each in bob])
        self.assertEqual([1] * 100, [len(each.proceeded_at) for each in alice])

    def test_bounded(self) -> None:
        """An iteration of the reactor has time for few handshakes; other work is done between them."""
        self.handshakes.limits = Limits()
        alice = self.begin(ALICE, 20)
        seen: list[int] = []

        def work() -> None:
            seen.append(sum(len(each.proceeded_at) for each in alice))
            if seen[-1] < len(alice):
                self.clock.callLater(0, work)

        self.clock.callLater(0, work)
        self.settle()

        self.assertLessEqual(max(after - before for before, after in pairwise(seen)), 2)

    def test_again(self) -> None:
        """A handshake whose further octets arrive waits for its client's turn again."""
        (alice,) = self.begin(ALICE, 1)
        self.settle()
        self.handshakes.wait(alice)
        self.settle()

        self.assertEqual(2, len(alice.proceeded_at))

    def test_removed(self) -> None:
        """A handshake that is over does not proceed, and nothing is left of it."""
        alice = self.begin(ALICE, 3)
        alice[0].end("refused")
        alice[2].end("refused")
        alice[2].end("refused")
        self.settle()
        self.assertEqual([0, 1, 0], [len(each.proceeded_at) for each in alice])
        self.assertEqual(1, self.handshakes.count)

        alice[1].end("complete")

        self.assertEqual((0, {}), (self.handshakes.count, self.handshakes._clients))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_over_within_a_turn(self) -> None:
        """A handshake may end others while it proceeds."""
        alice = self.begin(ALICE, 3)

        def end_all() -> None:
            for each in alice:
                each.end("stopping")

        self.patch(FakeHandshake, "proceed", lambda _self: end_all())
        self.settle()

        self.assertEqual((0, {}), (self.handshakes.count, self.handshakes._clients))
