"""The trace of an evaluation. An explanation records the results; every other evaluation records nothing."""

from __future__ import annotations

from typing import Protocol

from egress.model import Resolution, RoutePlan, Verdict


class Trace(Protocol):
    """Records the results of an evaluation.

    Attributes:
        asks_everybody: whether policies after the first DENY are asked too, and cached verdicts are not used.
    """

    @property
    def asks_everybody(self) -> bool:
        """Whether every policy is asked."""

    def said(self, verdict: Verdict, is_by_address: bool) -> None:
        """Record the verdict of a policy."""

    def planned(self, plan: RoutePlan) -> None:
        """Record the plan that the selector chose, by name or for the addresses."""

    def resolved(self, resolution: Resolution) -> None:
        """Record the addresses."""

    def guarded(self, result: str) -> None:
        """Record the SSRF guard's result: "passed", or a reason."""


class NoTrace:
    """Records nothing."""

    asks_everybody = False

    def said(self, verdict: Verdict, is_by_address: bool) -> None:
        """Do nothing."""

    def planned(self, plan: RoutePlan) -> None:
        """Do nothing."""

    def resolved(self, resolution: Resolution) -> None:
        """Do nothing."""

    def guarded(self, result: str) -> None:
        """Do nothing."""


NO_TRACE = NoTrace()
