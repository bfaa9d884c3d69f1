"""What an evaluation tells of its results: the explanation records them, every other evaluation does not."""

from __future__ import annotations

from typing import Protocol

from egress.model import Resolution, RoutePlan, Verdict


class Trace(Protocol):
    """Records the results of an evaluation.

    Attributes:
        asks_everybody: policies after the first DENY are asked too, and remembered verdicts are not used.
    """

    @property
    def asks_everybody(self) -> bool:
        """See above."""

    def said(self, verdict: Verdict, is_by_address: bool) -> None:
        """A policy gave a verdict."""

    def planned(self, plan: RoutePlan) -> None:
        """The selector chose a plan, or another one for the addresses."""

    def resolved(self, resolution: Resolution) -> None:
        """The addresses are known."""

    def guarded(self, result: str) -> None:
        """The SSRF guard gave its result: "passed", or a reason."""


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
