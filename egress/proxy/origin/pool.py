"""Idle origin connections, kept for the next request of the same client on the same route to the same address."""

from __future__ import annotations

from attrs import define, field

from egress.model import Admission, Request
from egress.proxy.exchange_roles import PooledConnection, PoolKey
from egress.proxy.limits import Limits
from egress.timing.timer_wheel import TimerWheel

_SILENT = ("pool_connections", "pool_connections_per_origin", "pool_seconds")


@define(eq=False)
class OriginPool:
    """Holds idle connections, newest first out: the longest idle one is the likeliest to be closed by its origin.

    Attributes:
        limits: `pool_connections`, `pool_connections_per_origin` and `pool_seconds` are used.
        timers: for their deadlines.
        generation: of the snapshot that judges now. What another one had dialled is not kept: it may lead another way.
        reached: how often each of the three was.
    """

    limits: Limits
    timers: TimerWheel
    generation: int
    reached: dict[str, int] = field(init=False, factory=lambda: dict.fromkeys(_SILENT, 0))
    _idle: dict[PoolKey, list[PooledConnection]] = field(init=False, factory=dict)
    _count: int = field(init=False, default=0)

    def __len__(self) -> int:
        return self._count

    def take(self, request: Request, admission: Admission, place: str = "") -> PooledConnection | None:
        """Give a connection that may serve this request, if there is one.

        On a direct route it was dialled to an address that has just been judged; an address that is no longer among the
        answers is not used again, even if it stands open.

        Args:
            request: what is wanted.
            admission: what was judged.
            place: through proxies, what tells connections apart; "" on a direct route.
        """
        route, client = admission.route, request.client
        # As `_key` has it.
        key = route.upstream, place or request.authority.text, client.key, client.labels
        kept = self._idle.get(key)
        if kept is None:
            return None
        texts = route.texts
        for at in range(len(kept) - 1, -1, -1):
            if kept[at].address in texts or place:
                origin = kept.pop(at)
                if not kept:
                    del self._idle[key]
                self._count -= 1
                origin.due = 0  # as `TimerWheel.clear` does it
                origin.pool = None
                return origin
        return None

    def keep(self, origin: PooledConnection, request: Request, admission: Admission, place: str = "") -> bool:
        """Take a connection back.

        Args:
            origin: the connection.
            request: what it served.
            admission: of that request.
            place: as for `take`.

        Returns:
            False where there is no room for it, or no use; then the caller closes it.
        """
        if origin.generation != self.generation:
            return False
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
        self.timers.expect(origin, limits.pool_seconds)
        return True

    def forget(self, origin: PooledConnection) -> None:
        """Drop a connection that ended, or is about to, while it was idle."""
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
        """Begin anew under another snapshot."""
        self.limits, self.generation = limits, generation
        self.close()

    def close(self) -> None:
        """End every idle connection."""
        for kept in list(self._idle.values()):
            for origin in list(kept):
                origin.retire()


def _key(request: Request, admission: Admission, place: str) -> PoolKey:
    client = request.client
    return admission.route.upstream, place or request.authority.text, client.key, client.labels
