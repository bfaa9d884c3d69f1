"""Idle origin connections: who may use them, how many there are, and for how long."""

from __future__ import annotations

from math import inf
from typing import cast

from attrs import define, evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.model import Admission, Outcome, Request, Route, RoutePlan, Verdict
from egress.proxy.exchange_roles import BindingRequester, OriginBinding, OriginSide, PooledConnection
from egress.proxy.limits import Limits
from egress.proxy.origin.connection import OriginConnection
from egress.proxy.origin.pool import OriginPool
from egress.testing import make_client, make_request, resolve_to
from egress.timing.timer_wheel import TimerWheel
from egress.transports.contract import IStreamTransport
from tests.proxy.support import ADDRESS, ADDRESS6, OTHER

GET = b"GET http://origin.example/a/b?q=1 HTTP/1.1\r\nHost: origin.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@define(eq=False)
class QuietTransport:
    """An open connection on which nothing happens.

    Attributes:
        unsent: None while nothing is.
        is_flushed: everything is.
        is_silent: what `is_quiet` tells.
        is_closed: it was closed.
    """

    unsent: object | None = None
    is_flushed: bool = True
    is_silent: bool = True
    is_closed: bool = False

    def is_quiet(self) -> bool:
        """Tell what the test says."""
        return self.is_silent

    def loseConnection(self) -> None:
        """Close."""
        self.is_closed = True


@define(eq=False)
class Side:
    """The origin's side of a complete exchange.

    Attributes:
        connection: its connection.
        is_reusable: whether the connection can serve a further request.
        idle_seconds: for how long the origin keeps it.
        sink: none is told anything.
    """

    connection: OriginConnection
    is_reusable: bool = True
    idle_seconds: float = inf
    sink: None = None


@define(eq=False)
class ClientEnd:
    """A client connection.

    Attributes:
        binding: its own.
    """

    binding: OriginBinding | None = None


def open_connection(address: str, generation: int) -> OriginConnection:
    """Make an open connection."""
    return OriginConnection(cast(IStreamTransport, QuietTransport()), address=address, generation=generation)


