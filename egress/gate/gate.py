"""The one choke point: judge by name, select, resolve, guard, judge by address, settle."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress.errors import Refused, ResolutionError
from egress.gate.eager import run
from egress.gate.name_resolution import NameResolution, is_by_name, own_address
from egress.gate.policy_round import PolicyRound, ask
from egress.gate.snapshot import DecisionKey, Snapshot
from egress.interfaces import IApprovals, IGate
from egress.model import Admission, Outcome, Request, Resolution, RoutePlan, Verdict


@define(eq=False)
class Explanation:
    """What the gate would do with a request, step by step. A step that was not reached is empty.

    Attributes:
        first: each policy's verdict before the name was looked up.
        plan: the route.
        resolution: what the name stands for.
        second: each policy's verdict on the addresses.
        guard: "passed", or why not.
        admission: where it would be admitted.
        refused: where it would not.
    """

    first: list[Verdict] = field(factory=list)
    plan: RoutePlan | None = None
    resolution: Resolution | None = None
    second: list[Verdict] = field(factory=list)
    guard: str = ""
    admission: Admission | None = None
    refused: Refused | None = None


@implementer(IGate)
@define(eq=False)
class Gate:
    """Decides about every request of every front; no decision is taken anywhere else.

    Attributes:
        world: what judges now. Replaced whole by a reload.
        clock: for the deadline of policies.
        policy_seconds: the deadline of a policy that answers later.
        approvals: who can answer an ASK, if anybody.
        delegated_seconds: how long it is remembered that a name was left to the proxy for want of a resolver.
        naming: finds what names stand for.
    """

    snapshot: Snapshot
    clock: IReactorTime
    policy_seconds: float
    approvals: IApprovals | None = None
    delegated_seconds: float = 60.0
    naming: NameResolution = field(init=False)

    @naming.default
    def _make_naming(self) -> NameResolution:
        return NameResolution(self.clock, self.delegated_seconds)

    def admit(self, request: Request) -> Admission | Deferred[Admission]:
        """Judge a request. See `IGate.admit`."""
        snapshot = self.snapshot
        client, authority = request.client, request.authority
        # As `_question` has it.
        question = client.key, client.labels, request.listener, request.method, authority.text, request.path
        known = snapshot.recall(question)
        if known is not None and not snapshot.impure:
            host = authority.host
            if known.resolution.is_delegated:
                if (
                    known.plan.dns == "remote"
                    or self.naming.delegated.find(host, snapshot.resolver) is known.resolution
                ):
                    return known
                return run(self._steps(snapshot, request, question, None, None))
            # What was judged stays judged for as long as the resolver gives that same answer.
            try:
                resolution = snapshot.resolver.resolve(host)
            except ResolutionError:
                # The steps may know another way.
                return run(self._steps(snapshot, request, question, None, None))
            if resolution is known.resolution:
                # What a proxy's name leads to may have been learned since.
                own = snapshot.own
                if authority.port in own.hop_ports and own.holds(authority, resolution.addresses):
                    raise own_address()
                return known
            return run(self._steps(snapshot, request, question, None, resolution))
        return run(self._steps(snapshot, request, question, None, None))

    def remember_delegated(self, seconds: float) -> None:
        """Remember for so long, from now on, that a name was left to the proxy for want of a resolver."""
        if seconds != self.delegated_seconds:
            self.delegated_seconds = seconds
            self.naming = NameResolution(self.clock, seconds)

    def judge_again(self, request: Request, admission: Admission, dialled: str) -> Admission | Deferred[Admission]:
        """Judge what an earlier snapshot admitted, by what is known of it: its name is not looked up again.

        It is neither a dry run nor a new request: it is marked, so that nothing counts it a second time.

        Args:
            request: what is under way, or about to be.
            admission: by which.
            dialled: the address at the other end; "" where it is not known.

        Returns:
            This snapshot's admission, for the same route, even if another would be chosen now.

        Raises:
            Refused: it may not go on.
        """
        request.is_judged_again = True
        return run(self._steps_again(self.snapshot, request, admission, dialled))

    def _steps_again(
        self, snapshot: Snapshot, request: Request, admission: Admission, dialled: str
    ) -> Generator[Any, Any, Admission]:
        authority, resolution = request.authority, _kept(admission, dialled)
        if snapshot.own.names_hop(authority):
            raise own_address()
        question = _question(request)
        remembered = snapshot.first_round(question)
        judged, is_lasting = yield from self._first_round(snapshot, request, remembered and remembered[0], None)
        plan = remembered[1] if remembered is not None else (yield from self._select(snapshot, request, judged))
        if remembered is None and is_lasting:
            snapshot.remember_first_round(question, judged.verdicts, plan)
        allowed = judged.allowed
        assert allowed is not None, "a first round that ends without an ALLOW was refused"
        snapshot.guard.check_name(authority, allowed)
        yield from self.naming.refuse_own(snapshot, authority, resolution, allowed)
        snapshot.guard.check_addresses(authority, resolution.addresses, allowed)
        second = yield from self._round(snapshot, request, resolution, None, None)
        if second.asks:
            second = yield from self._approve(snapshot, request, resolution, second)
        if plan.plan_by_address(resolution, authority.port).hops and not admission.route.hops:
            snapshot.selector.check_direct()
        return Admission(
            allowed, second.verdicts, admission.plan, admission.route, admission.resolution, snapshot.generation
        )

    def explain(self, request: Request) -> Explanation | Deferred[Explanation]:
        """Say what would be decided and why. Looks the name up if that were done, and dials nothing.

        Args:
            request: must be a dry run.
        """
        return run(self._explain(request))

    def _explain(self, request: Request) -> Generator[Any, Any, Explanation]:
        seen = Explanation()
        question = _question(request)
        try:
            seen.admission = yield from self._steps(self.snapshot, request, question, seen, None)
        except Refused as refused:
            seen.refused = refused
        return seen

    def _steps(
        self,
        snapshot: Snapshot,
        request: Request,
        question: DecisionKey,
        seen: Explanation | None,
        resolution: Resolution | Deferred[Resolution] | None,
    ) -> Generator[Any, Any, Admission]:
        """The way of one request.

        Args:
            world: what judges, to the end, even if it is replaced meanwhile.
            request: what is wanted.
            question: what verdicts are remembered by.
            seen: told of each step, in a dry run.
            resolution: the look-up, where it was begun already because the same question had been allowed before.
        """
        authority = request.authority
        if authority.address is not None:
            if snapshot.own.holds(authority, (authority.address,)):
                raise own_address()
        elif snapshot.own.names_hop(authority):
            raise own_address()
        remembered = snapshot.first_round(question)
        if remembered is None or snapshot.impure or seen is not None:
            judged, is_lasting = yield from self._first_round(snapshot, request, remembered and remembered[0], seen)
            plan = remembered[1] if remembered is not None else (yield from self._select(snapshot, request, judged))
            if remembered is None and is_lasting:
                snapshot.remember_first_round(question, judged.verdicts, plan)
            allowed, verdicts = judged.allowed, judged.verdicts
        else:
            is_lasting = True
            verdicts, plan = remembered
            allowed = next(verdict for verdict in verdicts if verdict.outcome is Outcome.ALLOW)
        assert allowed is not None, "a first round that ends without an ALLOW was refused"
        if seen is not None:
            seen.plan = plan
        try:
            snapshot.guard.check_name(authority, allowed)
        except Refused as refused:
            if seen is not None:
                seen.guard = refused.reason
            raise
        resolution = yield from self.naming.resolve(snapshot, request, plan, allowed, resolution)
        if seen is not None:
            seen.resolution = resolution
        yield from self.naming.refuse_own(snapshot, authority, resolution, allowed)
        try:
            snapshot.guard.check_addresses(authority, resolution.addresses, allowed)
        except Refused as refused:
            if seen is not None:
                seen.guard = refused.reason
            raise
        if seen is not None:
            seen.guard = "passed"
        second = yield from self._round(snapshot, request, resolution, None, seen.second if seen is not None else None)
        if second.asks:
            is_lasting = False
            second = yield from self._approve(snapshot, request, resolution, second)
        plan = plan.plan_by_address(resolution, authority.port)
        if seen is not None:
            seen.plan = plan
        route = plan.settle(resolution, authority.port, is_by_name(plan, allowed))
        if route.hops and snapshot.own.is_machine_of_hop(authority.port, resolution.addresses):
            raise own_address()
        admission = Admission(allowed, second.verdicts, plan, route, resolution, snapshot.generation)
        if is_lasting and not snapshot.impure:
            snapshot.remember_admission(question, admission)
        return admission

    def _first_round(
        self, snapshot: Snapshot, request: Request, remembered: tuple[Verdict, ...] | None, seen: Explanation | None
    ) -> Generator[Any, Any, tuple[PolicyRound, bool]]:
        judged = yield from self._round(snapshot, request, None, remembered, seen.first if seen is not None else None)
        is_lasting = seen is None and not judged.asks
        if judged.asks:
            judged = yield from self._approve(snapshot, request, None, judged)
        if judged.allowed is None:
            # A look-up is itself a way out: what nothing allows is not even asked for by name.
            raise judged.silence()
        return judged, is_lasting

    def _round(
        self,
        snapshot: Snapshot,
        request: Request,
        resolution: Resolution | None,
        remembered: tuple[Verdict, ...] | None,
        told: list[Verdict] | None,
        approved: dict[str, Verdict] | None = None,
    ) -> Generator[Any, Any, PolicyRound]:
        """Ask all policies in configured order; the pure ones only if what they said is not remembered.

        In a dry run all are asked, even after the first DENY, which is raised at the end.
        """
        judged = PolicyRound()
        refused: Refused | None = None
        for at, policy in enumerate(snapshot.policies):
            try:
                if remembered is not None and policy.pure:
                    verdict = remembered[at]
                else:
                    verdict = yield ask(policy, request, resolution, self.clock, self.policy_seconds)
                if approved is not None and verdict.outcome is Outcome.ASK:
                    verdict = approved.get(verdict.policy, verdict)
                if told is not None:
                    told.append(verdict)
                judged.add(verdict)
            except Refused as error:
                if told is None:
                    raise
                refused = refused or error
        if refused is not None:
            raise refused
        return judged

    def _approve(
        self, snapshot: Snapshot, request: Request, resolution: Resolution | None, judged: PolicyRound
    ) -> Generator[Any, Any, PolicyRound]:
        """Put each ASK to whoever can answer, and judge anew with the answers.

        `policy_seconds` bounds a policy, not a person: the provider has its own deadline.
        """
        if self.approvals is None or request.is_dry_run:
            asking = judged.asks[0]
            raise Refused("approval_unavailable", asking.reason, asking.policy, asking.rule, verdicts=judged.verdicts)
        approved = {}
        for asking in judged.asks:
            answer = yield self.approvals.ask(request, asking)
            if answer.outcome is not Outcome.ALLOW:
                raise Refused("denied", answer.reason, asking.policy, asking.rule, verdicts=judged.verdicts)
            approved[asking.policy] = answer
        return (yield from self._round(snapshot, request, resolution, None, None, approved))

    def _select(self, snapshot: Snapshot, request: Request, judged: PolicyRound) -> Generator[Any, Any, RoutePlan]:
        try:
            plan: RoutePlan = yield snapshot.selector.select(request)
        except Refused as refused:
            refused.verdicts = refused.verdicts or judged.verdicts
            raise
        return plan


def _question(request: Request) -> DecisionKey:
    client = request.client
    return client.key, client.labels, request.listener, request.method, request.authority.text, request.path


def _kept(admission: Admission, dialled: str) -> Resolution:
    """Give what was resolved; on a direct route only the address that was dialled, for that is all that is in use."""
    resolution = admission.resolution
    if not admission.route.hops:
        for address in resolution.addresses:
            if str(address) == dialled:
                return Resolution(resolution.host, (address,))
    return resolution
