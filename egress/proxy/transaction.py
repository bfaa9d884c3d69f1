"""One request from admission to its last audit event."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed, Refused
from egress.gate.eager import is_pending
from egress.interfaces import IDial, IDialListener, IForwardProxy
from egress.model import NO_FIELDS, Admission, AuditEvent, ConnectFields, HelloFacts, Request, Trace, Verdict
from egress.proxy.audit_events import build_event
from egress.proxy.exchange_roles import PooledConnection
from egress.proxy.observers import Observers
from egress.proxy.refusals import dial_refusal, is_failure
from egress.proxy.roles import AuditSubject
from egress.proxy.server import ProxyServer
from egress.proxy.states import ADMITTING, OVER, STREAMING, TRANSACTION
from egress.proxy.transaction_owner import NO_OWNER, TransactionOwner
from egress.transports.contract import IRelay

_log = Logger()


@implementer(IDialListener)
@define(eq=False)
class Transaction:
    """Admits, dials and records one request for its owner. Its states are the table `states.TRANSACTION`.

    Attributes:
        server: the server, with the gate and the audit log.
        subject: the client connection.
        request: the request.
        owner: the receiver of the results, until `release_dial`.
        state: the state; see the table.
        admission: the gate's admission; None before the admission.
        trace: the trace of the dial, until `release_dial`.
        dialled: the dialled address; "" for none.
        up: the number of octets of content or tunnel from the client, as of the last `count`; `down` to the client.
        upward: the relay of octets from the client; `downward` to the client.
        status: the status of the response that the client received; 0 for none.
        response_source: the generator of that response; see `AuditEvent`.
        hello: the facts of the ClientHellos in a tunnel; see `AuditEvent`.
        pending: the pending step before the transfer begins.
        evaluation: the pending re-evaluation after a reload, during the transfer.
    """

    server: ProxyServer
    subject: AuditSubject
    request: Request
    owner: TransactionOwner = field(repr=False)
    state: str = ADMITTING
    admission: Admission | None = None
    trace: Trace | None = None
    dialled: str = ""
    up: int = 0
    down: int = 0
    upward: IRelay | None = None
    downward: IRelay | None = None
    status: int = 0
    response_source: str = "origin"
    hello: HelloFacts | None = None
    pending: Deferred[Any] | IDial | None = None
    evaluation: Deferred[Any] | None = None
    _dialled_at: float = 0.0
    _observers: Observers | None = None

    @property
    def is_streaming(self) -> bool:
        """Whether the transfer has begun."""
        return self.state is STREAMING

    @property
    def is_stale(self) -> bool:
        """Whether the active configuration snapshot is newer than the snapshot that admitted the request."""
        admission = self.admission
        return admission is not None and admission.generation != self.server.gate.snapshot.generation

    def admit(self) -> None:
        """Ask the gate. The owner receives the result before this method returns if no step must wait."""
        server = self.server
        try:
            if server.connections.is_stopping:
                raise Refused("stopping", "The proxy is stopping.")
            if not server.audit_log.is_accepting:
                raise Refused("audit_log_unavailable", "The audit log cannot be written.")
            admission = server.gate.admit(self.request)
        except Refused as refused:
            self.owner.refused(refused)
            return
        except Exception:
            self._failed("judging a request failed")
            return
        if is_pending(admission):
            self.pending = admission
            admission.addCallbacks(self._admitted_late, self.failed)
        else:
            self._admitted(admission)

    def _admitted_late(self, admission: Admission) -> None:
        self.pending = None
        self.admission = admission
        if self.is_stale:
            self._readmit()
        else:
            self._admitted(admission)

    def _admitted(self, admission: Admission) -> None:
        self.admission = admission
        request = self.request
        observers = self.server.gate.snapshot.observers
        if observers and self._observers is None:
            self._observers = Observers(request, observers)
            self._observers.started(admission)
        phases = request.phases
        spent = (self.server.clock.seconds() - request.begun) * 1000.0
        phases.judge = spent - phases.resolve if phases.resolve > 0.0 else spent
        self.owner.admitted(admission)

    def _readmit(self) -> None:
        """Ask the active configuration snapshot, which may choose another route, because no connection exists yet."""
        self.state = TRANSACTION[self.state]["readmit"]
        self.admission = None
        self.request.is_judged_again = True
        self.admit()

    def dial(self, proxy: IForwardProxy | None = None, fields: ConnectFields = NO_FIELDS) -> None:
        """Connect to the judged destination.

        Args:
            proxy: the proxy to connect to instead, which receives the request in absolute form.
            fields: the fields of the request that are passed on in CONNECT to upstream proxies.
        """
        admission = self.admission
        assert admission is not None, "only an admitted request is dialled"
        if self.is_stale:
            self._readmit()
            return
        self.state = TRANSACTION[self.state]["dial"]
        server = self.server
        trace = self.trace = Trace()
        self._dialled_at = server.clock.seconds()
        try:
            if proxy is None:
                agent = server.gate.snapshot.agent
                endpoint = agent.endpoint_for(self.request.authority, admission.route, trace, fields)
            else:
                endpoint = proxy.endpoint(trace)
            dial = self.pending = endpoint.make_dial(server.origins, self)
            dial.begin()
        except Exception:
            self.pending = None
            self._failed("building a route failed")

    def connected(self, protocol: IProtocol) -> None:
        """Use the open connection (IDialListener)."""
        self.pending = None
        origin, trace, admission = cast(PooledConnection, protocol), self.trace, self.admission
        assert trace is not None and admission is not None, "only an admitted request is dialled"
        self.request.phases.dial = (self.server.clock.seconds() - self._dialled_at) * 1000.0
        self.dialled = origin.address = trace.dialled
        origin.generation = admission.generation
        if self.is_stale:
            self.state = TRANSACTION[self.state]["confirm"]
            origin.hold_events()
            self._confirm(origin)
        else:
            self._use(origin)

    def _use(self, origin: PooledConnection) -> None:
        owner = self.owner
        try:
            owner.connected(origin)
        except Exception:
            if self.state is STREAMING:
                _log.failure("using a connection failed")
                owner.end("failed")
            else:
                origin.abort()
                self._failed("using a connection failed")

    def _confirm(self, origin: PooledConnection) -> None:
        """Have the snapshot that became active during the dial judge the request before the transfer begins."""
        assert self.admission is not None
        try:
            confirming = self.server.gate.admit_again(self.request, self.admission, self.dialled)
        except Exception:
            self._confirmed(Failure(), origin)
            return
        if is_pending(confirming):
            self.pending = confirming
            confirming.addBoth(self._confirmed, origin)
        else:
            self._confirmed(confirming, origin)

    def _confirmed(self, result: Admission | Failure, origin: PooledConnection) -> None:
        if isinstance(result, Failure):
            origin.abort()
            self.failed(result)
            return
        self.pending, self.admission = None, result
        if self.is_stale:
            self._confirm(origin)
        elif origin.transport is None:
            self.owner.refused(Refused("origin_closed", "The destination closed the connection at once."))
        else:
            data, is_ended = origin.release_events()
            self._use(origin)
            origin.replay(data, is_ended)

    def failed(self, failure: Failure) -> None:
        """Report the failure of the pending step to the owner (IDialListener)."""
        if self.pending is None and failure.check(CancelledError):
            return
        self.pending = None
        error = failure.value
        if isinstance(error, Refused):
            self.owner.refused(error)
        elif isinstance(error, DialFailed):
            self.owner.refused(dial_refusal(error))
        else:
            _log.failure("a request failed", failure)
            self.owner.refused(Refused("internal_error", "The proxy failed."))

    def _failed(self, what: str) -> None:
        _log.failure(what)
        self.owner.refused(Refused("internal_error", "The proxy failed."))

    def cancel(self) -> None:
        """Cancel the pending step."""
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.cancel()

    def refuse_unstarted(self, refused: Refused) -> None:
        """Refuse the request if its transfer has not begun."""
        if self.state is not STREAMING and self.state is not OVER:
            self.cancel()
            self.owner.refused(refused)

    def start(self) -> None:
        """Note that the transfer begins."""
        self.state = TRANSACTION[self.state]["start"]

    def release_dial(self) -> None:
        """Release dial-time references: an open tunnel may live for days. Without a cycle they are freed at once."""
        self.trace = None
        self._dialled_at = 0.0
        self.owner = NO_OWNER

    def count(self) -> None:
        """Update `up` and `down` from the relays."""
        if self.upward is not None:
            self.up += self.upward.collect()
        if self.downward is not None:
            self.down += self.downward.collect()

    def observe(self) -> Verdict | None:
        """Report the octets since the last call to the observers.

        Returns:
            The first DENY; None without a DENY. An observer that fails denies.
        """
        if self._observers is None:
            return None
        self.count()
        return self._observers.moved(self.up, self.down)

    def record_open(self) -> None:
        """Record that the tunnel continues."""
        if self.state is not OVER:
            self.server.audit_log.record(self._make_event("open", "", None))

    def record_end(self, cause: str, refused: Refused | None = None, event: str = "") -> None:
        """Record the end, unless the end has been recorded.

        Args:
            cause: one of `egress.errors.CAUSES`.
            refused: the refusal that ended the request; None without one.
            event: "end" or "refused"; by default "refused" where there is a refusal.
        """
        if self.state is OVER:
            return
        made = self._make_event(event or ("end" if refused is None else "refused"), cause, refused)
        self.state = TRANSACTION[self.state]["end"]
        self.upward = self.downward = None
        evaluation, self.evaluation = self.evaluation, None
        if evaluation is not None:
            evaluation.cancel()
        self.trace, self.owner = None, NO_OWNER  # as `release_dial` does
        # Before the observers are told: whatever becomes of them, the event is recorded.
        self.server.audit_log.record(made)
        observers, self._observers = self._observers, None
        if observers is not None:
            observers.moved(self.up, self.down)
            observers.ended(made)

    def name_policy(self, refused: Refused) -> None:
        """Name the policy and rule that had allowed a request whose route failed."""
        admission = self.admission
        if admission is not None and not refused.policy and is_failure(refused):
            refused.policy, refused.rule = admission.verdict.policy, admission.verdict.rule

    def record_refusal(self, refused: Refused) -> None:
        """Record the end of a request that was answered with a refusal: its own event, or a failure of the route."""
        self.status, self.response_source = refused.status, "egress"
        if is_failure(refused):
            self.record_end("failed", refused, "end")
        else:
            self.record_end("refused", refused)

    def _make_event(self, event: str, cause: str, refused: Refused | None) -> AuditEvent:
        if self.upward is not None or self.downward is not None:
            self.count()
        if not self.dialled and self.trace is not None:
            self.dialled = self.trace.dialled
        return build_event(event, self.server, self.subject, self.request, cause, refused, self.status, progress=self)
