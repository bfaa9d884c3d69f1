"""Connections whose listener a reload removed, renamed or moved."""

from __future__ import annotations

from attrs import frozen
from twisted.logger import Logger

from egress.proxy.connections import Connections
from egress.proxy.refusals import listener_removed
from egress.proxy.roles import Displacement, LiveConnection

_log = Logger()


@frozen
class DisplacedListeners:
    """The names of the listeners that a reload changed.

    Attributes:
        lost: names that no listener has any more, or whose socket has another name now.
        moved: names of listeners that listen elsewhere or have another TLS now.
    """

    lost: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()

    def find(self, listener: str) -> Displacement | None:
        """Return the displacement of a listener."""
        if listener in self.lost:
            return Displacement.REMOVED
        return Displacement.MOVED if listener in self.moved else None


NONE_DISPLACED = DisplacedListeners()
"""Every listener is unchanged."""


def displace(connections: Connections, displaced: DisplacedListeners) -> None:
    """Serve no further request on the connections of displaced listeners.

    A connection has the name of its listener, and a new listener of that name may require other credentials or none.
    Idle connections are closed at once. A connection that fails is reset, without an effect on the others.
    """
    for client in list(connections.live):
        displacement = displaced.find(client.listener)
        if displacement is not None:
            _displace(client, displacement)
    for handshaking in list(connections.handshaking):
        if displaced.find(handshaking.listener) is not None:
            handshaking.end("refused")


def _displace(client: LiveConnection, displacement: Displacement) -> None:
    """Displace one connection. A streaming request is ended by the evaluation anew, if its listener is removed."""
    if client.displacement is not Displacement.REMOVED:
        client.displacement = displacement
    try:
        transaction = client.transaction
        if client.receiver is None:
            client.drain()
        elif displacement is Displacement.REMOVED and transaction is not None:
            transaction.refuse_unstarted(listener_removed())
    except Exception:
        _log.failure("ending a request failed")
        client.abort()
