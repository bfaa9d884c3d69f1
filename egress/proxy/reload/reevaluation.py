"""Goes over what is under way after a new snapshot is in place, and ends what that refuses.

A few requests are judged in each turn of the reactor, so that thousands of tunnels do not hold up those who wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.model import Admission
from egress.proxy.roles import listener_removed

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection
    from egress.proxy.server import ProxyServer
    from egress.proxy.transaction import Transaction

_SLICE = 32

# Policies that answer later are asked about so many at a time.
_PENDING = 256
_PAUSE_SECONDS = 0.05

_log = Logger()


@define(eq=False)
class Reevaluation:
    """One walk over all live connections.

    What has not begun to move bytes is passed over: it is judged again before it does. So is what begins later.

    Attributes:
        server: whose connections.
        done: fires when all have been judged, or when the walk is cut short by `stop`.
        judged: how many requests the gate was asked about.
        ended: how many of them it refused.
    """

    server: ProxyServer
    done: Deferred[Reevaluation] = field(init=False, factory=Deferred)
    judged: int = field(init=False, default=0)
    ended: int = field(init=False, default=0)
    _clients: Iterator[ClientConnection] = field(init=False)
    _call: IDelayedCall | None = field(init=False, default=None)
    _pending: dict[Transaction, None] = field(init=False, factory=dict)
    _is_walked: bool = field(init=False, default=False)

    def begin(self) -> None:
        """Take the first step in the reactor's next turn."""
        self._clients = iter(list(self.server.live))
        self._call = self.server.clock.callLater(0, self._step)

    def stop(self) -> None:
        """Ask about no more: a newer snapshot is in place, or everything ends."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._is_walked = True
        for transaction in list(self._pending):
            transaction.leave_judgement()
        self._look_whether_done()

    def _step(self) -> None:
        self._call = None
        room = min(_SLICE, _PENDING - len(self._pending))
        for _ in range(room):
            client = next(self._clients, None)
            if client is None:
                self._is_walked = True
                self._look_whether_done()
                return
            self._visit(client)
        self._call = self.server.clock.callLater(0 if room else _PAUSE_SECONDS, self._step)

    def _visit(self, client: ClientConnection) -> None:
        """Judge what runs on one connection. Nothing that goes wrong there keeps the others from their turn."""
        try:
            transaction = client.transaction
            if transaction is None or not transaction.is_started:
                return
            if client.is_cut:
                self.judged += 1
                self._end(client, Failure(listener_removed()))
            elif transaction.admission is not None:
                self._judge(client, transaction, transaction.admission)
            # Else the new snapshot is judging it already: it has started once, and has to be dialled again.
        except Exception:
            self._end(client, Failure())

    def _judge(self, client: ClientConnection, transaction: Transaction, admission: Admission) -> None:
        gate = self.server.gate
        if admission.generation == gate.snapshot.generation:
            return
        self.judged += 1
        try:
            answer = gate.admit_again(transaction.request, admission, transaction.dialled)
        except Exception:
            self._end(client, Failure())
            return
        # Not by isinstance, which is slow to say no where the class has an abstract base, as Deferred has.
        if type(answer) is not Admission:
            waiting = cast("Deferred[Admission]", answer)
            transaction.judgement = waiting
            self._pending[transaction] = None
            waiting.addErrback(self._refused, client, transaction)
            waiting.addBoth(self._decided, transaction)

    def _refused(self, failure: Failure, client: ClientConnection, transaction: Transaction) -> None:
        # Whoever cancels it has let go of it before.
        if transaction.judgement is not None:
            transaction.judgement = None
            self._end(client, failure)
        elif not failure.check(CancelledError):
            _log.failure("judging again failed after it was given up", failure)

    def _decided(self, _: object, transaction: Transaction) -> None:
        transaction.judgement = None
        self._pending.pop(transaction, None)
        self._look_whether_done()

    def _end(self, client: ClientConnection, failure: Failure) -> None:
        self.ended += 1
        try:
            if isinstance(failure.value, Refused):
                client.end("policy", failure.value)
            else:
                _log.failure("judging again failed", failure)
                client.end("internal_error", Refused("internal_error", "The proxy failed."))
        except Exception:
            _log.failure("ending a request failed")
            self._cut(client)

    def _cut(self, client: ClientConnection) -> None:
        """Reset a connection that cannot be ended as it should."""
        try:
            client.abort()
        except Exception:
            _log.failure("resetting a connection failed")

    def _look_whether_done(self) -> None:
        if self._is_walked and not self._pending and not self.done.called:
            self.done.callback(self)
