"""A harness that judges requests with a policy the way the proxy does, and policies that are simple to predict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import Refused
from egress.gate.decision_cache import decision_key
from egress.gate.eager import run_eagerly
from egress.gate.evaluation import Evaluation, Fixed, evaluate
from egress.gate.name_resolution import NameResolution
from egress.gate.own_addresses import OwnAddresses
from egress.gate.snapshot import Snapshot
from egress.interfaces import IGuard, IPolicy, IPolicyMaker, ITunnelingAgent
from egress.model import Address, Admission, Authority, Outcome, Request, Resolution, Verdict
from egress.policy.interface_check import breaches
from egress.policy.registry import build_policies
from egress.testing.host import FakeHost
from egress.testing.requests import make_request, resolve_to
from egress.upstream import DirectSelector

PUBLIC_ADDRESS = "93.184.216.34"
"""What names resolve to where a test does not care."""


@implementer(IPolicy)
@define(eq=False)
class FixedPolicy:
    """Says the same to everything.

    Attributes:
        name: its name.
        outcome: what it says.
        rule: of its verdict.
        reason: of its verdict.
        pure: what it promises.
        asked: each request, and what its name resolved to, in order.
    """

    name: str = "fixed"
    outcome: Outcome = Outcome.ALLOW
    rule: str = ""
    reason: str = ""
    pure: bool = True
    asked: list[tuple[Request, Resolution | None]] = field(init=False, factory=list)

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Say it."""
        self.asked.append((request, resolution))
        return Verdict(self.outcome, self.name, self.rule, self.reason)


class PolicyHarness:
    """Builds a policy as the supervisor does and judges requests by the gate's own list of checks.

    The guard is not asked: it is no policy, and what it refuses no policy sees.

    Attributes:
        host: what was lent to the policy.
        policies: what judges, in order; the policy itself is the first.
    """

    def __init__(
        self,
        policy: IPolicyMaker | IPolicy,
        settings: Mapping[str, object] | None = None,
        *,
        host: FakeHost | None = None,
        others: Sequence[IPolicy] = (),
        policy_seconds: float = 5.0,
    ) -> None:
        """Build.

        Args:
            policy: the plugin, or a policy that was built already.
            settings: the `[[policy]]` table for the plugin; `kind` need not be in it.
            host: lent to the plugin.
            others: asked after it. A policy that only denies needs one beside it that allows: `FixedPolicy()`.
            policy_seconds: how long a policy may take.

        Raises:
            ConfigError: as at the supervisor's start.
        """
        self.host = FakeHost() if host is None else host
        self.policies: tuple[IPolicy, ...] = (self._build(policy, settings or {}), *others)
        self._policy_seconds = policy_seconds

    @property
    def policy(self) -> IPolicy:
        """The policy under test."""
        return self.policies[0]

    def judge(self, request: Request | str, addresses: Iterable[str] = (PUBLIC_ADDRESS,)) -> Verdict | Refused:
        """Judge a request in both rounds.

        Args:
            request: or its URL, from which `make_request` makes one.
            addresses: what its name resolves to; a literal is its own address whatever is said here.

        Returns:
            The ALLOW that lets it in, or why it is refused.

        Raises:
            AssertionError: a policy has not decided yet; use `begin`.
        """
        ends: list[Verdict | Refused | Failure] = []
        judging = self.begin(request, addresses)
        judging.addBoth(ends.append)
        if not ends:
            judging.cancel()
            raise AssertionError("a policy has not decided yet; use begin() and fire what it waits for")
        end = ends[0]
        if isinstance(end, Failure):
            end.raiseException()
        return end

    def begin(
        self, request: Request | str, addresses: Iterable[str] = (PUBLIC_ADDRESS,)
    ) -> Deferred[Verdict | Refused]:
        """Judge a request with policies that take their time. Advance the clock of ``host`` to reach their deadline."""
        wanted = make_request(request) if isinstance(request, str) else request
        return self._judge(wanted, _resolution(wanted, addresses))

    def allows(self, request: Request | str, addresses: Iterable[str] = (PUBLIC_ADDRESS,)) -> bool:
        """Whether a request is let in. See `judge`."""
        return isinstance(self.judge(request, addresses), Verdict)

    def assert_pure(self, *requests: Request | str, addresses: Iterable[str] = (PUBLIC_ADDRESS,)) -> None:
        """Check the promise of `pure`: what it may not depend on is changed, and the verdicts must stay.

        Raises:
            AssertionError: it does not promise, or it does not keep it.
        """
        if not self.policy.pure:
            raise AssertionError(f"policy {self.policy.name} does not promise to be pure")
        for request in requests:
            wanted = make_request(request) if isinstance(request, str) else request
            resolution = _resolution(wanted, addresses)
            for stage in (None, resolution):
                before = self.policy.decide(wanted, stage)
                self.host.clock.advance(86_400)
                later = evolve(wanted, id=f"{wanted.id}-again", begun=wanted.begun + 86_400, is_dry_run=True)
                if isinstance(before, Deferred) or before != self.policy.decide(later, stage):
                    raise AssertionError(f"policy {self.policy.name} is not pure: {wanted.authority.text}")

    def _build(self, policy: IPolicyMaker | IPolicy, settings: Mapping[str, object]) -> IPolicy:
        if IPolicyMaker.providedBy(policy):
            maker: IPolicyMaker = policy
            table = {"kind": maker.kind, **settings}
            problem = breaches(IPolicyMaker, maker)
            if problem:
                raise AssertionError(f"the plugin is broken: {problem}")
            return build_policies([table], {maker.kind: maker}, self.host)[0]
        problem = breaches(IPolicy, policy)
        if problem:
            raise AssertionError(f"neither a plugin nor a policy: {problem}")
        built: IPolicy = policy
        return built

    def _judge(self, request: Request, resolution: Resolution) -> Deferred[Verdict | Refused]:
        snapshot = Snapshot(
            1,
            self.policies,
            _OpenGuard(),
            self.host.resolver,
            DirectSelector(),
            cast(ITunnelingAgent, None),  # nothing is dialled
            OwnAddresses(()),
            None,
        )
        evaluation = Evaluation(
            snapshot,
            request,
            decision_key(request),
            self.host.clock,
            self._policy_seconds,
            NameResolution(self.host.clock, 1.0),
            Fixed(resolution),
        )

        def run() -> Any:
            return run_eagerly(evaluate(evaluation))

        judging: Deferred[Admission] = maybeDeferred(run)
        return judging.addCallbacks(lambda admission: admission.verdict, _give_refusal)


@implementer(IGuard)
class _OpenGuard:
    """Refuses nothing: the SSRF guard is no part of a policy."""

    def check_name(self, authority: Authority, verdict: Verdict) -> None:
        """Do nothing."""

    def check_addresses(self, authority: Authority, addresses: tuple[Address, ...], verdict: Verdict) -> None:
        """Do nothing."""


def _give_refusal(failure: Failure) -> Refused:
    failure.trap(Refused)
    refused = failure.value
    assert isinstance(refused, Refused)
    return refused


def _resolution(request: Request, addresses: Iterable[str]) -> Resolution:
    address = request.authority.address
    if address is not None:
        return Resolution(request.authority.host, (address,))
    return resolve_to(*addresses, host=request.authority.host)