class PoolTests(SynchronousTestCase):
    """`OriginPool` with connections that are not real."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.timers = TimerWheel(self.clock)
        self.timers.start()
        self.addCleanup(self.timers.stop)
        self.pool = OriginPool(
            Limits(pool_connections=4, pool_connections_per_origin=2, pool_seconds=10), self.timers, 1
        )
        self.request = make_request("http://a.example/", client=make_client("me"))
        self.client = cast(BindingRequester, ClientEnd())

    def admission(self, *addresses: str, upstream: str = "direct") -> Admission:
        """Admit to addresses."""
        resolution = resolve_to(*(addresses or (ADDRESS,)))
        route = Route(upstream, (), resolution.addresses)
        verdict = Verdict(Outcome.ALLOW, "p")
        return Admission(verdict, (verdict,), RoutePlan(upstream, "none"), route, resolution, 1, self.request.authority)

    def keep(self, request: Request | None = None, address: str = ADDRESS, place: str = "") -> OriginConnection | None:
        """Keep a new connection; None where the pool does not want it."""
        origin = open_connection(address, 1)
        return origin if self.give_back(Side(origin), request, place) else None

    def take(
        self, request: Request, admission: Admission, place: str = "", *, is_repeatable: bool = True
    ) -> PooledConnection | None:
        """Take a connection for a request of this client connection."""
        return self.pool.take(request, admission, place, self.client, is_repeatable=is_repeatable)

    def give_back(self, side: Side, request: Request | None = None, place: str = "") -> bool:
        """Give a connection back; tell whether it is kept, else it is closed."""
        self.pool.give_back(cast(OriginSide, side), request or self.request, self.admission(), place, self.client)
        origin = side.connection
        is_kept = origin.pool is self.pool
        self.assertNotEqual(is_kept, cast(QuietTransport, origin.transport).is_closed)
        self.assertEqual(is_kept, origin.is_used)
        return is_kept

    def test_newest_first(self) -> None:
        """The connection that was used last is given first, and each once."""
        first, second = self.keep(), self.keep()

        taken = [self.take(self.request, self.admission()) for _ in range(3)]

        self.assertEqual([second, first, None], taken)
        self.assertEqual(0, len(self.pool))

    def test_not_quiet(self) -> None:
        """A connection on which something came is closed, and the next one is given."""
        older, newer = self.keep(), self.keep()
        assert older is not None and newer is not None
        transport = cast(QuietTransport, newer.transport)
        transport.is_silent = False

        self.assertIs(older, self.take(self.request, self.admission()))

        self.assertTrue(transport.is_closed)
        self.assertEqual(0, len(self.pool))

    def test_judged_address(self) -> None:
        """On a direct route only connections to an address that was judged are given, whichever is older."""
        here, _there = self.keep(), self.keep(address=OTHER)

        self.assertIs(None, self.take(self.request, self.admission(ADDRESS6)))
        self.assertIs(here, self.take(self.request, self.admission(ADDRESS6, ADDRESS)))
        self.assertEqual(1, len(self.pool))

    def test_place(self) -> None:
        """Through proxies the place stands for the origin, and the address of the connection is the proxy's."""
        kept = self.keep(address=OTHER, place="proxy p")
        elsewhere = make_request("http://b.example/", client=self.request.client)

        self.assertIs(None, self.take(self.request, self.admission(OTHER)))
        self.assertIs(None, self.take(elsewhere, self.admission(), "proxy q"))
        self.assertIs(kept, self.take(elsewhere, self.admission(), "proxy p"))

    def test_what_keeps_connections_apart(self) -> None:
        """A connection serves requests of its client with its labels, for its host, port and upstream, and no other."""
        client = self.request.client
        self.keep()
        others = (
            make_request("http://a.example/", client=make_client("you", labels=client.labels)),
            make_request("http://a.example/", client=make_client("me", labels=("uid:1001",))),
            make_request("http://a.example:8080/", client=client),
            make_request("http://b.example/", client=client),
        )

        self.assertEqual([None] * 4, [self.take(each, self.admission()) for each in others])
        self.assertIs(None, self.take(self.request, self.admission(upstream="corp")))
        self.assertIsNot(None, self.take(self.request, self.admission()))

    def test_bounds(self) -> None:
        """Beyond each bound a connection is not kept, and the bound that it met is counted."""
        self.assertEqual([True, True, False], [self.keep() is not None for _ in range(3)])
        others = [make_request(f"http://{name}.example/", client=self.request.client) for name in "bcd"]

        self.assertEqual([True, True, False], [self.keep(each) is not None for each in others])

        self.assertEqual(4, len(self.pool))
        self.assertEqual(
            {"pool_connections": 1, "pool_connections_per_origin": 1, "pool_seconds": 0}, self.pool.reached
        )

    def test_room_is_made_again(self) -> None:
        """A connection that was taken, or is forgotten, leaves room for another."""
        self.keep()
        forgotten = self.keep()
        assert forgotten is not None

        self.pool.forget(forgotten)
        self.pool.forget(forgotten)

        self.assertEqual(1, len(self.pool))
        taken = self.take(self.request, self.admission())
        assert taken is not None
        self.pool.forget(taken)
        self.assertEqual(0, len(self.pool))
        self.assertIsNot(None, self.keep())
        self.assertIsNot(None, self.keep())
        self.assertIs(None, self.keep())

    def test_empty(self) -> None:
        """Nothing is left of an origin without idle connections: clients choose how many origins there are."""
        for name in ("take", "forget"):
            with self.subTest(name):
                kept = self.keep()
                assert kept is not None

                if name == "take":
                    self.take(self.request, self.admission())
                else:
                    self.pool.forget(kept)

                self.assertEqual({}, self.pool._idle)

    def test_none_may_be_kept(self) -> None:
        """A bound of 0 keeps nothing."""
        for bound in ("pool_connections", "pool_connections_per_origin"):
            with self.subTest(bound):
                self.pool.renew(evolve(Limits(), **{bound: 0}), 1)
                self.assertIs(None, self.keep())
                self.assertEqual((0, 1), (len(self.pool), self.pool.reached[bound]))

    def test_deadline(self) -> None:
        """A connection that nobody takes in its time is dropped and counted; one that was taken has no deadline."""
        taken = self.keep()
        self.assertIs(taken, self.take(self.request, self.admission()))
        self.keep()

        self.clock.pump([0.25] * 39)
        self.assertEqual(1, len(self.pool))
        self.clock.pump([0.25] * 4)

        self.assertEqual((0, 1), (len(self.pool), self.pool.reached["pool_seconds"]))

    def test_kept_again(self) -> None:
        """A connection that was kept, taken and kept again has its whole time anew."""
        kept = self.keep()
        self.clock.pump([0.25] * 30)
        self.assertIs(kept, self.take(self.request, self.admission()))
        assert kept is not None
        self.assertTrue(self.give_back(Side(kept)))

        self.clock.pump([0.25] * 30)

        self.assertEqual((1, 0), (len(self.pool), self.pool.reached["pool_seconds"]))

    def test_another_snapshot(self) -> None:
        """A reload drops what is idle, and keeps only what was dialled under its own snapshot and its own limits."""
        self.keep()

        self.pool.renew(Limits(pool_connections_per_origin=1), 2)

        self.assertEqual(0, len(self.pool))
        self.assertIs(None, self.keep())
        made = [open_connection(ADDRESS, 2) for _ in range(2)]
        self.assertEqual([True, False], [self.give_back(Side(each)) for each in made])

    def test_not_kept(self) -> None:
        """What cannot serve a further request is closed, and so is everything while the server stops."""
        origin = open_connection(ADDRESS, 1)
        self.assertFalse(self.give_back(Side(origin, is_reusable=False)))
        for seconds in (0.0, 1.0):
            self.assertFalse(self.give_back(Side(open_connection(ADDRESS, 1), idle_seconds=seconds)))
        unsent = open_connection(ADDRESS, 1)
        cast(QuietTransport, unsent.transport).unsent = bytearray(b"x")
        self.assertFalse(self.give_back(Side(unsent)))
        kept = self.keep()
        assert kept is not None

        self.pool.stop()

        self.assertTrue(cast(QuietTransport, kept.transport).is_closed)
        self.assertIs(None, self.keep())

    def test_told_by_the_origin(self) -> None:
        """The time that the origin tells ends a second earlier; the pool's own limit holds too."""
        for told, at_most in ((5.0, 4.0), (900.0, 10.0)):
            self.assertTrue(self.give_back(Side(open_connection(ADDRESS, 1), idle_seconds=told)))
            self.clock.pump([0.25] * int(at_most * 4 - 1))
            self.assertEqual(1, len(self.pool), told)
            self.clock.pump([0.25] * 4)
            self.assertEqual(0, len(self.pool), told)

    def test_unrepeatable(self) -> None:
        """A request that cannot be repeated gets none, and the longest idle connection makes room for a new one."""
        older, newer = self.keep(), self.keep()
        assert older is not None

        self.assertIs(None, self.take(self.request, self.admission(), is_repeatable=False))

        self.assertTrue(cast(QuietTransport, older.transport).is_closed)
        self.assertIs(newer, self.take(self.request, self.admission()))
