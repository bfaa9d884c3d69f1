"""Name resolution: finds the addresses of a name, or delegates the name to an upstream proxy."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from egress.errors import Refused, ResolutionError
from egress.gate.delegation import Delegations
from egress.gate.eager import Steps
from egress.gate.snapshot import Snapshot
from egress.match import is_specific
from egress.model import Authority, Request, Resolution, RoutePlan, Verdict


@define(eq=False)
class NameResolution:
    """Resolves the names of destinations and of upstream proxies.

    Attributes:
        clock: the clock that measures the wait.
        delegated_seconds: the time for which a name that failed to resolve is delegated to an upstream proxy.
        delegations: the names that are delegated to an upstream proxy because they failed to resolve here.
    """

    clock: IReactorTime
    delegated_seconds: float
    delegations: Delegations = field(init=False)

    @delegations.default
    def _make_delegations(self) -> Delegations:
        return Delegations(self.clock, self.delegated_seconds)

    def resolve(
        self,
        snapshot: Snapshot,
        request: Request,
        plan: RoutePlan,
        allowed: Verdict,
        started: Resolution | Deferred[Resolution] | None,
    ) -> Steps[Resolution]:
        """Find the addresses, or delegate the name to the upstream proxy where the operator permits it.

        Args:
            snapshot: the snapshot that judges the request.
            request: the request.
            plan: the route plan.
            allowed: the ALLOW of the first round.
            started: the resolver's answer, if the resolver was asked already.

        Raises:
            Refused: name_not_found, resolver_failed, resolver_timeout, resolver_busy, too_many_lookups; route_refused
                where the rule admits addresses that cannot be judged here. The refusal has the policy and rule of
                `allowed`.
        """
        authority, client = request.authority, request.client.key
        is_name = authority.address is None and bool(plan.hops)
        can_delegate = is_name and _can_delegate(snapshot, plan, allowed, authority.host)
        if is_name and plan.dns == "remote":
            if allowed.admits:
                raise Refused("route_refused", _UNJUDGED, allowed.policy, allowed.rule)
            return Resolution(authority.host, (), is_delegated=True)
        if can_delegate and started is None:
            delegated = self.delegations.find(authority.host, snapshot.resolver, client)
            if delegated is not None:
                return delegated
        try:
            resolution = started if started is not None else snapshot.resolver.resolve(authority.host, client)
            if isinstance(resolution, Deferred):
                resolution = yield from self._wait_for(request, resolution)
        except ResolutionError as error:
            if can_delegate and not error.is_overload and not self.delegations.has_resolved(authority.host):
                return self.delegations.keep(authority.host)
            raise _unresolved(error, allowed, is_delegable=is_name and plan.dns == "auto") from None
        if can_delegate:
            self.delegations.note_resolved(authority.host)
        return resolution

    def _wait_for(self, request: Request, lookup: Deferred[Resolution]) -> Generator[Any, Any, Resolution]:
        started = self.clock.seconds()
        try:
            resolution: Resolution = yield lookup
        finally:
            request.phases.resolve = (self.clock.seconds() - started) * 1000.0
        return resolution

    def refuse_own(
        self, snapshot: Snapshot, authority: Authority, resolution: Resolution, allowed: Verdict
    ) -> Steps[None]:
        """Refuse a destination that is, or cannot be distinguished from, this proxy or an upstream proxy.

        Raises:
            Refused: own_address; resolver_failed.
        """
        own, port = snapshot.own, authority.port
        for name in own.hop_names(port):
            yield from self._learn(snapshot, name, port)
        if own.holds(authority, resolution.addresses):
            raise own_address()
        if resolution.is_delegated and port in own.hop_ports and not is_specific(allowed.pattern):
            # The addresses of the name are unknown here, and the rule matches any name.
            raise Refused("own_address", "The name is not looked up here, and on this port it could be a proxy.")

    def _learn(self, snapshot: Snapshot, name: str, port: int) -> Steps[None]:
        """Look up the name of an upstream proxy, so that the proxy's addresses are refused under other names too.

        Raises:
            Refused: resolver_failed: the name does not resolve and was never resolved.
        """
        try:
            found: Resolution = yield snapshot.hop_resolver.resolve(name)
        except ResolutionError:
            # Addresses of earlier look-ups remain valid. Without any, each destination on this port could be the proxy.
            if not snapshot.own.is_known(name, port):
                raise Refused("resolver_failed", _UNKNOWN_HOP) from None
            return
        snapshot.own.learn(name, port, found.addresses)


def own_address() -> Refused:
    """Make the refusal of the proxy itself as a destination."""
    return Refused("own_address", "The destination is this proxy itself.")


def is_by_name(plan: RoutePlan, allowed: Verdict) -> bool:
    """Whether an upstream proxy receives the name although the addresses were judged.

    The proxy looks the name up itself and may find another address, which is not judged. CONNECT by name therefore
    requires a rule that cannot match a name of an attacker's own, and that admits no addresses that are not public.
    """
    return plan.dns == "auto" and not allowed.admits and is_specific(allowed.pattern)


def _can_delegate(snapshot: Snapshot, plan: RoutePlan, allowed: Verdict, host: str) -> bool:
    """Whether the upstream proxy may resolve a name that fails to resolve here."""
    if plan.dns != "auto" or allowed.admits:
        return False
    return allowed.pattern == host or snapshot.selector.delegates(plan, host)


_UNKNOWN_HOP = "An upstream proxy listens on this port and its name does not resolve, so it could be the destination."
_UNJUDGED = "The rule admits addresses, and this upstream resolves names itself, so no address can be judged."
_NOT_DELEGATED = (
    " An upstream proxy resolves a name only if a rule names this very host, or `delegate` of the upstream lists it."
)


def _unresolved(error: ResolutionError, allowed: Verdict, *, is_delegable: bool) -> Refused:
    reason = error.sentence + (_NOT_DELEGATED if is_delegable else "")
    return Refused(error.code, reason, allowed.policy, allowed.rule)
