"""Combines the verdicts of one round, and replaces the missing verdict of a failed policy.

The first DENY ends a round, and a round without an ALLOW is a refusal. A policy that raises, is late or returns no
verdict has denied. Policies are plugins: every exception of a policy, SystemExit and KeyboardInterrupt included, is a
failure of that policy.
"""

from __future__ import annotations

from math import ceil, isfinite
from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.interfaces import IFailureVerdict, IPolicy, IPolicyObserver
from egress.model import Outcome, Request, Resolution, Verdict

FAILED = "The policy failed."
LATE = "The policy was late."

_log = Logger()


def ask(
    policy: IPolicy, request: Request, resolution: Resolution | None, clock: IReactorTime, seconds: float
) -> Verdict | Deferred[Verdict]:
    """Ask one policy for its verdict.

    Args:
        policy: the policy.
        request: the request to judge.
        resolution: None in the first round.
        clock: the clock of the deadline of a policy that returns a Deferred.
        seconds: the deadline.

    Returns:
        The verdict, or a Deferred if the policy returns a Deferred. The Deferred fires with the verdict or fails with
        Refused; cancelling it cancels the Deferred of the policy.

    Raises:
        Refused: policy_failed. A policy in audit mode abstains instead.
    """
    try:
        answer = policy.decide(request, resolution)
    except BaseException:
        return _failed(policy, FAILED, describe_exception(Failure()))
    if isinstance(answer, Deferred):
        return _Wait(policy, answer).begin(clock, seconds)
    return _checked(policy, answer)


def ask_observer(observer: IPolicyObserver, request: Request, up: int, down: int) -> Verdict | None:
    """Notify one observer of transferred octets, and check its result like a result of `decide`.

    Args:
        observer: the policy.
        request: the request whose octets were transferred.
        up: the number of octets from the client since the last call.
        down: the number of octets to the client since the last call.

    Returns:
        The observer's verdict, if any. A failure is a DENY, or the policy's `failure_verdict`.
    """
    policy = cast(IPolicy, observer)
    try:
        try:
            answer = observer.moved(request, up, down)
        except BaseException:
            return _failed(policy, FAILED, describe_exception(Failure()))
        return None if answer is None else _checked(policy, answer)
    except Refused as refused:
        return Verdict(Outcome.DENY, policy.name, reason=refused.reason)


def _checked(policy: IPolicy, answer: object) -> Verdict:
    # Written inline, because a call costs time in every request.
    if isinstance(answer, Verdict) and isinstance(answer.outcome, Outcome) and answer.policy == policy.name:
        return answer
    return _failed(policy, FAILED, _describe_answer(answer))


def _is_verdict_of(policy: IPolicy, answer: object) -> bool:
    return isinstance(answer, Verdict) and isinstance(answer.outcome, Outcome) and answer.policy == policy.name


def _describe_answer(answer: object) -> str:
    """Describe a result that is not a verdict of its policy."""
    if isinstance(answer, Verdict) and isinstance(answer.outcome, Outcome):
        return "its verdict bears another name"
    return f"it returned {type(answer).__name__}, not a verdict"


def _failed(policy: IPolicy, reason: str, detail: str) -> Verdict:
    _log.error("policy {policy} gave no verdict: {detail}", policy=policy.name, detail=detail)
    lenient = IFailureVerdict(policy, None)
    if lenient is not None:
        try:
            verdict = lenient.failure_verdict(reason)
        except BaseException:
            problem = describe_exception(Failure())
        else:
            if _is_verdict_of(policy, verdict):
                return verdict
            problem = _describe_answer(verdict)
        _log.error("policy {policy} gave no failure verdict: {detail}", policy=policy.name, detail=problem)
    raise Refused("policy_failed", reason, policy=policy.name, detail=detail)


def describe_exception(failure: Failure) -> str:
    """Describe an exception of a policy by type and place. The exception's text may contain octets of the client."""
    kind = getattr(failure.type, "__qualname__", "exception")
    if not failure.frames:
        return str(kind)
    function, file, line = failure.frames[-1][:3]
    return f"{kind} in {function} ({file}:{line})"


