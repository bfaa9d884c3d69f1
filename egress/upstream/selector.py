"""The upstream selector: chooses routes by the configuration and the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import define, evolve, field, frozen
from zope.interface import implementer

from egress.errors import ConfigError, Refused
from egress.interfaces import IUpstreamSelector
from egress.match import ClientPatterns, HostIndex, HostPattern, PortSet, embedded_ipv4
from egress.model import Hop, Request, Resolution, Route, RoutePlan
from egress.upstream.environment import EnvironmentProxies, EnvironmentProxy
from egress.upstream.no_proxy import NoProxy
from egress.upstream.route_choice import DIRECT_REFUSED, RefusedRoute, RouteChoice, settle
from egress.upstream.routing_settings import (
    VIA_DIRECT,
    VIA_ENVIRONMENT,
    VIA_REFUSE,
    RouteSettings,
    RoutingSettings,
    UpstreamSettings,
    check_routing,
    hops_through,
)

DIRECT = RoutePlan(VIA_DIRECT, level="none")
"""The plan of the last level. One object for all requests, so that it can be cached and compared by identity."""

# The levels of the cascade at which the configuration or the environment decides.
_REFUSED = "refused"
_ROUTE = "route"
_LISTENER = "listener"
_SYSTEM = "system"
_ENVIRONMENT = "environment"
_NONE = "none"


@implementer(IUpstreamSelector)
@define(eq=False)
class DirectSelector:
    """Chooses the direct route for every request."""

    def select(self, request: Request) -> RoutePlan:
        """Choose the direct route (IUpstreamSelector)."""
        return DIRECT

    def settle(
        self, plan: RoutePlan, resolution: Resolution, port: int, by_name: bool = False
    ) -> tuple[RoutePlan, Route]:
        """Fix the direct route (IUpstreamSelector)."""
        return settle(plan, resolution, by_name)

    def delegates(self, plan: RoutePlan, host: str) -> bool:
        """Delegate no name (IUpstreamSelector)."""
        return False

    def check_direct(self) -> None:
        """Allow every direct connection (IUpstreamSelector)."""


@frozen(eq=False)
class _Choice:
    """The decision of one setting of the configuration, for each request form."""

    plain: RouteChoice | RefusedRoute
    tunnel: RouteChoice | RefusedRoute


@frozen(eq=False)
class _Rule:
    """The conditions of one `[[route]]` besides its hosts, and its decision."""

    ports: PortSet | None
    clients: ClientPatterns | None
    choice: _Choice

    def covers(self, request: Request) -> bool:
        if self.ports is not None and not self.ports.contains(request.authority.port):
            return False
        return self.clients is None or self.clients.match(request.client.labels)


@implementer(IUpstreamSelector)
@define(eq=False)
class UpstreamSelector:
    """Chooses routes by the configuration and the environment. Every plan is made once and shared by requests.

    Attributes:
        upstreams: the proxies of the configuration.
        routes: the `[[route]]` tables in configured order.
        routing: the `[routing]` table.
        environment: the proxies of the environment.
        listeners: the `via` of each listener, or "", by the listener's name in configured order.
        hops: every proxy that may be a hop of a route. The gate refuses all of them as destinations.
    """

    upstreams: tuple[UpstreamSettings, ...]
    routes: tuple[RouteSettings, ...]
    routing: RoutingSettings
    environment: EnvironmentProxies
    listeners: Mapping[str, str]
    hops: tuple[Hop, ...] = field(init=False)
    _refusing: HostIndex[_Rule] = field(init=False, repr=False)
    _permitting: HostIndex[_Rule] = field(init=False, repr=False)
    _of_listener: Mapping[str, _Choice] = field(init=False, repr=False)
    _default: _Choice = field(init=False, repr=False)
    _by_plan: dict[int, RouteChoice] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Make all plans.

        Raises:
            ConfigError: see `check_routing`; or a route uses the environment, which has no proxy.
        """
        check_routing(self.upstreams, self.routes, self.routing, self.listeners)
        choices = _Choices(self.upstreams, self.routing, self.environment)
        rules = [
            (route, _Rule(route.ports, route.clients, choices.make(route.via, _ROUTE, *_route_words(index, route))))
            for index, route in enumerate(self.routes)
        ]
        hosts = [(host, route, rule) for route, rule in rules for host in route.hosts]
        self._refusing = HostIndex((host, rule) for host, route, rule in hosts if route.via == VIA_REFUSE)
        self._permitting = HostIndex((host, rule) for host, route, rule in hosts if route.via != VIA_REFUSE)
        self._of_listener = {
            name: choices.make(via, _LISTENER, f'listener "{name}"', f"listener[{index}].via")
            for index, (name, via) in enumerate(self.listeners.items())
            if via
        }
        self._default = choices.make_default()
        self.hops = tuple(choices.all_hops())
        self._by_plan = choices.by_plan

    def select(self, request: Request) -> RoutePlan:
        """Choose the plan of a request (IUpstreamSelector).

        Raises:
            Refused: route_refused: a route or the listener refuses it; direct_refused: direct routes are forbidden;
                listener_gone: a reload has removed the listener and its `via`.
        """
        decision = self._choose(request)
        choice = decision.tunnel if request.request_form == "connect" else decision.plain
        if isinstance(choice, RefusedRoute):
            raise choice.refusal()
        return choice.plan_by_name(request.authority)

    def settle(
        self, plan: RoutePlan, resolution: Resolution, port: int, by_name: bool = False
    ) -> tuple[RoutePlan, Route]:
        """Fix the route for the resolved and judged addresses (IUpstreamSelector).

        Raises:
            Refused: direct_refused.
            ValueError: another selector made the plan.
        """
        return self._choice_of(plan).settle(resolution, port, by_name)

    def delegates(self, plan: RoutePlan, host: str) -> bool:
        """Whether the upstream proxy may resolve a canonical name that this host cannot resolve (IUpstreamSelector)."""
        return self._choice_of(plan).delegates(host)

    def _choice_of(self, plan: RoutePlan) -> RouteChoice:
        # By identity, because hashing a plan is slow. The choice refers to its plan, so that the identity is not
        # reused.
        choice = self._by_plan.get(id(plan))
        if choice is None:
            raise ValueError(f"the plan {plan.label!r} is none of this selector's")
        return choice

    def check_direct(self) -> None:
        """Check an open direct connection (IUpstreamSelector).

        Raises:
            Refused: direct_refused.
        """
        if self.routing.direct != "allow":
            raise DIRECT_REFUSED.refusal()

    def default_words(self) -> str:
        """Describe the default routes of tunnels and plain requests, for the log at startup."""
        tunnel, plain = _describe(self._default.tunnel), _describe(self._default.plain)
        return f"by default {tunnel}" if tunnel == plain else f"by default {tunnel}, plain HTTP {plain}"

    def _choose(self, request: Request) -> _Choice:
        if request.listener not in self.listeners:
            raise Refused("listener_gone", "The listener is no longer configured; connect anew.")
        host, literal = request.authority.host, request.authority.address
        # A refused IPv4 address must not be reached as an IPv6 address that a translator maps to it.
        for address in (None,) if literal is None else (literal, *embedded_ipv4(literal)):
            for entry in self._refusing.find(host, address):
                if entry.value.covers(request):
                    return entry.value.choice
        for entry in self._permitting.find(host, literal):
            if entry.value.covers(request):
                return entry.value.choice
        return self._of_listener.get(request.listener, self._default)


