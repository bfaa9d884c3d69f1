"""The explanation of a decision, check by check."""

from __future__ import annotations

from attrs import define, field

from egress.errors import Refused
from egress.model import Admission, Resolution, RoutePlan, Verdict


@define(eq=False)
class Explanation:
    """The result of each check of one evaluation. The result of a check that was not reached is empty.

    Attributes:
        first: the verdicts of the round before the name was looked up.
        plan: the route plan.
        resolution: the addresses of the name.
        second: the verdicts of the round by address.
        guard: "passed", or the SSRF guard's reason.
        admission: the admission, if the request would be admitted.
        refused: the refusal, if the request would be refused.
    """

    first: list[Verdict] = field(factory=list)
    plan: RoutePlan | None = None
    resolution: Resolution | None = None
    second: list[Verdict] = field(factory=list)
    guard: str = ""
    admission: Admission | None = None
    refused: Refused | None = None
    asks_everybody: bool = field(init=False, default=True)

    def said(self, verdict: Verdict, is_by_address: bool) -> None:
        """Record a verdict (Trace)."""
        (self.second if is_by_address else self.first).append(verdict)

    def planned(self, plan: RoutePlan) -> None:
        """Record a plan (Trace)."""
        self.plan = plan

    def resolved(self, resolution: Resolution) -> None:
        """Record the addresses (Trace)."""
        self.resolution = resolution

    def guarded(self, result: str) -> None:
        """Record the SSRF guard's result (Trace)."""
        self.guard = result