@define(eq=False)
class _Wait:
    """Waits for one policy, up to a deadline that applies even if the policy's Deferred ignores its cancellation."""

    policy: IPolicy
    pending: Deferred[Verdict]
    timer: IDelayedCall | None = None
    is_over: bool = False
    verdict: Verdict | None = None
    refused: Refused | None = None
    answer: Deferred[Verdict] | None = None

    def begin(self, clock: IReactorTime, seconds: float) -> Verdict | Deferred[Verdict]:
        self.pending.addBoth(self._decided)
        if self.refused is not None:
            raise self.refused
        if self.verdict is not None:
            return self.verdict
        self.timer = clock.callLater(seconds, self._late)
        self.answer = Deferred(self._left)
        return self.answer

    def _decided(self, answer: object) -> None:
        if self.is_over:
            return
        if isinstance(answer, Failure):
            self._end(FAILED, describe_exception(answer), answer)
        else:
            self._end("", "", answer)

    def _late(self) -> None:
        self.timer = None
        self._end(LATE, "it did not decide in time", None)
        self._cancel()

    def _left(self, _: Deferred[Verdict]) -> None:
        # The result is no longer awaited. Twisted fails the Deferred with CancelledError once this method returns.
        self.is_over = True
        self._stop_timer()
        self._cancel()

    def _end(self, problem: str, detail: str, answer: object) -> None:
        self.is_over = True
        self._stop_timer()
        try:
            self.verdict = _failed(self.policy, problem, detail) if problem else _checked(self.policy, answer)
        except Refused as refused:
            self.refused = refused
        if self.answer is None:
            return
        if self.verdict is not None:
            self.answer.callback(self.verdict)
        elif self.refused is not None:
            self.answer.errback(self.refused)

    def _stop_timer(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel()

    def _cancel(self) -> None:
        try:
            self.pending.cancel()
        except BaseException:
            detail = describe_exception(Failure())
            _log.error("policy {policy} failed to cancel: {detail}", policy=self.policy.name, detail=detail)


@define(eq=False)
class PolicyRound:
    """The verdicts of one round, in configured order.

    Attributes:
        allowed: the first ALLOW; None without an ALLOW.
        asked: the first ASK; None without an ASK. An ASK has an effect only if no policy denies.
    """

    allowed: Verdict | None = None
    asked: Verdict | None = None
    _said: list[Verdict] = field(init=False, factory=list)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts so far."""
        return tuple(self._said)

    def add(self, verdict: Verdict) -> None:
        """Add the next policy's verdict.

        Raises:
            Refused: denied, or rate_limited where the verdict says when a retry can help.
        """
        self._said.append(verdict)
        outcome = verdict.outcome
        if outcome is Outcome.ALLOW:
            if self.allowed is None:
                self.allowed = verdict
        elif outcome is Outcome.ASK:
            self.asked = self.asked or verdict
        elif outcome is not Outcome.ABSTAIN:
            raise denial(verdict, self.verdicts)

    def unapproved(self) -> Refused:
        """Make the refusal of a round with an ASK. Approvals are not supported."""
        asked = self.asked
        assert asked is not None
        return Refused(
            "approval_unavailable",
            asked.reason,
            asked.policy,
            asked.rule,
            message=asked.message,
            verdicts=self.verdicts,
        )

    def silence(self) -> Refused:
        """Make the refusal of a round without an ALLOW.

        The refusal's reason is taken from an abstaining policy: preferably a near miss, which has the name of its rule.
        """
        if not self._said:
            return Refused("no_rule", "No policy is configured.")
        spoken = [verdict for verdict in self._said if verdict.outcome is Outcome.ABSTAIN and verdict.reason]
        nearest = next((verdict for verdict in spoken if verdict.rule), spoken[0] if spoken else None)
        if nearest is None:
            return Refused("no_rule", "No rule allows it.", verdicts=self.verdicts)
        return Refused(
            "no_rule",
            nearest.reason,
            policy=nearest.policy,
            rule=nearest.rule,
            message=nearest.message,
            verdicts=self.verdicts,
        )


def denial(verdict: Verdict, verdicts: tuple[Verdict, ...] = ()) -> Refused:
    """Make the refusal of a DENY.

    Args:
        verdict: the DENY of a round or of an observer.
        verdicts: the verdicts so far, for the audit log.
    """
    retry = verdict.retry_seconds
    return Refused(
        "denied" if retry is None else "rate_limited",
        verdict.reason or "A rule denies it.",
        policy=verdict.policy,
        rule=verdict.rule,
        # Retry-After has whole seconds (RFC 9110 section 10.2.3), and 0 would cause immediate retries of many clients.
        retry_seconds=None if retry is None or not isfinite(retry) else float(max(1, ceil(retry))),
        message=verdict.message,
        verdicts=verdicts,
    )
