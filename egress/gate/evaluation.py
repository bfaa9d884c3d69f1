"""The single list of checks that every request must pass.

`Gate.admit`, the evaluation anew after a reload, `Gate.explain` and the policy harness of `egress.testing` all run
`CHECKS`. The four callers differ in data only: `Evaluation.fixed` has the decisions to keep, and `Evaluation.trace`
records the results or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from egress.errors import Refused
from egress.gate.decision_cache import DecisionKey
from egress.gate.eager import Steps
from egress.gate.name_resolution import NameResolution, is_by_name, own_address
from egress.gate.policy_round import PolicyRound, ask
from egress.gate.snapshot import Snapshot
from egress.gate.trace import NO_TRACE, Trace
from egress.model import Admission, Outcome, Request, Resolution, Route, RoutePlan, Verdict


@frozen(eq=False)
class Fixed:
    """The decisions that an evaluation keeps from an earlier admission.

    Attributes:
        resolution: the addresses that are judged; the name is not looked up.
        plan: the plan of the admission; None to have the selector choose.
        route: the route in use; None to have the selector settle.
    """

    resolution: Resolution
    plan: RoutePlan | None = None
    route: Route | None = None

    @classmethod
    def of(cls, admission: Admission, dialled: str = "") -> Fixed:
        """Keep the decisions of an admission.

        Args:
            admission: the admission of a request in progress, or of the tunnel around a request.
            dialled: the dialled address; "" if not known. On a direct route only this address is in use, so only this
                address is judged.
        """
        resolution = admission.resolution
        if not admission.route.hops:
            for address in resolution.addresses:
                if str(address) == dialled:
                    resolution = Resolution(resolution.host, (address,))
        return cls(resolution, admission.plan, admission.route)


@define(eq=False)
class Evaluation:
    """One evaluation of one request by one configuration snapshot.

    Attributes:
        snapshot: the snapshot of the whole evaluation, even if a reload replaces it meanwhile.
        request: the request to judge.
        key: the key of the request's decisions.
        clock: the clock of the policies' deadline.
        policy_seconds: the deadline of a policy.
        names: the name resolution.
        fixed: the decisions to keep; None for a new request.
        trace: the recorder of the results.
        started_lookup: the resolver's answer, if the resolver was asked already.
        verdicts: the verdicts of the last complete round.
        plan: the plan that the selector chose.
        resolution: the addresses that are judged.
        route: the route settled for the addresses.
        is_cacheable: whether the decisions may be cached.
    """

    snapshot: Snapshot
    request: Request
    key: DecisionKey
    clock: IReactorTime
    policy_seconds: float
    names: NameResolution
    fixed: Fixed | None = None
    trace: Trace = NO_TRACE
    started_lookup: Resolution | Deferred[Resolution] | None = None
    verdicts: tuple[Verdict, ...] = ()
    is_cacheable: bool = True
    plan: RoutePlan | None = None
    resolution: Resolution | None = None
    route: Route | None = None
    _allowed: Verdict | None = None

    @property
    def allowed(self) -> Verdict:
        """The ALLOW of the first round."""
        assert self._allowed is not None, "a first round without an ALLOW is refused"
        return self._allowed

    def admission(self) -> Admission:
        """Return the result of an evaluation that passed every check."""
        plan, route, resolution = self.plan, self.route, self.resolution
        assert plan is not None and route is not None and resolution is not None, "every check has run"
        request, generation = self.request, self.snapshot.generation
        return Admission(self.allowed, self.verdicts, plan, route, resolution, generation, request.authority)


Check: TypeAlias = Callable[[Evaluation], "Steps[None] | None"]
"""One check. It raises Refused, or leaves its result in the evaluation; a generator where it may have to wait."""


def evaluate(evaluation: Evaluation) -> Steps[Admission]:
    """Run every check in order.

    Raises:
        Refused: a check failed. The refusal has the verdicts so far.
    """
    try:
        for check in CHECKS:
            steps = check(evaluation)
            if steps is not None:
                yield from steps
    except Refused as refused:
        refused.verdicts = refused.verdicts or evaluation.verdicts
        raise
    return evaluation.admission()


def _refuse_own_destination(evaluation: Evaluation) -> None:
    """Refuse the proxy's own listeners and the upstream proxies, as far as the authority alone identifies them."""
    own, authority = evaluation.snapshot.own, evaluation.request.authority
    if authority.address is not None:
        if own.holds(authority, (authority.address,)):
            raise own_address()
    elif own.names_hop(authority):
        raise own_address()


def _ask_policies_by_name(evaluation: Evaluation) -> Steps[None] | None:
    """Ask every policy before the name is looked up. A name without an ALLOW is never looked up."""
    snapshot = evaluation.snapshot
    known = None if evaluation.trace.asks_everybody else snapshot.decisions.by_name.get(evaluation.key)
    if known is None or snapshot.has_impure:
        return _first_round(evaluation, None if known is None else known[0])
    verdicts = evaluation.verdicts = known[0]
    evaluation._allowed = next(verdict for verdict in verdicts if verdict.outcome is Outcome.ALLOW)
    return None


def _first_round(evaluation: Evaluation, remembered: tuple[Verdict, ...] | None) -> Steps[None]:
    judged = yield from _ask_policies(evaluation, None, remembered)
    if judged.allowed is None:
        raise judged.silence()
    evaluation._allowed, evaluation.verdicts = judged.allowed, judged.verdicts


