"""Notifies the observing policies of the progress and the end of one admitted request."""

from __future__ import annotations

from attrs import define
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.gate.policy_round import ask_observer, describe_exception
from egress.interfaces import IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, Request, Verdict

_log = Logger()


@define(eq=False)
class Observers:
    """The observers of one request.

    No method raises, and every observer receives every event, even if another observer fails. A failure of an observer
    is logged, and counts as a DENY where a verdict is expected.

    Attributes:
        request: the request.
        observers: the observers of the configuration snapshot that admitted the request.
        up: the number of octets from the client that were reported to the observers.
        down: the number of octets to the client that were reported to the observers.
    """

    request: Request
    observers: tuple[IPolicyObserver, ...]
    up: int = 0
    down: int = 0
    _is_asked: bool = False

    def started(self, admission: Admission) -> None:
        """Report the start of the transfer."""
        for observer in self.observers:
            try:
                observer.started(self.request, admission)
            except BaseException:
                _log_failure(observer, "started")

    def moved(self, up: int, down: int) -> Verdict | None:
        """Report octets since the last call. The first call is reported even without octets (`IPolicyObserver`).

        Args:
            up: the number of octets from the client so far.
            down: the number of octets to the client so far.

        Returns:
            The first DENY; None without a DENY.
        """
        more_up, more_down = up - self.up, down - self.down
        if not more_up and not more_down and self._is_asked:
            return None
        self.up, self.down, self._is_asked = up, down, True
        denied: Verdict | None = None
        for observer in self.observers:
            verdict = ask_observer(observer, self.request, more_up, more_down)
            if denied is None and verdict is not None and verdict.outcome is Outcome.DENY:
                denied = verdict
        return denied

    def ended(self, event: AuditEvent) -> None:
        """Report the end of the request."""
        for observer in self.observers:
            try:
                observer.ended(event)
            except BaseException:
                _log_failure(observer, "ended")


def _log_failure(observer: IPolicyObserver, method: str) -> None:
    name, detail = getattr(observer, "name", ""), describe_exception(Failure())
    _log.error("policy {policy} failed in {method}: {detail}", policy=name, method=method, detail=detail)
