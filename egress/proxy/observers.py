"""Tells the observing policies what becomes of one admitted request."""

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

    No method raises, whatever an observer does, and every observer is told everything. A failure of an observer is
    logged, and is a DENY where a verdict is asked for.

    Attributes:
        request: the request.
        observers: of the configuration snapshot under which octets began to move.
        up: octets from the client that the observers know of.
        down: octets to the client that the observers know of.
    """

    request: Request
    observers: tuple[IPolicyObserver, ...]
    up: int = 0
    down: int = 0
    _is_asked: bool = False

    def started(self, admission: Admission) -> None:
        """Tell that octets begin to move."""
        for observer in self.observers:
            try:
                observer.started(self.request, admission)
            except BaseException:
                _log_failure(observer, "started")

    def moved(self, up: int, down: int) -> Verdict | None:
        """Tell what moved since the last call. The first call is passed on even if nothing moved (`IPolicyObserver`).

        Args:
            up: octets from the client so far.
            down: octets to the client so far.

        Returns:
            The first DENY, if any.
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
        """Tell that the request is over."""
        for observer in self.observers:
            try:
                observer.ended(event)
            except BaseException:
                _log_failure(observer, "ended")


def _log_failure(observer: IPolicyObserver, method: str) -> None:
    name, detail = getattr(observer, "name", ""), describe_exception(Failure())
    _log.error("policy {policy} failed in {method}: {detail}", policy=name, method=method, detail=detail)
