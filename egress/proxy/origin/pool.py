"""The pool of idle origin connections, each for the next request with the same client, route and address."""

from __future__ import annotations

from attrs import define, field

from egress.model import Admission, Request
from egress.proxy.exchange_roles import BindingRequester, OriginSide, PooledConnection, PoolKey
from egress.proxy.limits import Limits
from egress.proxy.origin.binding import Binding
from egress.timing.timer_wheel import TimerWheel

_SILENT = ("pool_connections", "pool_connections_per_origin", "pool_seconds")

# An origin that closes an idle connection after a time that it tells begins to count before egress does, and its FIN
# takes time to arrive. The timers add at most half a second.
_MARGIN_SECONDS = 1.0


@define(eq=False)
class OriginPool:
    """Keeps idle connections. The newest is used first, because origins close the longest idle connection first.

    Attributes:
        limits: the limits, of which `pool_connections`, `pool_connections_per_origin` and `pool_seconds` apply.
        timers: the timer wheel of the connections' deadlines.
        generation: the generation of the active snapshot. Connections of other snapshots are not kept, because their
            route may differ.
        is_stopping: whether the server stops, so that no connection is kept.
        reached: the number of times that each of the three limits was reached.
    """

    limits: Limits
    timers: TimerWheel
    generation: int
    is_stopping: bool = field(init=False, default=False)
    reached: dict[str, int] = field(init=False, factory=lambda: dict.fromkeys(_SILENT, 0))
    _idle: dict[PoolKey, list[PooledConnection]] = field(init=False, factory=dict)
    _count: int = field(init=False, default=0)

    def __len__(self) -> int:
        return self._count

    def take(
        self, request: Request, admission: Admission, place: str, requester: BindingRequester, *, is_repeatable: bool
    ) -> PooledConnection | None:
        """Return a connection that may serve the request; None without one.

        On a direct route the connection's address is among the addresses judged now. An open connection to any other
        address is not used.

        A request that cannot be repeated gets none: its origin may be closing an idle connection at this very moment,
        and the request would be lost. The connection that is dialled for it takes the place of an idle one. Only the
        connection that belongs to its client connection serves it, because no other is authenticated.

        Args:
            request: the request to serve.
            admission: the admission of the request.
            place: see `Forwarding`; "" on a direct route.
            requester: the client's end of the request.
            is_repeatable: whether the request may be sent again if the connection is lost.
        """
        route, client = admission.route, request.client
        # The key equals the result of `_key`.
        key = route.upstream, place or request.authority.text, client.key, client.labels
        if requester.binding is not None:
            addresses = None if place else route.texts
            bound = requester.binding.take((key, request.authority.text), addresses, self.generation)
            if bound is not None:
                return bound
        kept = self._idle.get(key)
        if kept is None:
            return None
        if not is_repeatable:
            kept[0].retire()
            return None
        texts = route.texts
        for at in range(len(kept) - 1, -1, -1):
            origin = kept[at]
            if origin.address not in texts and not place:
                continue
            if origin.transport is None or not origin.transport.is_quiet():
                # What has come belongs to no request, or the origin has closed: the event is on its way.
                origin.retire()
                continue
            del kept[at]
            if not kept:
                del self._idle[key]
            self._count -= 1
            origin.due = 0  # as `TimerWheel.clear` does it
            origin.pool = None
            return origin
        return None

    def give_back(
        self, side: OriginSide, request: Request, admission: Admission, place: str, requester: BindingRequester
    ) -> None:
        """Keep the connection of a complete exchange for reuse, or close it.

        Args:
            side: the origin's side of the exchange.
            request: the request that the connection served.
            admission: the admission of that request.
            place: see `take`.
            requester: the client's end of the request.
        """
        origin = side.connection
        side.sink = origin.receiver = None
        seconds = min(self.limits.pool_seconds, side.idle_seconds - _MARGIN_SECONDS)
        if (
            side.is_reusable
            and origin.transport is not None
            and origin.transport.unsent is None
            and origin.generation == self.generation
            and seconds > 0
            and not self.is_stopping
        ):
            if origin.is_bound:
                binding = requester.binding = requester.binding or Binding(self)
                binding.keep(origin, (_key(request, admission, place), request.authority.text), seconds)
                origin.is_used = True
                return
            if self._keep(origin, request, admission, place, seconds):
                origin.is_used = True
                return
        origin.close(self.timers, self.limits.linger_seconds)

    def _keep(
        self, origin: PooledConnection, request: Request, admission: Admission, place: str, seconds: float
    ) -> bool:
        """Keep a connection for so many seconds at most, unless there is no room for it."""
        key = origin.key
        if key is None:
            key = origin.key = _key(request, admission, place)
        kept, limits = self._idle.get(key), self.limits
        if self._count >= limits.pool_connections:
            self.reached["pool_connections"] += 1
            return False
        if kept is None:
            if not limits.pool_connections_per_origin:
                self.reached["pool_connections_per_origin"] += 1
                return False
            kept = self._idle[key] = []
        elif len(kept) >= limits.pool_connections_per_origin:
            self.reached["pool_connections_per_origin"] += 1
            return False
        kept.append(origin)
        self._count += 1
        origin.pool, origin.timers = self, self.timers
        self.timers.expect(origin, seconds)
        return True

    def forget(self, origin: PooledConnection) -> None:
        """Remove a connection that ended, or is about to end, while it was idle."""
        if origin.pool is None or origin.key is None:
            return
        kept = self._idle[origin.key]
        kept.remove(origin)
        if not kept:
            del self._idle[origin.key]
        self._count -= 1
        self.timers.clear(origin)
        origin.pool = None

    def renew(self, limits: Limits, generation: int) -> None:
        """Close every idle connection, and use another snapshot's generation."""
        self.limits, self.generation = limits, generation
        self.close()

    def stop(self) -> None:
        """End every idle connection, and keep none any more."""
        self.is_stopping = True
        self.close()

    def close(self) -> None:
        """Close every idle connection."""
        for kept in list(self._idle.values()):
            for origin in list(kept):
                origin.retire()


def _key(request: Request, admission: Admission, place: str) -> PoolKey:
    client = request.client
    return admission.route.upstream, place or request.authority.text, client.key, client.labels
