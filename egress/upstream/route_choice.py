"""The plans that a selector chooses from, and their replacement by a direct plan for NO_PROXY."""

from __future__ import annotations

from attrs import evolve, frozen

from egress.errors import Refused
from egress.match import HostIndex
from egress.model import Authority, Resolution, Route, RoutePlan
from egress.upstream.no_proxy import NoProxy


@frozen(eq=False)
class RouteChoice:
    """One plan, and the conditions under which a direct route replaces the plan. All requests share one object.

    Attributes:
        plan: the plan.
        no_proxy: destinations that bypass the proxies of the plan; None for none.
        direct_by_name: the direct plan for names that `no_proxy` lists; None where direct routes are forbidden.
        direct_by_address: the direct plan for addresses that `no_proxy` lists; None where direct routes are forbidden.
        delegate: names that the proxy may resolve where they cannot be resolved here; None for none.
    """

    plan: RoutePlan
    no_proxy: NoProxy | None = None
    direct_by_name: RoutePlan | None = None
    direct_by_address: RoutePlan | None = None
    delegate: HostIndex[None] | None = None

    def delegates(self, host: str) -> bool:
        """Whether the upstream proxy may resolve a canonical name that this host cannot resolve."""
        return self.delegate is not None and bool(self.delegate.find(host))

    def plan_by_name(self, authority: Authority) -> RoutePlan:
        """Return the plan for a destination by its name: the direct plan where NO_PROXY lists the name.

        Raises:
            Refused: direct_refused.
        """
        if self.no_proxy is None or not self.no_proxy.matches_name(authority):
            return self.plan
        return self._permitted(self.direct_by_name)

    def settle(self, resolution: Resolution, port: int, by_name: bool) -> tuple[RoutePlan, Route]:
        """Fix the route. Where NO_PROXY lists some of the addresses, only those are dialled, directly.

        Raises:
            Refused: direct_refused.
        """
        if self.no_proxy is not None:
            addresses = self.no_proxy.direct_addresses(resolution.addresses, port)
            if addresses:
                direct = self._permitted(self.direct_by_address)
                return direct, Route(direct.label, (), addresses)
        return settle(self.plan, resolution, by_name)

    def _permitted(self, direct: RoutePlan | None) -> RoutePlan:
        if direct is None:
            raise evolve(DIRECT_REFUSED, level=self.plan.level, source=self.plan.source).refusal()
        return direct


def settle(plan: RoutePlan, resolution: Resolution, by_name: bool) -> tuple[RoutePlan, Route]:
    """Fix the route of a plan that no destination bypasses. See `IUpstreamSelector.settle`."""
    # A delegated name has no addresses, so the proxy receives the name.
    is_named = bool(plan.hops) and (by_name or resolution.is_delegated)
    return plan, Route(plan.label, plan.hops, resolution.addresses, is_named)


@frozen
class RefusedRoute:
    """A choice that refuses every request.

    Attributes:
        code: "route_refused" or "direct_refused".
        reason: one sentence.
        rule: the route's name, or "".
        level: the level of the cascade that decided: "refused" for a route, "" where the level is not known.
        source: the setting that decided; "" where the setting is not known.
    """

    code: str
    reason: str
    rule: str = ""
    level: str = ""
    source: str = ""

    def refusal(self) -> Refused:
        """Make the refusal of one request."""
        return Refused(self.code, self.reason, rule=self.rule, upstream_level=self.level, upstream_source=self.source)


DIRECT_REFUSED = RefusedRoute(
    "direct_refused", "The route of this request has no upstream proxy, and the operator forbids direct connections."
)