def _select_plan(evaluation: Evaluation) -> Steps[None] | None:
    """Choose the route plan. A fixed plan is kept, unless the selector now refuses the request."""
    decisions, key = evaluation.snapshot.decisions, evaluation.key
    known = decisions.by_name.get(key)
    if known is None:
        return _ask_selector(evaluation)
    evaluation.plan = known[1]
    evaluation.trace.planned(known[1])
    return None


def _ask_selector(evaluation: Evaluation) -> Steps[None]:
    plan: RoutePlan = yield evaluation.snapshot.selector.select(evaluation.request)
    if evaluation.is_cacheable:
        evaluation.snapshot.decisions.keep_by_name(evaluation.key, evaluation.verdicts, plan)
    evaluation.plan = plan
    evaluation.trace.planned(plan)


def _guard_name(evaluation: Evaluation) -> None:
    """Have the SSRF guard judge the name."""
    try:
        evaluation.snapshot.guard.check_name(evaluation.request.authority, evaluation.allowed)
    except Refused as refused:
        evaluation.trace.guarded(refused.reason)
        raise


def _resolve_name(evaluation: Evaluation) -> Steps[None] | None:
    """Look the name up, once, or delegate the resolution to the upstream proxy."""
    if evaluation.fixed is None:
        return _ask_resolver(evaluation)
    evaluation.resolution = evaluation.fixed.resolution
    evaluation.trace.resolved(evaluation.resolution)
    return None


def _ask_resolver(evaluation: Evaluation) -> Steps[None]:
    assert evaluation.plan is not None
    evaluation.resolution = yield from evaluation.names.resolve(
        evaluation.snapshot, evaluation.request, evaluation.plan, evaluation.allowed, evaluation.started_lookup
    )
    evaluation.trace.resolved(evaluation.resolution)


def _refuse_own_addresses(evaluation: Evaluation) -> Steps[None]:
    """Refuse the proxy's own listeners and the upstream proxies, by address."""
    assert evaluation.resolution is not None
    authority = evaluation.request.authority
    return evaluation.names.refuse_own(evaluation.snapshot, authority, evaluation.resolution, evaluation.allowed)


def _guard_addresses(evaluation: Evaluation) -> None:
    """Have the SSRF guard judge every address."""
    assert evaluation.resolution is not None
    addresses = evaluation.resolution.addresses
    try:
        evaluation.snapshot.guard.check_addresses(evaluation.request.authority, addresses, evaluation.allowed)
    except Refused as refused:
        evaluation.trace.guarded(refused.reason)
        raise
    evaluation.trace.guarded("passed")


def _ask_policies_by_address(evaluation: Evaluation) -> Steps[None]:
    """Ask every policy again, now with the addresses. This round can only revoke the ALLOW of the first round."""
    judged = yield from _ask_policies(evaluation, evaluation.resolution, None)
    evaluation.verdicts = judged.verdicts


def _settle_route(evaluation: Evaluation) -> None:
    """Settle the route for the addresses, which NO_PROXY may list. A fixed route is kept, unless it is now forbidden.

    An address that identifies the last proxy's own machine must not have that proxy's own port.
    """
    plan, resolution, port = evaluation.plan, evaluation.resolution, evaluation.request.authority.port
    assert plan is not None and resolution is not None
    snapshot, fixed = evaluation.snapshot, evaluation.fixed
    plan, route = snapshot.selector.settle(plan, resolution, port, is_by_name(plan, evaluation.allowed))
    evaluation.trace.planned(plan)
    evaluation.plan = plan
    if fixed is not None and fixed.route is not None:
        if route.hops and not fixed.route.hops:
            snapshot.selector.check_direct()
        evaluation.plan, route = fixed.plan, fixed.route
    if route.hops and snapshot.own.is_machine_of_hop(port, resolution.addresses):
        raise own_address()
    evaluation.route = route


CHECKS: tuple[Check, ...] = (
    _refuse_own_destination,
    _ask_policies_by_name,
    _select_plan,
    _guard_name,
    _resolve_name,
    _refuse_own_addresses,
    _guard_addresses,
    _ask_policies_by_address,
    _settle_route,
)
"""Every check, in order."""


def _ask_policies(
    evaluation: Evaluation, resolution: Resolution | None, remembered: tuple[Verdict, ...] | None
) -> Generator[Any, Any, PolicyRound]:
    """Ask all policies in configured order; pure policies only if their verdict is not cached.

    Raises:
        Refused: a policy denies, or a policy asks for an approval, which is not supported.
    """
    judged, trace = PolicyRound(), evaluation.trace
    refused: Refused | None = None
    for index, policy in enumerate(evaluation.snapshot.policies):
        try:
            if remembered is not None and policy.pure:
                verdict = remembered[index]
            else:
                verdict = yield ask(policy, evaluation.request, resolution, evaluation.clock, evaluation.policy_seconds)
            trace.said(verdict, resolution is not None)
            judged.add(verdict)
        except Refused as error:
            if not trace.asks_everybody:
                raise
            refused = refused or error
    if refused is not None:
        raise refused
    if judged.asked is not None:
        raise judged.unapproved()
    return judged
