"""Client connections of all listeners: the open connections, their number for each client, and their limits."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred

from egress.errors import Refused
from egress.model import Client
from egress.proxy.departure import UnreadConnection
from egress.proxy.limits import Limits
from egress.proxy.roles import CountedConnection, LiveConnection


@define(eq=False)
class Connections:
    """Counts client connections, from accept to close.

    Attributes:
        limits: the limits, of which `connections` and `connections_per_client` apply.
        live: connections that requests are read from.
        handshaking: connections whose TLS handshake is not complete.
        unread: the paused connections, whose transports do not report the end of their clients.
        per_client: the number of connections by client key, live and handshaking together.
        is_stopping: whether no further request is served.
    """

    limits: Limits
    live: set[LiveConnection] = field(init=False, factory=set)
    handshaking: set[CountedConnection] = field(init=False, factory=set)
    unread: dict[UnreadConnection, None] = field(init=False, factory=dict)
    per_client: dict[str, int] = field(init=False, factory=dict)
    is_stopping: bool = field(init=False, default=False)
    _emptied: Deferred[None] | None = field(init=False, default=None)

    def add_live(self, connection: LiveConnection) -> Refused | None:
        """Count a connection.

        Returns:
            None, or the refusal of the connection. The connection is counted until `remove_live` in either case.
        """
        self.live.add(connection)
        return self._count(connection)

    def add_handshaking(self, connection: CountedConnection) -> Refused | None:
        """Count a connection whose TLS handshake begins. See `add_live`."""
        self.handshaking.add(connection)
        return self._count(connection)

    def _count(self, connection: CountedConnection) -> Refused | None:
        key, limits = connection.client.key, self.limits
        number = self.per_client[key] = self.per_client.get(key, 0) + 1
        if self.is_stopping:
            return Refused("stopping", "The proxy is stopping.")
        if len(self.live) + len(self.handshaking) > limits.connections:
            return Refused("busy", "The proxy has reached its limit of connections.")
        if number > limits.connections_per_client:
            return _too_many()
        return None

    def move(self, connection: CountedConnection, client: Client) -> Refused | None:
        """Count a connection for the client of its latest request.

        Returns:
            None, or the refusal of the request. After a refusal the connection still counts for its former client.
        """
        key, former = client.key, connection.client.key
        if key != former:
            number = self.per_client.get(key, 0) + 1
            if number > self.limits.connections_per_client:
                return _too_many()
            self._uncount(former)
            self.per_client[key] = number
        connection.client = client
        return None

    def remove_live(self, connection: LiveConnection) -> None:
        """Remove a connection from the counts. No effect for a connection that was never counted."""
        if connection not in self.live:
            return
        self.live.discard(connection)
        self._uncount(connection.client.key)
        if self._emptied is not None:
            self._tell_if_empty()

    def remove_handshaking(self, connection: CountedConnection) -> None:
        """Remove a connection whose TLS handshake is over. After a complete handshake, `add_live` follows."""
        self.handshaking.discard(connection)
        self._uncount(connection.client.key)
        if self._emptied is not None:
            self._tell_if_empty()

    def end_all(self, cause: str) -> None:
        """End every connection at once."""
        for connection in [*self.live, *self.handshaking]:
            connection.end(cause)

    def when_empty(self) -> Deferred[None]:
        """Wait for the end of all connections.

        Returns:
            A Deferred that fires once no connection is open.
        """
        emptied: Deferred[None] = Deferred()
        self._emptied = emptied
        self._tell_if_empty()
        return emptied

    def give_up_waiting(self) -> None:
        """Fire the Deferred of `when_empty`, even if connections are open."""
        emptied, self._emptied = self._emptied, None
        if emptied is not None:
            emptied.callback(None)

    def _tell_if_empty(self) -> None:
        if not self.live and not self.handshaking:
            self.give_up_waiting()

    def _uncount(self, key: str) -> None:
        number = self.per_client[key] - 1
        if number:
            self.per_client[key] = number
        else:
            del self.per_client[key]


def _too_many() -> Refused:
    return Refused("too_many_connections", "This client has reached its limit of connections.")
