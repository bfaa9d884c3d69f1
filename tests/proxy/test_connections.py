"""The counts of client connections."""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import Refused
from egress.model import Client
from egress.proxy.connections import Connections
from egress.proxy.limits import Limits
from egress.proxy.roles import ClientReceiver, Displacement, LiveTransaction


@define(eq=False)
class Counted:
    """A client connection that is only counted.

    Attributes:
        ends: the causes that it was ended with.
    """

    client: Client
    listener: str = "agents"
    displacement: Displacement | None = None
    receiver: ClientReceiver | None = None
    transaction: LiveTransaction | None = None
    ends: list[str] = field(factory=list)

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Note the cause."""
        self.ends.append(cause)

    def drain(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""

    def renew_limits(self) -> None:
        """Do nothing."""


ALICE, BOB = Client("alice"), Client("bob")


class ConnectionsTests(SynchronousTestCase):
    """Who is connected, and how many may be."""

    def setUp(self) -> None:
        self.connections = Connections(Limits(connections=3, connections_per_client=2))

    def assert_code(self, code: str, refused: Refused | None) -> None:
        """Assert a refusal; "" for none."""
        self.assertEqual(code, "" if refused is None else refused.code)

    def test_per_client(self) -> None:
        """Connections of a client beyond its limit are refused, both kinds together; each counts until it closes."""
        first, second, third = Counted(ALICE), Counted(ALICE), Counted(ALICE)

        self.assert_code("", self.connections.add_live(first))
        self.assert_code("", self.connections.add_handshaking(second))
        self.assert_code("too_many_connections", self.connections.add_live(third))

        self.assertEqual({"alice": 3}, self.connections.per_client)
        self.connections.remove_live(third)
        self.connections.remove_handshaking(second)
        self.connections.remove_live(first)
        self.assertEqual(({}, set(), set()), self.left())

    def left(self) -> tuple[dict[str, int], set[object], set[object]]:
        """Give the counts."""
        connections = self.connections
        return connections.per_client, set(connections.live), set(connections.handshaking)

    def test_ceiling(self) -> None:
        """Connections beyond the limit of all are refused."""
        for number in range(3):
            self.assert_code("", self.connections.add_live(Counted(Client(f"client-{number}"))))

        self.assert_code("busy", self.connections.add_live(Counted(ALICE)))
        self.assert_code("busy", self.connections.add_handshaking(Counted(BOB)))

    def test_stopping(self) -> None:
        """A server that stops serves no new connection, and counts it nevertheless."""
        self.connections.is_stopping = True

        self.assert_code("stopping", self.connections.add_live(Counted(ALICE)))
        self.assertEqual({"alice": 1}, self.connections.per_client)

    def test_new_limits(self) -> None:
        """Limits of a reload apply to the next connection."""
        self.connections.add_live(Counted(ALICE))
        self.connections.limits = Limits(connections=1, connections_per_client=1)

        self.assert_code("busy", self.connections.add_live(Counted(BOB)))

    def test_move(self) -> None:
        """A connection counts for the client of its latest request, as far as that may have another one."""
        first, second, third = Counted(ALICE), Counted(ALICE), Counted(BOB)
        for connection in (first, second, third):
            self.connections.add_live(connection)

        self.assert_code("", self.connections.move(first, BOB))
        self.assertEqual((BOB, {"alice": 1, "bob": 2}), (first.client, self.connections.per_client))
        self.assert_code("too_many_connections", self.connections.move(second, BOB))
        self.assertEqual((ALICE, {"alice": 1, "bob": 2}), (second.client, self.connections.per_client))

    def test_move_to_the_client_itself(self) -> None:
        """A client at its limit keeps its connections, and the labels are those of the latest request."""
        first = Counted(ALICE)
        self.connections.add_live(first)
        self.connections.add_live(Counted(ALICE))
        labelled = Client("alice", frozenset({"address:127.0.0.1"}))

        self.assert_code("", self.connections.move(first, labelled))

        self.assertIs(labelled, first.client)
        self.assertEqual({"alice": 2}, self.connections.per_client)

    def test_never_counted_in(self) -> None:
        """A connection that was not counted in is not counted out."""
        self.connections.add_live(Counted(ALICE))

        self.connections.remove_live(Counted(ALICE))

        self.assertEqual({"alice": 1}, self.connections.per_client)

    def test_end_all(self) -> None:
        """Connections of both kinds are ended."""
        live, shaking = Counted(ALICE), Counted(BOB)
        self.connections.add_live(live)
        self.connections.add_handshaking(shaking)

        self.connections.end_all("stopping")

        self.assertEqual((["stopping"], ["stopping"]), (live.ends, shaking.ends))

    def test_when_empty(self) -> None:
        """The Deferred fires once the last connection of either kind is gone; at once where there is none."""
        self.successResultOf(self.connections.when_empty())
        live, shaking = Counted(ALICE), Counted(BOB)
        self.connections.add_live(live)
        self.connections.add_handshaking(shaking)
        emptied = self.connections.when_empty()

        self.connections.remove_live(live)
        self.assertNoResult(emptied)
        self.connections.remove_handshaking(shaking)

        self.successResultOf(emptied)

    def test_give_up_waiting(self) -> None:
        """The Deferred can be fired before, and then fires once."""
        live = Counted(ALICE)
        self.connections.add_live(live)
        emptied = self.connections.when_empty()

        self.connections.give_up_waiting()
        self.connections.give_up_waiting()
        self.connections.remove_live(live)

        self.successResultOf(emptied)
