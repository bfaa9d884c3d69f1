"""The evaluation anew of requests in progress after a reload.

A few requests are evaluated in each turn of the reactor, so that thousands of tunnels do not block the reactor.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.gate.eager import is_pending
from egress.gate.gate import Gate
from egress.model import Admission
from egress.proxy.connections import Connections
from egress.proxy.refusals import listener_removed
from egress.proxy.roles import Displacement, LiveConnection, LiveTransaction

_SLICE = 32

# The largest number of evaluations that wait for a policy at one time.
_PENDING = 256
_PAUSE_SECONDS = 0.05

_log = Logger()


@define(eq=False)
class Reevaluation:
    """One pass over all client connections.

    A request that does not stream is skipped: the active configuration snapshot confirms its connection before the
    transfer begins.

    Attributes:
        gate: the gate that judges the requests.
        connections: all client connections.
        clock: schedules each step in a turn of the reactor.
        done: a Deferred that fires when every request has been evaluated, or at `stop`.
        judged: the number of requests that the gate has judged.
        ended: the number of requests that the gate has refused.
    """

    gate: Gate
    connections: Connections
    clock: IReactorTime
    done: Deferred[Reevaluation] = field(init=False, factory=Deferred)
    judged: int = field(init=False, default=0)
    ended: int = field(init=False, default=0)
    _clients: Iterator[LiveConnection] = field(init=False)
    _call: IDelayedCall | None = field(init=False, default=None)
    _pending: dict[LiveTransaction, None] = field(init=False, factory=dict)
    _is_walked: bool = field(init=False, default=False)

    def begin(self) -> None:
        """Schedule the first step for the reactor's next turn."""
        self._clients = iter(list(self.connections.live))
        self._call = self.clock.callLater(0, self._step)

    def stop(self) -> None:
        """Evaluate no further request: a newer snapshot is active, or the server stops."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._is_walked = True
        for transaction in list(self._pending):
            evaluation, transaction.evaluation = transaction.evaluation, None
            if evaluation is not None:
                evaluation.cancel()
        self._finish_if_done()

    def _step(self) -> None:
        self._call = None
        room = min(_SLICE, _PENDING - len(self._pending))
        for _ in range(room):
            client = next(self._clients, None)
            if client is None:
                self._is_walked = True
                self._finish_if_done()
                return
            self._visit(client)
        self._call = self.clock.callLater(0 if room else _PAUSE_SECONDS, self._step)

    def _visit(self, client: LiveConnection) -> None:
        """Evaluate the request of one connection. An exception does not affect other connections."""
        try:
            transaction = client.transaction
            if transaction is None or not transaction.is_streaming:
                return
            if client.displacement is Displacement.REMOVED:
                self.judged += 1
                self._end(client, Failure(listener_removed()))
            elif transaction.admission is not None:
                self._evaluate(client, transaction, transaction.admission)
        except Exception:
            self._end(client, Failure())

    def _evaluate(self, client: LiveConnection, transaction: LiveTransaction, admission: Admission) -> None:
        if admission.generation == self.gate.snapshot.generation:
            return
        self.judged += 1
        try:
            answer = self.gate.admit_again(transaction.request, admission, transaction.dialled)
        except Exception:
            self._end(client, Failure())
            return
        if is_pending(answer):
            transaction.evaluation = answer
            self._pending[transaction] = None
            answer.addErrback(self._refused, client, transaction).addBoth(self._decided, transaction)

    def _refused(self, failure: Failure, client: LiveConnection, transaction: LiveTransaction) -> None:
        # The caller that cancels an evaluation has removed it from the transaction before.
        if transaction.evaluation is not None:
            transaction.evaluation = None
            self._end(client, failure)
        elif not failure.check(CancelledError):
            _log.failure("judging again failed after it was given up", failure)

    def _decided(self, _: object, transaction: LiveTransaction) -> None:
        transaction.evaluation = None
        self._pending.pop(transaction, None)
        self._finish_if_done()

    def _end(self, client: LiveConnection, failure: Failure) -> None:
        self.ended += 1
        try:
            if isinstance(failure.value, Refused):
                client.end("policy", failure.value)
            else:
                _log.failure("judging again failed", failure)
                client.end("internal_error", Refused("internal_error", "The proxy failed."))
        except Exception:
            _log.failure("ending a request failed")
            self._abort(client)

    def _abort(self, client: LiveConnection) -> None:
        """Reset a connection whose request could not be ended in order."""
        try:
            client.abort()
        except Exception:
            _log.failure("resetting a connection failed")

    def _finish_if_done(self) -> None:
        if self._is_walked and not self._pending and not self.done.called:
            self.done.callback(self)
