"""One request's way through the gate and out, and its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import CODES, DialFailed, Refused
from egress.interfaces import IDial, IDialListener, IForwardProxy, IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, Phases, Request, Trace, Verdict
from egress.proxy.origin.connection import OriginConnection
from egress.proxy.reload.confirmation import Confirmation
from egress.transports.contract import IRelay

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection
    from egress.proxy.roles import TransactionOwner

_log = Logger()

_REASONS = {
    "connection_refused": "The destination refused the connection.",
    "unreachable": "The destination cannot be reached from here.",
    "dial_timeout": "The destination did not answer in time.",
}


@implementer(IDialListener)
@define(eq=False)
class Transaction:
    """Admits, dials and records one request for its owner.

    Attributes:
        client: the protocol it came on.
        request: what is wanted.
        owner: hears what becomes of it, until it is `release_dial`.
        admission: once it is admitted.
        trace: what happened while dialling, if anything was dialled, until it is `release_dial`.
        dialled: the address, also that of a connection that stood already.
        up, down: octets of content or tunnel from and to the client, as of the last `count`.
        upward, downward: the relays that move octets from and to the client.
        status: of the answer that the client got.
        response_source: who made that answer; see `AuditEvent`.
        server_name: of the ClientHello, in a tunnel.
        pending: what is waited for before the request begins to move bytes.
        is_started: it has begun to.
        judgement: what is waited for where a request that has started is judged again.
    """

    client: ClientConnection
    request: Request
    owner: TransactionOwner = field(repr=False)
    admission: Admission | None = None
    trace: Trace | None = None
    dialled: str = ""
    up: int = 0
    down: int = 0
    upward: IRelay | None = None
    downward: IRelay | None = None
    status: int = 0
    response_source: str = "origin"
    server_name: str | None = None
    pending: Deferred[Any] | IDial | None = None
    is_started: bool = field(init=False, default=False)
    judgement: Deferred[Any] | None = field(init=False, default=None)
    _dialled_at: float = 0.0
    _observers: tuple[IPolicyObserver, ...] = ()
    _told: tuple[int, int] = (0, 0)
    _is_dial_released: bool = field(init=False, default=False)
    _is_recorded: bool = field(init=False, default=False)

    def admit(self) -> None:
        """Ask the gate. The owner hears at once where everything is at hand."""
        server = self.client.server
        try:
            if server.is_stopping:
                raise Refused("stopping", "The proxy is stopping.")
            if not server.audit_log.is_accepting:
                raise Refused("audit_log_unavailable", "The audit log cannot take a record.")
            admission = server.gate.admit(self.request)
        except Refused as refused:
            self.owner.refused(refused)
            return
        except Exception:
            self._broke("judging a request failed")
            return
        # Not by isinstance, which is slow to say no where the class has an abstract base, as Deferred has.
        if type(admission) is Admission:
            self._let_in(admission)
        else:
            waiting = cast("Deferred[Admission]", admission)
            self.pending = waiting
            waiting.addCallbacks(self._admitted, self.failed)

    def dial(self, proxy: IForwardProxy | None = None) -> None:
        """Connect to the judged destination.

        Args:
            proxy: connect to this proxy instead, which is then sent the request in absolute form.
        """
        admission = self.admission
        assert admission is not None, "only what was admitted is dialled"
        if self.is_stale:
            self._admit_again()
            return
        server = self.client.server
        trace = self.trace = Trace()
        self._dialled_at = server.clock.seconds()
        try:
            if proxy is None:
                endpoint = server.gate.snapshot.agent.endpoint_for(self.request.authority, admission.route, trace)
            else:
                endpoint = proxy.endpoint(trace)
            dial = self.pending = endpoint.make_dial(server.origins, self)
            dial.begin()
        except Exception:
            self.pending = None
            self._broke("building a route failed")

    @property
    def is_stale(self) -> bool:
        """Another snapshot has taken over since it was admitted."""
        admission = self.admission
        return admission is not None and admission.generation != self.client.server.gate.snapshot.generation

    def _admit_again(self) -> None:
        """Nothing stands yet, so the new snapshot may choose another route, too."""
        self.admission = None
        self.request.is_judged_again = True
        self.admit()

    def turn_away(self, refused: Refused) -> None:
        """Refuse a request that has not begun to move bytes, whatever is waited for."""
        self.cancel()
        self.owner.refused(refused)

    def leave_judgement(self) -> None:
        """Wait no more for what becomes of a request that is judged again."""
        judgement, self.judgement = self.judgement, None
        if judgement is not None:
            judgement.cancel()

    def cancel(self) -> None:
        """Wait for nothing more."""
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.cancel()

    def _admitted(self, admission: Admission) -> None:
        self.pending = None
        self.admission = admission
        if self.is_stale:
            self._admit_again()
        else:
            self._let_in(admission)

    def _let_in(self, admission: Admission) -> None:
        self.admission = admission
        request = self.request
        phases = request.phases
        spent = (self.client.server.clock.seconds() - request.begun) * 1000.0
        phases.judge = spent - phases.resolve if phases.resolve > 0.0 else spent
        self.owner.admitted(admission)

    def connected(self, protocol: IProtocol) -> None:
        """Use the connection to the origin or to the last proxy (IDialListener)."""
        origin = cast(OriginConnection, protocol)
        self.pending = None
        server, admission, trace = self.client.server, self.admission, self.trace
        assert trace is not None
        assert admission is not None, "only what was admitted is dialled"
        self.request.phases.dial = (server.clock.seconds() - self._dialled_at) * 1000.0
        self.dialled = origin.address = trace.dialled
        origin.generation = admission.generation
        try:
            if admission.generation != server.gate.snapshot.generation:
                Confirmation(self, origin).begin()
            else:
                self.owner.connected(origin)
        except Exception:
            if self.is_started:
                _log.failure("joining a connection failed")
                self.client.end("failed")
            else:
                origin.abort()
                self._broke("using a connection failed")

    def failed(self, failure: Failure) -> None:
        """Hear that what was waited for failed."""
        if self.pending is None and failure.check(CancelledError):
            return
        self.pending = None
        error = failure.value
        if isinstance(error, Refused):
            self.owner.refused(error)
        elif isinstance(error, DialFailed):
            self.owner.refused(dial_refused(error))
        else:
            _log.failure("a request failed", failure)
            self.owner.refused(Refused("internal_error", "The proxy failed."))

    def _broke(self, what: str) -> None:
        _log.failure(what)
        self.owner.refused(Refused("internal_error", "The proxy failed."))

    def started(self) -> None:
        """Tell the observers that bytes begin to move; once, even if the origin has to be dialled again."""
        self.is_started = True
        observers = self.client.server.gate.snapshot.observers
        if observers and not self._observers:
            assert self.admission is not None
            self._observers = observers
            for observer in observers:
                try:
                    observer.started(self.request, self.admission)
                except Exception:
                    _log.failure("a policy's started() failed")

    def release_dial(self) -> None:
        """Let go of what was needed on the way: what stands may stand for days."""
        if not self._is_dial_released:
            self._is_dial_released = True
            self.trace = None
            self._dialled_at = 0.0
            # The owner refers to this transaction. Without a cycle it is freed at once.
            del self.owner

    def count(self) -> None:
        """Count what has moved past us."""
        if self.upward is not None:
            self.up += self.upward.collect()
        if self.downward is not None:
            self.down += self.downward.collect()

    def observe(self) -> Verdict | None:
        """Tell the observers what moved since the last time.

        Returns:
            The first DENY, if any. An observer that fails is a DENY: it cannot be said that it agrees.
        """
        if not self._observers:
            return None
        self.count()
        told = self._told
        if told == (self.up, self.down):
            return None
        self._told = self.up, self.down
        for observer in self._observers:
            try:
                verdict = observer.moved(self.request, self.up - told[0], self.down - told[1])
            except Exception:
                _log.failure("a policy's moved() failed")
                return Verdict(Outcome.DENY, getattr(observer, "name", ""), reason="The policy failed.")
            if verdict is not None and verdict.outcome is Outcome.DENY:
                return verdict
        return None

    def record(self, event: str, cause: str, refused: Refused | None = None) -> None:
        """Write the record: any number of times "open", once anything else."""
        if self._is_recorded:
            return
        self.count()
        client, request = self.client, self.request
        server, phases, dialled = client.server, request.phases, self.dialled
        if event == "open":
            # As they are now; the end has its own record.
            phases = Phases(phases.judge, phases.resolve, phases.dial, phases.wait)
        if not dialled and self.trace is not None:
            dialled = self.trace.dialled
        record = AuditEvent(
            event,
            server.now(),
            request,
            request.client,
            client.connection,
            client.connection_id,
            request.request_form,
            self.admission,
            refused,
            self.status,
            dialled,
            self.server_name,
            self.up,
            self.down,
            phases,
            (server.clock.seconds() - request.begun) * 1000.0,
            cause,
            self.response_source,
        )
        if event != "open":
            self._is_recorded = True
            self.upward = self.downward = None
            if self.judgement is not None:
                self.leave_judgement()
            if self._observers:
                self._tell_of_end(record)
            if not self._is_dial_released:
                self.release_dial()
        server.audit_log.record(record)

    def _tell_of_end(self, record: AuditEvent) -> None:
        self.observe()
        for observer in self._observers:
            try:
                observer.ended(record)
            except Exception:
                _log.failure("a policy's ended() failed")
        self._observers = ()


def dial_refused(error: DialFailed) -> Refused:
    """Make the refusal that answers a failure of the route."""
    return Refused(error.code, error.reason or _REASONS[error.code], detail=str(error))


def is_failure(refused: Refused) -> bool:
    """Tell whether the route or the destination failed, rather than that somebody refused."""
    return CODES[refused.code].status in (500, 502, 504)
