"""How the proxy server tells observers, takes a new configuration, and stops."""

from __future__ import annotations

import time
from operator import attrgetter
from typing import cast

from attrs import define, evolve

from egress.errors import Refused
from egress.model import Outcome, Verdict
from egress.proxy.limits import Limits, TlsSettings
from egress.proxy.roles import LiveConnection
from egress.proxy.server import ProxyServer
from tests.proxy.accounts import Roster
from tests.proxy.reload.test_reevaluation import GET, SAME, ReevaluationCase, Slow
from tests.proxy.support import ServerCase
from tests.proxy.test_observers import Listener, ObserverCase
from tests.proxy.tunnel.support import CONNECT, hello


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

    def test_nothing_to_drain(self) -> None:
        """Without connections a drain is over at once, and no timer is left."""
        self.successResultOf(self.server.drain())
        self.server.stop()

        self.network.assert_quiet()
        self.assertEqual(0, self.server.reached["drain_seconds"])

    def test_idle_origin_connections(self) -> None:
        """A drain closes them, and a request that still runs leaves none."""
        idle = self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 204 No Content\r\n\r\n"))
        running = self.origin(port=443)
        self.said(GET)
        client = self.said(GET.replace(b".example/", b".example:443/"))
        self.assertEqual(1, len(self.server.pool))

        over = self.server.drain()
        self.network.settle()
        self.assertEqual(0, len(self.server.pool))
        self.assertTrue(idle.peer.saw_eof)
        running.peer.says(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.network.settle()

        client.heard(b"HTTP/1.1 204 ")
        self.successResultOf(over)

    def test_drained_in_time(self) -> None:
        """What ends by itself within the time is not counted as a limit that was reached."""
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        over = self.server.drain()
        self.assertNoResult(over)

        client.closes()
        origin.peer.closes()
        self.network.settle()
        self.successResultOf(over)
        self.network.advance(60)

        self.assertEqual(0, self.server.reached["drain_seconds"])

    def test_stop(self) -> None:
        """A server that is stopped resets what is open, records it, and leaves no connection and no timer."""
        self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 204 No Content\r\n\r\n"))
        self.origin(port=443)
        clients = [self.said(b""), self.said(GET), self.said(CONNECT)]

        self.server.stop()
        self.server.stop()
        self.network.settle()

        self.assertTrue(all(client.was_reset for client in clients))
        self.assertEqual(["complete", "stopping"], [each.cause for each in self.ends()])
        for client in clients:
            client.aborts()
        self.network.assert_quiet()


class Ids(ServerCase):
    """Ids of requests and connections."""

    def test_unique(self) -> None:
        """No two requests and no two connections have one id; all ids begin with what stands for this run."""
        ids = {make() for make in (self.server.request_id, self.server.connection_id) for _ in range(300)}

        self.assertEqual(600, len(ids))
        self.assertTrue(all(each.startswith(f"{self.server.boot}-") for each in ids))

    def test_run(self) -> None:
        """A run is named after its beginning, in milliseconds since the epoch."""
        before = time.time_ns() // 1_000_000
        made = ProxyServer(self.gate, self.server.identifier, self.audit_log, self.server.clock)

        self.assertLessEqual(before, int(made.boot, 16))
        self.assertLessEqual(int(made.boot, 16), time.time_ns() // 1_000_000)


@define(eq=False)
class Faulty:
    """A connection that fails where its request is observed and ended."""

    is_streaming = True

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

    def test_new_identifier(self) -> None:
        """The next request of a connection that is open is identified by what identifies now."""
        client = self.said(GET)
        client.take()

        self.server.renew(self.gate.snapshot, Roster(), self.limits, self.tls, self.http)
        client.says(GET)
        self.network.settle()

        client.heard(b"HTTP/1.1 407 ")

    def test_new_ceilings(self) -> None:
        """A lower ceiling refuses the next connection and ends none."""
        first, second = self.said(b""), self.said(b"")
        self.limits = Limits(connections_per_client=2)
        self.renew(SAME)
        self.network.settle()

        self.assert_refused(self.said(b""), 429, "too_many_connections")
        self.assertEqual((False, False), (first.saw_eof, second.saw_eof))

    def test_new_server_name_check(self) -> None:
        """Whether another server name is refused or recorded is asked when it comes."""
        origin = self.origin(port=443)
        client = self.said(CONNECT)
        self.tls = TlsSettings(sni="record")
        self.renew(SAME)

        client.says(hello("other.example"))
        self.network.settle()

        self.assertFalse(client.was_reset)
        self.assertGreater(len(origin.peer.received), 100)

    def test_new_deadline_of_policies(self) -> None:
        """A policy that answers later has the new limit's time."""
        self.limits = Limits(policy_seconds=1)
        self.renew(policies=[Slow()])
        client = self.said(GET)
        self.assertEqual(b"", client.received)

        self.network.advance(1)

        self.assert_refused(client, 403, "policy_failed")

    def test_done(self) -> None:
        """The Deferred of a renewal fires with its walk, at once where nothing is open."""
        snapshot = evolve(self.gate.snapshot, generation=2)

        done = self.server.renew(snapshot, self.server.identifier, self.limits, self.tls, self.http)
        self.network.settle()

        self.assertEqual((0, 0), attrgetter("judged", "ended")(self.successResultOf(done)))
        self.assertIs(snapshot, self.gate.snapshot)
