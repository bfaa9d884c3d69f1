"""The configuration snapshot: all parts that judge requests, built and replaced together."""

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
        policies: the policies in configured order.
        guard: the SSRF guard.
        resolver: the resolver of the names of destinations.
        hop_resolver: the resolver of the names of upstream proxies.
        selector: the upstream selector.
        agent: the builder of endpoints of routes.
        own: the addresses of the proxy's own listeners and of the upstream proxies.
        proxies: the upstream proxies; None where every route is direct.
        created_at: the time of creation in seconds on the system's monotonic clock.
        has_impure: whether at least one policy must be asked for each request.
        observers: the policies that observe admitted requests.
        decisions: the cached decisions of this snapshot.
    """

    generation: int
    policies: tuple[IPolicy, ...]
    guard: IGuard
    resolver: IResolver
    hop_resolver: IResolver
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
