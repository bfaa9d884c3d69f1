"""What a client connection does between two heads: serving a request, or waiting until its answer is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import Refused
from egress.model import Admission
from egress.proxy.origin.connection import OriginConnection

READING, WORKING, DRAINING, LINGERING, CLOSING, OVER = range(6)
"""What a client's connection does."""


def listener_removed() -> Refused:
    """Make the refusal of whatever comes by a listener that a reload took away."""
    return Refused("listener_gone", "The listener is no longer configured; connect anew.")


class ClientReceiver(Protocol):
    """What serves the current request: an exchange, a tunnel being set up, or a splice."""

    def client_data(self, data: bytes) -> None:
        """Bytes came from the client."""

    def client_ended(self) -> None:
        """The client sent its FIN; it may still be written to."""

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""

    def expired(self) -> None:
        """The deadline of the connection passed."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Stop now, without an answer."""


class TransactionOwner(Protocol):
    """An exchange or a tunnel: what becomes of its transaction."""

    def admitted(self, admission: Admission) -> None:
        """The request may pass."""

    def connected(self, origin: OriginConnection) -> None:
        """The connection to the origin stands."""

    def refused(self, refused: Refused) -> None:
        """It was refused, or the route failed."""


@implementer(IPullProducer)
@define(eq=False)
class FlushProducer:
    """Waits, as a producer of nothing, until a transport has got rid of what was written to it.

    Attributes:
        drained: called then, once.
    """

    drained: Callable[[], None]
    _is_asked: bool = False

    def resumeProducing(self) -> None:
        """The first call comes at once (IConsumer.registerProducer), the second when all is written."""
        if self._is_asked:
            self.drained()
        self._is_asked = True

    def stopProducing(self) -> None:
        """The connection is gone; it will say so."""
