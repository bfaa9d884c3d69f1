"""A plan that knows what to do once the addresses are known."""

from __future__ import annotations

from typing import NoReturn

from attrs import evolve, field, frozen

from egress.errors import Refused
from egress.match import HostIndex
from egress.model import Authority, Resolution, Route, RoutePlan
from egress.upstream.no_proxy import NoProxy


@frozen
class UpstreamPlan(RoutePlan):
    """Which route a request takes, what decided, and what NO_PROXY makes of it. Shared by all that are decided alike.

    Attributes:
        no_proxy: what goes past this route's proxy.
        by_name: the direct route for names that `no_proxy` lists; None where that is forbidden.
        by_address: the direct route for addresses that `no_proxy` lists; None where that is forbidden.
        delegate: names that the proxy may resolve where we cannot; None for none.
    """

    no_proxy: NoProxy | None = field(default=None, eq=False, repr=False)
    by_name: UpstreamPlan | None = field(default=None, eq=False, repr=False)
    by_address: UpstreamPlan | None = field(default=None, eq=False, repr=False)
    delegate: HostIndex[None] | None = field(default=None, eq=False, repr=False)

    def delegates(self, host: str) -> bool:
        """Whether the operator leaves this canonical name to the proxy when it cannot be resolved here."""
        return self.delegate is not None and bool(self.delegate.find(host))

    def plan_by_name(self, authority: Authority) -> UpstreamPlan:
        """Give the route for a destination as it is called: this one, or the direct one where NO_PROXY lists it.

        Raises:
            Refused: direct_refused.
        """
        if self.no_proxy is None or not self.hops or not self.no_proxy.matches_name(authority):
            return self
        return self.by_name or self._refuse_direct()

    def plan_by_address(self, resolution: Resolution, port: int) -> UpstreamPlan:
        """Give the route for what was resolved: this one, or the direct one where NO_PROXY lists any of the addresses.

        Raises:
            Refused: direct_refused.
        """
        if self.no_proxy is None or not self.hops or not self.no_proxy.direct_addresses(resolution.addresses, port):
            return self
        return self.by_address or self._refuse_direct()

    def settle(self, resolution: Resolution, port: int = 0, by_name: bool = False) -> Route:
        """Fix the route for what was resolved and judged. Of a direct one only what NO_PROXY lists is dialled.

        Args:
            resolution: what was judged.
            port: of the destination; entries of NO_PROXY may have one.
            by_name: a proxy is to be asked for the name, although its addresses are known.

        Raises:
            Refused: direct_refused.
        """
        plan = self.plan_by_address(resolution, port)
        if plan.no_proxy is not None and not plan.hops:
            return Route(plan.label, (), plan.no_proxy.direct_addresses(resolution.addresses, port))
        # Where nothing was resolved, the name is all there is to ask a proxy for.
        is_named = bool(plan.hops) and (by_name or resolution.is_delegated)
        return Route(plan.label, plan.hops, resolution.addresses, is_named)

    def _refuse_direct(self) -> NoReturn:
        raise evolve(DIRECT_REFUSED, level=self.level, source=self.source).refusal()


@frozen
class RefusedRoute:
    """A decision that lets nothing through.

    Attributes:
        code: "route_refused" or "direct_refused".
        reason: one sentence.
        rule: the route's name, or "".
        level: the level of the cascade that decided: "refused" for a route, "" where it is not known.
        source: the setting that decided; "" where it is not known.
    """

    code: str
    reason: str
    rule: str = ""
    level: str = ""
    source: str = ""

    def refusal(self) -> Refused:
        """Make the refusal, one for each request: an exception is not to be shared."""
        return Refused(self.code, self.reason, rule=self.rule, upstream_level=self.level, upstream_source=self.source)


DIRECT_REFUSED = RefusedRoute(
    "direct_refused", "It would go out without a proxy, which the operator of this sandbox forbids."
)
