"""A harness that judges requests with a policy by the gate's list of checks, and a policy with a fixed verdict."""

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
from egress.model import Address, Admission, Authority, Obligation, Outcome, Request, Resolution, Verdict
from egress.policy.interface_check import breaches
from egress.policy.registry import build_policies
from egress.testing.host import FakeHost
from egress.testing.requests import make_request, resolve_to
from egress.upstream import DirectSelector

PUBLIC_ADDRESS = "93.184.216.34"
"""The default address of names in tests."""


@implementer(IPolicy)
@define(eq=False)
class FixedPolicy:
    """Returns a fixed verdict for every request.

    Attributes:
        name: name of the policy.
        outcome: outcome of the verdict.
        rule: rule of the verdict.
        reason: reason of the verdict.
        pure: see `IPolicy`.
        obligations: obligations of the verdict.
        asked: each request with its resolution, in order.
    """

    name: str = "fixed"
    outcome: Outcome = Outcome.ALLOW
    rule: str = ""
    reason: str = ""
    pure: bool = True
    obligations: frozenset[Obligation] = frozenset()
    asked: list[tuple[Request, Resolution | None]] = field(init=False, factory=list)

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Return the fixed verdict. See `IPolicy.decide`."""
        self.asked.append((request, resolution))
        return Verdict(self.outcome, self.name, self.rule, self.reason, obligations=self.obligations)


class PolicyHarness:
    """Builds a policy as the supervisor does and judges requests by the gate's own list of checks.

    The SSRF guard is not evaluated, because it is not a policy.

    Attributes:
        host: the services of the policy.
        policies: all policies in order; the policy under test is the first.
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
            host: the services of the plugin.
            others: policies that are asked afterwards. A policy that only denies needs a further policy that allows:
                `FixedPolicy()`.
            policy_seconds: the deadline of a policy in seconds.

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
            request: the request, or a URL for `make_request`.
            addresses: addresses of the name; ignored for a literal address.

        Returns:
            The first ALLOW, or the refusal.

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
        """Judge a request with policies that return a Deferred. The clock of ``host`` measures their deadline."""
        wanted = make_request(request) if isinstance(request, str) else request
        return self._judge(wanted, _resolution(wanted, addresses))

    def allows(self, request: Request | str, addresses: Iterable[str] = (PUBLIC_ADDRESS,)) -> bool:
        """Whether a request is allowed. See `judge`."""
        return isinstance(self.judge(request, addresses), Verdict)

    def assert_pure(self, *requests: Request | str, addresses: Iterable[str] = (PUBLIC_ADDRESS,)) -> None:
        """Check the promise of ``pure``: change facts that the verdict must not depend on, and compare verdicts.

        Raises:
            AssertionError: the policy is not pure, or a verdict changes.
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
    """A guard that refuses nothing, because the SSRF guard is not part of a policy."""

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
