"""Connections whose listener a reload took away, gave another name, or put elsewhere: how they take their leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from twisted.logger import Logger

from egress.proxy.roles import listener_removed

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

_log = Logger()


@frozen
class DisplacedListeners:
    """The names of listeners that are not what they were.

    Attributes:
        lost: nothing stands for what came by them: no listener has the name now, or their socket has another name.
        moved: a listener of that name is there, and listens elsewhere.
    """

    lost: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()

    def __contains__(self, listener: str) -> bool:
        return listener in self.lost or listener in self.moved


NONE_DISPLACED = DisplacedListeners()
"""All listeners are where they were."""


def displace(client: ClientConnection, *, is_cut: bool) -> None:
    """Let a connection serve nothing more; an idle one is closed at once. Whatever happens, the others have their turn.

    Args:
        client: the connection.
        is_cut: a request that has not begun to move bytes is refused. One that has is ended by the walk over all that
            is under way, see `egress.proxy.reload.reevaluation`.
    """
    client.is_displaced, client.is_cut = True, client.is_cut or is_cut
    try:
        transaction = client.transaction
        if client.receiver is None:
            client.drain()
        elif is_cut and transaction is not None and not transaction.is_started:
            transaction.turn_away(listener_removed())
    except Exception:
        _log.failure("ending a request failed")
        client.abort()
