"""How the proxy server tells observers, takes a new configuration, and stops."""

from __future__ import annotations

from typing import cast

from attrs import define

from egress.errors import Refused
from egress.model import Outcome, Verdict
from egress.proxy.limits import Limits
from egress.proxy.roles import LiveConnection
from tests.proxy.reload.test_reevaluation import SAME, ReevaluationCase
from tests.proxy.support import ServerCase
from tests.proxy.test_observers import Listener, ObserverCase
from tests.proxy.tunnel.support import CONNECT


class Stopping(ServerCase):
    """SIGTERM."""

    limits = Limits(drain_seconds=10)

    def test_drain(self) -> None:
        """What runs is served to its end, idle connections close, and then it is over."""
        origin = self.origin()
        idle = self.said(b"")
        client = self.said(b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\n\r\n")

        over = self.server.drain()
        self.network.settle()
        self.assertTrue(idle.saw_eof)
        self.assertNoResult(over)
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.network.settle()

        self.assertTrue(client.received.endswith(b"Connection: close\r\n\r\nok"), client.received)
        self.successResultOf(over)

    def test_drain_ends(self) -> None:
        """What does not end by itself is ended, and the record says why."""
        self.origin(port=443)
        client = self.said(b"CONNECT origin.example:443 HTTP/1.1\r\nHost: a\r\n\r\n")

        over = self.server.drain()
        self.network.advance(11)

        self.successResultOf(over)
        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "stopping")

    def test_new_connections_are_told(self) -> None:
        """Whoever still comes is told."""
        self.server.connections.is_stopping = True

        self.assert_refused(self.said(b""), 503, "stopping")


@define(eq=False)
class Faulty:
    """A connection that fails where its request is observed and ended."""

    @property
    def transaction(self) -> Faulty:
        """Be the transaction too."""
        return self

    def observe(self) -> Verdict | None:
        """Fail."""
        raise RuntimeError("observe")

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Fail."""
        raise RuntimeError("end")


class Observing(ObserverCase):
    """One connection after the other, once a second."""

    def test_others_keep_their_turn(self) -> None:
        """Requests with a failing observer keep no other observer uninformed and no other request alive."""
        self._port += 1
        bad = Listener("bad", port=8443)
        self.policy.verdict = Verdict(Outcome.DENY, "listener", "r", "Enough.")
        self.arrange([bad, self.policy])
        self.origin(port=443), self.origin(port=8443)
        failing = [self.said(CONNECT.replace(b":443", b":8443")) for _ in range(4)]
        good = self.said(CONNECT)
        bad.verdict = cast("Verdict", "DENY")

        for client in (*failing, good):
            client.says(b"12")
        self.network.advance(2)

        self.assertTrue(good.was_reset)
        self.assertTrue(all(client.was_reset for client in failing))
        self.assertEqual([event.cause for event in self.ends()], ["policy"] * 5)
        self.assertEqual(self.policy.heard.count("moved 2 0"), 5)

    def test_proxy_fault(self) -> None:
        """A fault of the proxy itself on one connection does not keep the observers from the others."""
        self.origin(port=443)
        client = self.said(CONNECT)
        self.policy.verdict = Verdict(Outcome.DENY, "listener", "r", "Enough.")
        faulty = {cast("LiveConnection", Faulty()) for _ in range(20)}
        self.server.connections.live |= faulty

        client.says(b"12")
        self.network.advance(1)

        self.assertTrue(client.was_reset)
        self.server.connections.live -= faulty
        self.assertGreaterEqual(len(self.flushLoggedErrors(RuntimeError)), 40)


class Renewal(ReevaluationCase):
    """A new configuration."""

    def test_new_limits(self) -> None:
        """Limits hold from the next request on."""
        self.limits = Limits(target_bytes=256)
        self.renew(SAME)

        client = self.said(b"GET http://origin.example/" + b"x" * 300 + b" HTTP/1.1\r\nHost: origin.example\r\n\r\n")

        self.assert_refused(client, 414, "target_too_long")
