"""TLS handshakes of clients: how many each client has in progress, and whose turn it is."""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from egress.errors import Refused
from egress.proxy.limits import Limits
from egress.proxy.roles import CountedConnection
from egress.timing.turn_queue import TurnQueue


class Handshake(CountedConnection, Protocol):
    """A TLS handshake in progress."""

    def proceed(self) -> None:
        """Process the octets that the client has sent."""

    def displaced(self, refused: Refused) -> None:
        """Reset the connection: a newer handshake replaces this handshake at a limit."""


@define(eq=False)
class _ClientHandshakes:
    """The handshakes of one client.

    Attributes:
        turns: the queue in which clients take turns.
        started: the handshakes in progress, the oldest first.
        waiting: the handshakes whose octets wait for the client's turn.
    """

    turns: TurnQueue
    started: dict[Handshake, None] = field(factory=dict)
    waiting: dict[Handshake, None] = field(factory=dict)

    def proceed(self) -> None:
        """Let one handshake proceed (Interrupted)."""
        if self.waiting:
            handshake = next(iter(self.waiting))
            del self.waiting[handshake]
            if self.waiting:
                self.turns.add(self)
            handshake.proceed()


@define(eq=False)
class Handshakes:
    """The TLS handshakes of all clients, each from the first octet of the client.

    A handshake costs the proxy a millisecond of computing, and a client almost nothing. The octets of handshakes wait
    until it is their client's turn. Clients take turns, and all turns together have a bounded time in each iteration of
    the reactor. So a client with many handshakes delays others by one handshake.

    Attributes:
        limits: the limits, of which `handshakes` and `handshakes_per_client` apply.
        clock: the reactor.
        count: the number of handshakes in progress.
    """

    limits: Limits
    clock: IReactorTime
    count: int = field(init=False, default=0)
    _turns: TurnQueue = field(init=False)
    _clients: dict[str, _ClientHandshakes] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._turns = TurnQueue(self.clock)

    def start(self, handshake: Handshake) -> None:
        """Count a handshake that begins.

        At the limit of one client, that client's oldest handshake is reset; at the limit of all, the oldest handshake
        of the client with most handshakes. A genuine handshake takes milliseconds, so that the oldest is the one to
        lose least.
        """
        key = handshake.client.key
        own = self._clients.get(key)
        if own is not None and len(own.started) >= self.limits.handshakes_per_client:
            refused = Refused("too_many_connections", "This client has reached its limit of TLS handshakes.")
            next(iter(own.started)).displaced(refused)
        elif self.count >= self.limits.handshakes:
            most = max(self._clients.values(), key=lambda each: len(each.started))
            refused = Refused("busy", "The proxy has reached its limit of TLS handshakes.")
            next(iter(most.started)).displaced(refused)
        own = self._clients.get(key)
        if own is None:
            own = self._clients[key] = _ClientHandshakes(self._turns)
        own.started[handshake] = None
        self.count += 1

    def wait(self, handshake: Handshake) -> None:
        """Let a handshake that has been started proceed when it is its client's turn."""
        own = self._clients[handshake.client.key]
        own.waiting[handshake] = None
        self._turns.add(own)

    def remove(self, handshake: Handshake) -> None:
        """Remove a handshake that is complete or has failed, if it was started."""
        key = handshake.client.key
        own = self._clients.get(key)
        if own is None or handshake not in own.started:
            return
        del own.started[handshake]
        own.waiting.pop(handshake, None)
        self.count -= 1
        if not own.waiting:
            self._turns.remove(own)
        if not own.started:
            del self._clients[key]
