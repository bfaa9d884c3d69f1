"""The re-evaluation reaches every connection, even if others fail or wait."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import Refused
from egress.interfaces import IPolicy
from egress.model import Request, Resolution, Verdict
from egress.proxy.client.connection import ClientConnection
from egress.proxy.exchange import Exchange
from egress.proxy.http1.client_stream import Http1ClientStream
from egress.proxy.reload import reevaluation as reevaluate
from egress.proxy.reload.reevaluation import Reevaluation
from egress.testing.peers import NetworkPeer
from tests.proxy.reload.test_reevaluation import CONNECT, GET, OK, OTHERS, SAME, ReevaluationCase

ONLY_PLAIN = {"allow": [{"name": "plain", "hosts": ["origin.example"], "ports": [80]}]}


def fail(_: object) -> None:
    """Fail."""
    raise ZeroDivisionError


@implementer(IPolicy)
class Stubborn:
    """A policy that never answers and cannot be cancelled."""

    name = "stubborn"
    pure = False

    def decide(self, request: Request, resolution: Resolution | None) -> Deferred[Verdict]:
        """Wait."""
        return Deferred(fail)


class Broken:
    """Work that cannot be ended."""

    def client_data(self, data: bytes) -> None:
        """Do nothing."""

    def client_ended(self) -> None:
        """Do nothing."""

    def client_lost(self, reason: Failure) -> None:
        """Do nothing."""

    def expired(self) -> None:
        """Do nothing."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Fail."""
        fail(cause)


class WalkTests(ReevaluationCase):
    """One walk over ten tunnels and something odd."""

    def open_many(self) -> list[NetworkPeer]:
        """Open the tunnels."""
        self.origin(port=443)
        return [self.said(CONNECT) for _ in range(10)]

    def put(self, walk: Reevaluation, client: ClientConnection) -> None:
        """Let the walk come to a connection when it has been to five others."""
        order = [each for each in self.server.connections.live if each is not client]
        walk._clients = iter([*order[:5], client, *order[5:]])

    def test_a_request_that_is_judged_already(self) -> None:
        """A request that has to be repeated, and waits for its name under the new snapshot, does not stop the walk."""
        self.patch(reevaluate, "_SLICE", 1)
        heard: list[bytes] = []

        def hear(peer: NetworkPeer, data: bytes) -> None:
            heard.append(data)
            if len(heard) == 1:
                peer.says(OK)

        self.origin(answer=hear)
        client = self.said(GET)
        client.says(GET)
        self.network.settle()
        client.take()
        repeated = cast(ClientConnection, next(iter(self.server.connections.live)))
        tunnels = self.open_many()
        self.resolver.hold("origin.example")

        walk = self.renew(ONLY_PLAIN)
        cast(Exchange, cast(Http1ClientStream, repeated.receiver).source).origin_closed(None)
        self.put(walk, repeated)
        self.network.settle()

        self.assertEqual((10, 10, True), (walk.judged, walk.ended, walk.done.called))
        self.assertTrue(all(tunnel.was_reset for tunnel in tunnels))
        self.assertFalse(client.was_reset)
        self.resolver.answer("origin.example", "10.0.0.1")
        self.network.settle()
        self.assert_refused(client, 403, "address_refused")

    def test_a_connection_that_cannot_be_ended(self) -> None:
        """What fails to end is cut, and the others are judged."""
        tunnels = self.open_many()
        walk = self.renew(OTHERS)
        broken = cast(ClientConnection, next(iter(self.server.connections.live)))
        self.put(walk, broken)
        broken.receiver = Broken()

        self.network.settle()

        self.assertEqual((10, True), (walk.ended, walk.done.called))
        self.assertTrue(all(tunnel.was_reset for tunnel in tunnels))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_one_that_cannot_be_looked_at(self) -> None:
        """A fault of ours ends the one that it happens to, and nobody else."""
        tunnels = self.open_many()
        walk = self.renew(SAME)
        broken = cast(ClientConnection, next(iter(self.server.connections.live)))
        self.put(walk, broken)
        assert broken.transaction is not None
        broken.transaction.admission = object()  # type: ignore[assignment]

        self.network.settle()

        self.assertEqual((9, 1, True), (walk.judged, walk.ended, walk.done.called))
        self.assertEqual(1, sum(tunnel.was_reset for tunnel in tunnels))
        self.assertEqual(1, len(self.flushLoggedErrors(AttributeError)))

    def test_what_cannot_be_cancelled(self) -> None:
        """The next reload goes on, and the walk that it cuts short is over."""
        client, _ = self.open()
        first = self.renew(policies=[Stubborn()])
        self.network.settle()
        self.assertFalse(first.done.called)

        second = self.renew(OTHERS)
        self.network.settle()

        self.assertEqual((True, True), (first.done.called, second.done.called))
        self.assert_ended(client, "no_rule")
