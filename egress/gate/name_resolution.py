"""What a name stands for: addresses, or a name that is left to the proxy."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from egress.errors import Refused, ResolutionError
from egress.gate.delegation import Delegations
from egress.gate.snapshot import Snapshot
from egress.match import is_specific
from egress.model import Authority, Request, Resolution, RoutePlan, Verdict


@define(eq=False)
class NameResolution:
    """The gate's steps that ask the resolver, or know that it need not be asked.

    Attributes:
        clock: measures the wait.
        delegated_seconds: how long it is remembered that a name was left to the proxy for want of a resolver.
        delegated: those names.
    """

    clock: IReactorTime
    delegated_seconds: float
    delegated: Delegations = field(init=False)

    @delegated.default
    def _make_delegated(self) -> Delegations:
        return Delegations(self.clock, self.delegated_seconds)

    def resolve(
        self,
        snapshot: Snapshot,
        request: Request,
        plan: RoutePlan,
        allowed: Verdict,
        begun: Resolution | Deferred[Resolution] | None,
    ) -> Generator[Any, Any, Resolution]:
        """Find the addresses, or leave the name to the proxy where the operator wants that or has no other way.

        Args:
            world: what judges.
            request: what is wanted.
            plan: the route.
            allowed: the verdict that let it in.
            begun: the look-up, where it was begun already.
        """
        authority = request.authority
        is_name = authority.address is None and bool(plan.hops)
        can_delegate = is_name and _can_delegate(plan, allowed, authority.host)
        if is_name and plan.dns == "remote":
            if allowed.admits:
                raise Refused("route_refused", _UNJUDGED, allowed.policy, allowed.rule)
            return Resolution(authority.host, (), is_delegated=True)
        if can_delegate and begun is None:
            delegated = self.delegated.find(authority.host, snapshot.resolver)
            if delegated is not None:
                return delegated
        try:
            resolution = begun if begun is not None else snapshot.resolver.resolve(authority.host)
            if isinstance(resolution, Deferred):
                resolution = yield from self._wait_for(request, resolution)
        except ResolutionError as error:
            if can_delegate and not error.is_overload and not self.delegated.has_resolved(authority.host):
                return self.delegated.keep(authority.host)
            raise _unresolved(error, is_left=is_name and plan.dns == "auto") from None
        if can_delegate:
            self.delegated.note_resolved(authority.host)
        return resolution

    def _wait_for(self, request: Request, looking_up: Deferred[Resolution]) -> Generator[Any, Any, Resolution]:
        begun = self.clock.seconds()
        try:
            resolution: Resolution = yield looking_up
        finally:
            request.phases.resolve = (self.clock.seconds() - begun) * 1000.0
        return resolution

    def refuse_own(
        self, snapshot: Snapshot, authority: Authority, resolution: Resolution, allowed: Verdict
    ) -> Generator[Any, Any, None]:
        """Refuse a destination that is ourselves or a proxy of a route, or that cannot be told from one.

        Raises:
            Refused: own_address; resolver_failed.
        """
        own, port = snapshot.own, authority.port
        for name in own.hop_names(port):
            yield from self._learn(snapshot, name, port)
        if own.holds(authority, resolution.addresses):
            raise own_address()
        if resolution.is_delegated and port in own.hop_ports and not is_specific(allowed.pattern):
            # Nobody here knows what the name leads to, and the rule leaves room for any.
            raise Refused("own_address", "The name is not looked up here, and on this port it could be a proxy.")

    def _learn(self, snapshot: Snapshot, name: str, port: int) -> Generator[Any, Any, None]:
        """Find out what the name of a proxy leads to, so that it is no destination under another name either.

        Raises:
            Refused: resolver_failed: that is not known now and never was.
        """
        try:
            found: Resolution = yield snapshot.resolver.resolve(name)
        except ResolutionError:
            # What it led to before is still known. Without that, anything on its port could be the proxy.
            if not snapshot.own.is_known(name, port):
                raise Refused("resolver_failed", _UNKNOWN_HOP) from None
            return
        snapshot.own.learn(name, port, found.addresses)


def own_address() -> Refused:
    """Make the refusal of ourselves as a destination."""
    return Refused("own_address", "The destination is this proxy itself.")


def is_by_name(plan: RoutePlan, allowed: Verdict) -> bool:
    """Tell whether a proxy is asked for the name although its addresses were judged.

    The proxy looks the name up itself and may find another address, which nobody judges. So that is only done where the
    rule leaves no room for a name of an attacker's own, and never where it opens addresses that are not public.
    """
    return plan.dns == "auto" and not allowed.admits and is_specific(allowed.pattern)


def _can_delegate(plan: RoutePlan, allowed: Verdict, host: str) -> bool:
    """Tell whether a name may be left to the proxy when it cannot be resolved here."""
    return plan.dns == "auto" and not allowed.admits and (allowed.pattern == host or plan.delegates(host))


_UNRESOLVED = {
    "name_not_found": "The host name does not exist or has no address.",
    "resolver_failed": "The resolver failed.",
    "resolver_timeout": "The resolver did not answer in time.",
}

_UNKNOWN_HOP = "A proxy listens on this port, and its name does not resolve now, so that it could be the destination."
_UNJUDGED = "The rule opens addresses, and on this route names are left to the proxy, so that no address can be judged."
_NOT_LEFT = " It is left to a proxy only if a rule names this very host, or the upstream's `delegate` lists it."


def _unresolved(error: ResolutionError, *, is_left: bool) -> Refused:
    return Refused(error.code, _UNRESOLVED[error.code] + (_NOT_LEFT if is_left else ""))
