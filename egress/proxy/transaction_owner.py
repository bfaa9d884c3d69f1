"""Who receives the results of a transaction."""

from __future__ import annotations

from typing import Protocol

from egress.errors import Refused
from egress.model import Admission
from egress.proxy.exchange_roles import PooledConnection


class TransactionOwner(Protocol):
    """An exchange or a tunnel set-up: receives the results of its transaction."""

    def admitted(self, admission: Admission) -> None:
        """The gate admitted the request."""

    def connected(self, origin: PooledConnection) -> None:
        """The origin connection is open."""

    def refused(self, refused: Refused) -> None:
        """The request was refused, or its route failed, before an octet moved."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the request now, without a response."""


class NoOwner:
    """The owner of a transaction that has none any more."""

    def admitted(self, admission: Admission) -> None:
        """Do nothing."""

    def connected(self, origin: PooledConnection) -> None:
        """Do nothing."""

    def refused(self, refused: Refused) -> None:
        """Do nothing."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Do nothing."""


NO_OWNER = NoOwner()
