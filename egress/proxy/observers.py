"""Tells the observing policies what becomes of one admitted request."""

from __future__ import annotations

from attrs import define
from twisted.logger import Logger

from egress.interfaces import IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, Request, Verdict

_log = Logger()


@define(eq=False)
class Observers:
    """The observers of one request. A failure of one is logged, and is a DENY where a verdict is wanted.

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

    def started(self, admission: Admission) -> None:
        """Tell that octets begin to move."""
        for observer in self.observers:
            try:
                observer.started(self.request, admission)
            except Exception:
                _log.failure("a policy's started() failed")

    def moved(self, up: int, down: int) -> Verdict | None:
        """Tell what moved since the last time.

        Args:
            up: octets from the client so far.
            down: octets to the client so far.

        Returns:
            The first DENY, if any.
        """
        more_up, more_down = up - self.up, down - self.down
        if not more_up and not more_down:
            return None
        self.up, self.down = up, down
        for observer in self.observers:
            try:
                verdict = observer.moved(self.request, more_up, more_down)
            except Exception:
                _log.failure("a policy's moved() failed")
                return Verdict(Outcome.DENY, getattr(observer, "name", ""), reason="The policy failed.")
            if verdict is not None and verdict.outcome is Outcome.DENY:
                return verdict
        return None

    def ended(self, event: AuditEvent) -> None:
        """Tell that the request is over."""
        for observer in self.observers:
            try:
                observer.ended(event)
            except Exception:
                _log.failure("a policy's ended() failed")