def _describe(choice: RouteChoice | RefusedRoute) -> str:
    if isinstance(choice, RefusedRoute):
        return "refused"
    return f"through {choice.plan.label}" if choice.plan.hops else "direct"


def _bypassing(plan: RoutePlan) -> RoutePlan:
    return RoutePlan(VIA_DIRECT, plan.level, source=plan.source, bypassed=plan.label)


def _index(delegate: tuple[HostPattern, ...]) -> HostIndex[None] | None:
    return HostIndex((host, None) for host in delegate) if delegate else None


def _route_words(index: int, route: RouteSettings) -> tuple[str, str, str]:
    return f'route "{route.name}"', f"route[{index}].via", route.name


@define(eq=False)
class _Choices:
    """Creates choices from the configuration, whose names have been checked."""

    upstreams: tuple[UpstreamSettings, ...]
    routing: RoutingSettings
    environment: EnvironmentProxies
    by_plan: dict[int, RouteChoice] = field(init=False, factory=dict)

    def make(self, via: str, level: str, source: str, where: str, rule: str = "") -> _Choice:
        if via == VIA_REFUSE:
            level = _REFUSED if level == _ROUTE else level
            refusing = RefusedRoute("route_refused", f"The {source} forbids this request.", rule, level, source)
            return _Choice(refusing, refusing)
        if via == VIA_DIRECT:
            direct = self._direct(level, source)
            return _Choice(direct, direct)
        if via == VIA_ENVIRONMENT:
            if not self.environment.proxies:
                raise ConfigError(where, 'is "environment", and the environment names no proxy')
            return self._by_environment(level, source)
        upstream = next(upstream for upstream in self.upstreams if upstream.name == via)
        plan = self._through_upstream(upstream, level, source)
        return _Choice(plan, plan)

    def make_default(self) -> _Choice:
        if self.routing.default:
            return self.make(self.routing.default, _SYSTEM, "routing.default", "routing.default")
        return self._by_environment(_ENVIRONMENT, "")

    def all_hops(self) -> Iterator[Hop]:
        yield from (upstream.url.hop(upstream.name) for upstream in self.upstreams)
        yield from (proxy.hop() for proxy in self.environment.proxies)

    def _by_environment(self, level: str, source: str) -> _Choice:
        return _Choice(
            self._through_proxy(self.environment.plain, level, source),
            self._through_proxy(self.environment.tunnel, level, source),
        )

    def _through_proxy(self, proxy: EnvironmentProxy | None, level: str, source: str) -> RouteChoice | RefusedRoute:
        if proxy is None:
            return self._direct(_NONE if level == _ENVIRONMENT else level, source)
        plan = RoutePlan(proxy.variable, level, hops=(proxy.hop(),), source=source or proxy.variable)
        return self._with_no_proxy(plan, self.environment.no_proxy, _index(self.routing.delegate))

    def _through_upstream(self, upstream: UpstreamSettings, level: str, source: str) -> RouteChoice:
        delegate = _index(upstream.delegate)
        plan = RoutePlan(upstream.name, level, upstream.dns, hops_through(upstream, self.upstreams), source)
        if upstream.no_proxy == VIA_ENVIRONMENT:
            return self._with_no_proxy(plan, self.environment.no_proxy, delegate)
        if upstream.no_proxy:
            return self._with_no_proxy(plan, NoProxy.parse(upstream.no_proxy, ""), delegate)
        return self._register(RouteChoice(plan, delegate=delegate))

    def _with_no_proxy(
        self, plan: RoutePlan, no_proxy: NoProxy, delegate: HostIndex[None] | None = None
    ) -> RouteChoice:
        by_name = by_address = None
        if self.routing.direct != "refuse":
            by_name = self._register(RouteChoice(_bypassing(plan))).plan
            by_address = _bypassing(plan)
        return self._register(RouteChoice(plan, no_proxy, by_name, by_address, delegate))

    def _direct(self, level: str, source: str) -> RouteChoice | RefusedRoute:
        if self.routing.direct != "allow":
            return evolve(DIRECT_REFUSED, level=level, source=source)
        return self._register(RouteChoice(RoutePlan(VIA_DIRECT, level, source=source)))

    def _register(self, choice: RouteChoice) -> RouteChoice:
        self.by_plan[id(choice.plan)] = choice
        return choice
