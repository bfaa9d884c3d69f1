"""Builds the endpoint of a route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress.interfaces import IDialEndpoint, IResolver, ITunnelingAgent
from egress.model import NO_FIELDS, Address, Authority, ConnectFields, Route, Trace
from egress.upstream.direct_endpoint import DirectEndpoint
from egress.upstream.forward_proxy import ForwardProxies
from egress.upstream.happy_eyeballs import Dialler
from egress.upstream.sequential_endpoint import SequentialEndpoint
from egress.upstream.upstream import Upstream
from egress.upstream.upstream_state import UpstreamStates


@implementer(ITunnelingAgent)
@define(eq=False)
class TunnelingAgent:
    """Builds endpoints that dial only the judged addresses and the hops of a route.

    Attributes:
        reactor: provides connectTCP and the clock.
        per_address_seconds: the deadline of the attempt for one address.
        total_seconds: the deadline of all addresses together, of a destination or of the first proxy.
        handshake_seconds: the deadline of each handshake with a proxy: of TLS, and of CONNECT.
        head_limit_bytes: the largest size of the head of a proxy's response to CONNECT.
        upstreams: the proxies, by their names in the configuration.
        resolver: the resolver of the names of proxies that are reached directly.
        is_own: returns whether an address and port are a listener of this process, so that the route would be a loop.
        states: the states of the proxies.
        proxies: the proxies as recipients of requests.
    """

    reactor: Dialler
    per_address_seconds: float
    total_seconds: float
    handshake_seconds: float = 15.0
    head_limit_bytes: int = 16384
    upstreams: Mapping[str, Upstream] = field(factory=dict)
    resolver: IResolver | None = None
    is_own: Callable[[Authority, Iterable[Address]], bool] = lambda _authority, _addresses: False
    states: UpstreamStates = field()
    proxies: ForwardProxies = field(init=False)

    @states.default
    def _make_states(self) -> UpstreamStates:
        return UpstreamStates(cast(IReactorTime, self.reactor))

    @proxies.default
    def _make_proxies(self) -> ForwardProxies:
        return ForwardProxies(
            self.reactor,
            self.per_address_seconds,
            self.total_seconds,
            self.handshake_seconds,
            self.head_limit_bytes,
            self.upstreams,
            self.resolver,
            self.is_own,
            self.states,
        )

    def endpoint_for(
        self, target: Authority, route: Route, trace: Trace, fields: ConnectFields = NO_FIELDS
    ) -> IDialEndpoint:
        """Build the endpoint that reaches `target` by `route`, through its proxies by CONNECT (ITunnelingAgent)."""
        if not route.hops:
            return DirectEndpoint(
                self.reactor,
                route.addresses,
                target.port,
                self.per_address_seconds,
                self.total_seconds,
                trace,
                route.texts,
            )
        proxy = self.proxies.last_proxy(route)
        if route.by_name:
            return proxy.tunnel_endpoint(target.text.encode("ascii"), self.handshake_seconds, trace, fields)
        targets = tuple(f"[{text}]:{target.port}" if ":" in text else f"{text}:{target.port}" for text in route.texts)
        if len(targets) == 1:
            return proxy.tunnel_endpoint(targets[0].encode("ascii"), self.handshake_seconds, trace, fields)
        return SequentialEndpoint(
            lambda each, seconds: proxy.tunnel_endpoint(each, seconds, trace, fields),
            tuple(each.encode("ascii") for each in targets),
            self.handshake_seconds,
            self.total_seconds,
            cast(IReactorTime, self.reactor),
        )
