"""The wrapper of policies with `mode = "audit"`: their verdicts are recorded and have no effect."""

from __future__ import annotations

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from zope.interface import alsoProvides, implementer

from egress.interfaces import IFailureVerdict, IPolicy, IPolicyDescription, IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, PolicyRule, Request, Resolution, Verdict

_WOULD = {Outcome.ALLOW: "allowed", Outcome.DENY: "said deny", Outcome.ASK: "asked"}


@implementer(IPolicy, IFailureVerdict)
@define(eq=False, slots=False)
class AuditOnly:
    """Evaluates the inner policy and abstains. The reason of the verdict says what the inner policy would have done.

    The wrapper provides `IPolicyObserver` and `IPolicyDescription` exactly where the inner policy does.

    Attributes:
        inner: the policy with `mode = "audit"`.
    """

    inner: IPolicy
    name: str = field(init=False)
    pure: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = self.inner.name
        self.pure = self.inner.pure
        # On the instance, so that a policy that is not an observer costs nothing while octets are relayed.
        for optional in (IPolicyObserver, IPolicyDescription):
            if optional.providedBy(self.inner):
                alsoProvides(self, optional)

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict | Deferred[Verdict]:
        """Evaluate the inner policy, and abstain."""
        answer = self.inner.decide(request, resolution)
        if isinstance(answer, Deferred):
            return answer.addCallback(self._abstain)
        return self._abstain(answer)

    def failure_verdict(self, problem: str) -> Verdict:
        """Abstain although the inner policy gave no verdict (IFailureVerdict).

        Args:
            problem: the failure as a sentence, such as "The policy was late.".
        """
        return Verdict(Outcome.ABSTAIN, self.name, "", f"Would have been refused: {problem}")

    def started(self, request: Request, admission: Admission) -> None:
        """Call the inner policy."""
        IPolicyObserver(self.inner).started(request, admission)

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        """Call the inner policy's `moved`, and abstain where it denies."""
        verdict = IPolicyObserver(self.inner).moved(request, up, down)
        return None if verdict is None else self._abstain(verdict)

    def ended(self, record: AuditEvent) -> None:
        """Call the inner policy."""
        IPolicyObserver(self.inner).ended(record)

    def rules(self) -> tuple[PolicyRule, ...]:
        """List the rules of the inner policy, none of them enforced."""
        return tuple(evolve(rule, is_enforced=False) for rule in IPolicyDescription(self.inner).rules())

    def weaker_than(self, previous: IPolicy) -> tuple[str, ...]:
        """Report that the previous policy decided."""
        return () if isinstance(previous, AuditOnly) else ('decides nothing any more: its mode is "audit"',)

    def _abstain(self, verdict: Verdict) -> Verdict:
        if verdict.outcome is Outcome.ABSTAIN:
            return evolve(verdict, obligations=frozenset()) if verdict.obligations else verdict
        by = f" by rule {verdict.rule}" if verdict.rule else ""
        why = f": {verdict.reason}" if verdict.reason else "."
        # No rule: the rule of an abstention is reported as a near miss, by which the request could be allowed.
        return Verdict(Outcome.ABSTAIN, self.name, "", f"Would have {_WOULD[verdict.outcome]}{by}{why}")
