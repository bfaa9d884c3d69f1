"""The origin connection that belongs to one client connection, because it was authenticated for that client."""

from __future__ import annotations

from attrs import define, field

from egress.proxy.exchange_roles import BindingKey, IdlePool, PooledConnection
from egress.proxy.limits import Limits
from egress.timing.timer_wheel import TimerWheel


@define(eq=False)
class Binding:
    """Keeps the connection while it is idle (IdlePool).

    It serves the next request of the client connection to that origin, and no request of any other. A client connection
    has one at most: a client ends one handshake before it begins the next.

    Attributes:
        pool: has the limits, which apply here too, and the timers.
    """

    pool: IdlePool
    _origin: PooledConnection | None = field(init=False, default=None)
    _key: BindingKey | None = field(init=False, default=None)

    @property
    def limits(self) -> Limits:
        """The server's limits."""
        return self.pool.limits

    @property
    def timers(self) -> TimerWheel:
        """For the deadline."""
        return self.pool.timers

    @property
    def reached(self) -> dict[str, int]:
        """How often each limit of the pool was reached."""
        return self.pool.reached

    def take(self, key: BindingKey, addresses: tuple[str, ...] | None, generation: int) -> PooledConnection | None:
        """Return the connection, if it is for this origin.

        Args:
            key: of the request.
            addresses: the judged addresses; None through proxies.
            generation: of the active configuration snapshot. What another one has dialled is closed.
        """
        origin = self._origin
        if origin is None or key != self._key:
            return None
        if (
            (addresses is not None and origin.address not in addresses)
            or origin.generation != generation
            or origin.transport is None
            or not origin.transport.is_quiet()
        ):
            origin.retire()
            return None
        self._origin = origin.pool = None
        origin.due = 0  # as `TimerWheel.clear` does it
        return origin

    def keep(self, origin: PooledConnection, key: BindingKey, seconds: float) -> None:
        """Keep a connection for so many seconds at most, in place of the present one."""
        self.close()
        self._origin, self._key = origin, key
        origin.pool, origin.timers = self, self.timers
        self.timers.expect(origin, seconds)

    def forget(self, origin: PooledConnection) -> None:
        """Drop the connection: it ended, or is about to (IdlePool)."""
        self._origin = origin.pool = None
        self.timers.clear(origin)

    def close(self) -> None:
        """Close the connection: the client connection is gone, or another origin connection belongs to it."""
        if self._origin is not None:
            self._origin.retire()
