"""The configuration snapshot: everything that judges, built whole and swapped whole."""

from __future__ import annotations

import time

from attrs import define, field

from egress.gate.decision_cache import DecisionCache
from egress.gate.own_addresses import OwnAddresses
from egress.interfaces import (
    IForwardProxies,
    IGuard,
    IPolicy,
    IPolicyObserver,
    IResolver,
    ITunnelingAgent,
    IUpstreamSelector,
)


@define(eq=False)
class Snapshot:
    """Policies, SSRF guard, resolver and routing of one configuration generation, with the decisions made so far.

    Attributes:
        generation: number of the snapshot; each reload adds 1.
        policies: in configured order.
        guard: judges names and addresses.
        resolver: looks names up.
        selector: chooses the route.
        agent: builds the endpoint of a route.
        own: addresses of the proxy's own listeners and of the upstream proxies.
        proxies: the upstream proxies; None where every route is direct.
        created_at: seconds on the system's monotonic clock.
        has_impure: at least one policy must be asked for each request.
        observers: the policies that are told what becomes of admitted requests.
        decisions: what this snapshot has decided so far.
    """

    generation: int
    policies: tuple[IPolicy, ...]
    guard: IGuard
    resolver: IResolver
    selector: IUpstreamSelector
    agent: ITunnelingAgent
    own: OwnAddresses
    proxies: IForwardProxies | None
    created_at: float = field(init=False, factory=time.monotonic)
    has_impure: bool = field(init=False)
    observers: tuple[IPolicyObserver, ...] = field(init=False)
    decisions: DecisionCache = field(init=False, factory=DecisionCache)

    @has_impure.default
    def _find_impure(self) -> bool:
        return any(not policy.pure for policy in self.policies)

    @observers.default
    def _find_observers(self) -> tuple[IPolicyObserver, ...]:
        return tuple(observer for policy in self.policies if (observer := IPolicyObserver(policy, None)) is not None)
