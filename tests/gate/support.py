"""A selector with one plan, and helpers for refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from zope.interface import implementer

from egress.errors import Refused
from egress.gate.explanation import Explanation
from egress.interfaces import IUpstreamSelector
from egress.model import Request, Resolution, Route, RoutePlan


@implementer(IUpstreamSelector)
@define(eq=False)
class PlanSelector:
    """Chooses one plan for every request, or refuses every request.

    Attributes:
        plan: the plan.
        refused: raised instead, where it is set.
    """

    plan: RoutePlan
    refused: Refused | None = None

    def select(self, request: Request) -> RoutePlan:
        """Give the plan."""
        if self.refused is not None:
            raise self.refused
        return self.plan

    def settle(
        self, plan: RoutePlan, resolution: Resolution, port: int, by_name: bool = False
    ) -> tuple[RoutePlan, Route]:
        """Keep the plan."""
        is_named = bool(plan.hops) and (by_name or resolution.is_delegated)
        return plan, Route(plan.label, plan.hops, resolution.addresses, is_named)

    def delegates(self, plan: RoutePlan, host: str) -> bool:
        """Delegate no name."""
        return False

    def check_direct(self) -> None:
        """Permit direct routes."""


def refusal_of(call: Callable[[], Any]) -> Refused:
    """Give the refusal that a call raises, or that its explanation holds.

    Raises:
        AssertionError: nothing was refused.
    """
    try:
        result = call()
    except Refused as refused:
        return refused
    if isinstance(result, Explanation) and result.refused is not None:
        return result.refused
    raise AssertionError(f"not refused: {result!r}")
