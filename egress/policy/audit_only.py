"""`mode = "audit"`: a policy that is asked and recorded, and decides nothing."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import alsoProvides, implementer

from egress.interfaces import IFailureVerdict, IPolicy, IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, Request, Resolution, Verdict

_WOULD = {Outcome.ALLOW: "allowed", Outcome.DENY: "said deny", Outcome.ASK: "asked"}


@implementer(IPolicy, IFailureVerdict)
@define(eq=False, slots=False)
class AuditOnly:
    """Asks the policy within and abstains, with what it would have done as the reason.

    It provides `IPolicyObserver` exactly where the policy within does.

    Attributes:
        inner: the policy that is tried out.
    """

    inner: IPolicy
    name: str = field(init=False)
    pure: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = self.inner.name
        self.pure = self.inner.pure
        if IPolicyObserver.providedBy(self.inner):
            # On the instance, so that the policies that watch nothing cost nothing while bytes move.
            alsoProvides(self, IPolicyObserver)

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict | Deferred[Verdict]:
        """Ask, and never stand in the way."""
        answer = self.inner.decide(request, resolution)
        if isinstance(answer, Deferred):
            return answer.addCallback(self._abstain)
        return self._abstain(answer)

    def failure_verdict(self, problem: str) -> Verdict:
        """Abstain although the inner policy gave no verdict (IFailureVerdict).

        Args:
            problem: what happened instead, such as "The policy was late.".
        """
        return Verdict(Outcome.ABSTAIN, self.name, "", f"Would have been refused: {problem}")

    def started(self, request: Request, admission: Admission) -> None:
        """Hand on."""
        IPolicyObserver(self.inner).started(request, admission)

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        """Hand on; what would have ended the request only abstains."""
        verdict = IPolicyObserver(self.inner).moved(request, up, down)
        return None if verdict is None else self._abstain(verdict)

    def ended(self, record: AuditEvent) -> None:
        """Hand on."""
        IPolicyObserver(self.inner).ended(record)

    def _abstain(self, verdict: Verdict) -> Verdict:
        if verdict.outcome is Outcome.ABSTAIN:
            return verdict
        by = f" by rule {verdict.rule}" if verdict.rule else ""
        why = f": {verdict.reason}" if verdict.reason else "."
        # No rule: a rule of an abstention is taken for a near miss, which may be shown as the way to be allowed.
        return Verdict(Outcome.ABSTAIN, self.name, "", f"Would have {_WOULD[verdict.outcome]}{by}{why}")
