"""A connection that stands while another snapshot has taken over: that one is asked before a byte goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.model import Admission
from egress.proxy.origin.connection import OriginConnection

if TYPE_CHECKING:
    from egress.proxy.transaction import Transaction


@define(eq=False)
class Confirmation:
    """Keeps what the other side says meanwhile (OriginReceiver).

    Attributes:
        transaction: of the request that dialled.
        origin: what answered.
    """

    transaction: Transaction
    origin: OriginConnection
    _held: bytes = field(init=False, default=b"")
    _is_ended: bool = field(init=False, default=False)

    def begin(self) -> None:
        """Ask the gate."""
        origin = self.origin
        origin.user = self
        assert origin.transport is not None, "a connection that was just made stands"
        # Until the answer is here, what comes waits in the kernel.
        origin.transport.pauseProducing()
        self._ask()

    def _ask(self) -> None:
        transaction = self.transaction
        assert transaction.admission is not None, "only what was admitted is dialled"
        try:
            answer = transaction.client.server.gate.admit_again(
                transaction.request, transaction.admission, transaction.dialled
            )
        except Exception:
            self._failed(Failure())
            return
        # Not by isinstance, which is slow to say no where the class has an abstract base, as Deferred has.
        if type(answer) is Admission:
            self._confirmed(answer)
        else:
            waiting = cast("Deferred[Admission]", answer)
            transaction.pending = waiting
            waiting.addCallbacks(self._confirmed, self._failed)

    def _confirmed(self, admission: Admission) -> None:
        transaction, origin = self.transaction, self.origin
        transaction.pending, transaction.admission = None, admission
        if transaction.is_stale:
            self._ask()
            return
        origin.user = None
        if origin.transport is None:
            transaction.owner.refused(Refused("origin_closed", "The destination closed the connection at once."))
            return
        origin.transport.resumeProducing()
        transaction.owner.connected(origin)
        if self._held:
            origin.dataReceived(self._held)
        if self._is_ended:
            origin.readConnectionLost()

    def _failed(self, failure: Failure) -> None:
        self.origin.abort()
        self.transaction.failed(failure)

    # What the connection says (OriginReceiver).

    def origin_data(self, data: bytes) -> None:
        """Keep what was read with a handshake, and what one read brought."""
        self._held += data

    def origin_ended(self) -> None:
        """Keep the FIN."""
        self._is_ended = True

    def origin_lost(self, reason: Failure) -> None:
        """Nothing: the connection has no transport any more, which is seen in the end."""
