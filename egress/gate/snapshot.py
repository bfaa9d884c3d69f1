"""Everything that judges, built whole and swapped whole."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

from egress.gate.own_addresses import OwnAddresses
from egress.interfaces import IGuard, IPolicy, IPolicyObserver, IResolver, ITunnelingAgent, IUpstreamSelector
from egress.model import Admission, RoutePlan, Verdict

# What a snapshot remembers is bounded; when it is full it starts anew, which costs one judgement a question.
_REMEMBERED = 8192

# Client with its labels, listener, method, authority and path: all that a pure policy or the choice of the route may
# look at. Labels count by themselves: one key stands for all addresses that limits count together.
DecisionKey = tuple[str, frozenset[str], str, str, str, "str | None"]


@define(eq=False)
class Snapshot:
    """Policies, guard, routes and what they have said so far.

    Attributes:
        generation: counts up with every snapshot.
        policies: in configured order.
        guard: judges names and addresses.
        resolver: looks names up.
        selector: picks the route.
        agent: dials.
        own: what is ourselves.
        made_at: seconds on the system's monotonic clock.
        recall: gives a whole judgement of before; good only while its Resolution is still the resolver's answer.
    """

    generation: int
    policies: tuple[IPolicy, ...]
    guard: IGuard
    resolver: IResolver
    selector: IUpstreamSelector
    agent: ITunnelingAgent
    own: OwnAddresses
    made_at: float = field(init=False, factory=time.monotonic)
    pure: tuple[IPolicy, ...] = field(init=False)
    impure: tuple[IPolicy, ...] = field(init=False)
    observers: tuple[IPolicyObserver, ...] = field(init=False)
    recall: Callable[[DecisionKey], Admission | None] = field(init=False)
    _first: dict[DecisionKey, tuple[tuple[Verdict, ...], RoutePlan]] = field(init=False, factory=dict)
    _whole: dict[DecisionKey, Admission] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.recall = self._whole.get

    @pure.default
    def _find_pure(self) -> tuple[IPolicy, ...]:
        return tuple(policy for policy in self.policies if policy.pure)

    @impure.default
    def _find_impure(self) -> tuple[IPolicy, ...]:
        return tuple(policy for policy in self.policies if not policy.pure)

    @observers.default
    def _find_observers(self) -> tuple[IPolicyObserver, ...]:
        return tuple(observer for policy in self.policies if (observer := IPolicyObserver(policy, None)) is not None)

    def first_round(self, question: DecisionKey) -> tuple[tuple[Verdict, ...], RoutePlan] | None:
        """Recall what the pure policies and the selector said before the name was looked up."""
        return self._first.get(question)

    def remember_first_round(self, question: DecisionKey, verdicts: tuple[Verdict, ...], plan: RoutePlan) -> None:
        """Keep it. Refusals are not kept: they are rarer, and a flood of them must not push out what is allowed."""
        if len(self._first) >= _REMEMBERED:
            self._first.clear()
        self._first[question] = verdicts, plan

    def remember_admission(self, question: DecisionKey, admission: Admission) -> None:
        """Keep a whole judgement."""
        if len(self._whole) >= _REMEMBERED:
            self._whole.clear()
        self._whole[question] = admission
