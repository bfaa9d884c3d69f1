"""The owner of a transaction, which receives the results."""

from __future__ import annotations

from typing import Protocol

from egress.errors import Refused
from egress.model import Admission
from egress.proxy.exchange_roles import PooledConnection


class TransactionOwner(Protocol):
    """The owner of a transaction: an exchange or a tunnel set-up, which receives the results."""

    def admitted(self, admission: Admission) -> None:
        """Handle the gate's admission of the request."""

    def connected(self, origin: PooledConnection) -> None:
        """Handle the established origin connection."""

    def refused(self, refused: Refused) -> None:
        """Handle a refusal, or a failure of the route, before the transfer began."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the request now, without a response."""


class NoOwner:
    """The owner of a transaction whose owner was released."""

    def admitted(self, admission: Admission) -> None:
        """Do nothing."""

    def connected(self, origin: PooledConnection) -> None:
        """Do nothing."""

    def refused(self, refused: Refused) -> None:
        """Do nothing."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Do nothing."""


NO_OWNER = NoOwner()
