"""The upstream proxies of routes: their endpoints and credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed
from egress.interfaces import IDialEndpoint, IForwardProxies, IForwardProxy, IResolver
from egress.model import NO_FIELDS, Address, Authority, ConnectFields, Hop, Route, Trace
from egress.tls.errors import describe_upstream
from egress.upstream.connect_handshake import ConnectHandshake
from egress.upstream.first_hop_endpoint import FirstHopEndpoint
from egress.upstream.handshake import HandshakeEndpoint
from egress.upstream.happy_eyeballs import Dialler
from egress.upstream.hop_errors import tls_failed, unauthorized
from egress.upstream.observed_endpoint import ObservedEndpoint
from egress.upstream.tls_handshake import TlsHandshake
from egress.upstream.upstream import Upstream
from egress.upstream.upstream_state import Stage, UpstreamState, UpstreamStates

# A proxy that answers so speaks HTTP, and takes our credentials.
_ANSWERED = frozenset(["proxy_refused", "proxy_failed", "loop_detected"])


@implementer(IForwardProxies)
@define(eq=False)
class ForwardProxies:
    """The upstream proxies that may be hops of routes.

    Attributes:
        reactor: provides connectTCP and the clock.
        per_address_seconds: the deadline of the attempt for one address of the first proxy.
        total_seconds: the deadline of all addresses of the first proxy together.
        handshake_seconds: the deadline of each handshake with a proxy: of TLS, and of CONNECT.
        head_limit_bytes: the largest size of the head of a proxy's response to CONNECT.
        upstreams: the proxies, by their names in the configuration.
        resolver: the resolver of the names of proxies that are reached directly.
        is_own: returns whether an address and port are a listener of this process, so that the route would be a loop.
        states: the states of the proxies, which results of uses are noted in.
    """

    reactor: Dialler
    per_address_seconds: float
    total_seconds: float
    handshake_seconds: float
    head_limit_bytes: int
    upstreams: Mapping[str, Upstream]
    resolver: IResolver | None
    is_own: Callable[[Authority, Iterable[Address]], bool]
    states: UpstreamStates

    def last_proxy(self, route: Route) -> ForwardProxy:
        """Find the last proxy of a route.

        Raises:
            ValueError: the route is direct, or one of its hops differs from the proxy of that name. Dialling another
                proxy would leave the chosen route.
        """
        proxy: ForwardProxy | None = None
        for hop in route.hops:
            upstream = self._find(hop)
            proxy = ForwardProxy(self, upstream, proxy, self.states.of(upstream))
        if proxy is None:
            raise ValueError("a direct route leads to no proxy")
        return proxy

    def _find(self, hop: Hop) -> Upstream:
        upstream = self.upstreams.get(hop.upstream)
        if (
            upstream is None
            # By identity first: the comparison is slow, and the objects are nearly always identical.
            or (upstream.authority is not hop.authority and upstream.authority != hop.authority)
            or upstream.scheme != hop.scheme
        ):
            raise ValueError(f"no upstream {hop.upstream!r} is known at the place that the route has for it")
        return upstream


@implementer(IForwardProxy)
@frozen(eq=False)
class ForwardProxy:
    """One proxy of a route, and the proxies before it.

    Attributes:
        proxies: the owner of the deadlines and limits.
        settings: the proxy's upstream.
        before: the proxy through which this proxy is reached; None where it is reached directly.
        state: the state of the proxy.
    """

    proxies: ForwardProxies
    settings: Upstream
    before: ForwardProxy | None
    state: UpstreamState

    @property
    def upstream(self) -> str:
        """The proxy's name in the configuration (IForwardProxy)."""
        return self.settings.name

    def endpoint(self, trace: Trace, fields: ConnectFields = NO_FIELDS) -> IDialEndpoint:
        """Build the endpoint that reaches the proxy itself (IForwardProxy).

        Args:
            trace: records the attempts.
            fields: see `tunnel_endpoint`.
        """
        proxies, settings = self.proxies, self.settings
        endpoint: IDialEndpoint
        if self.before is None:
            endpoint = FirstHopEndpoint(
                proxies.reactor,
                proxies.resolver,
                settings.authority,
                proxies.per_address_seconds,
                proxies.total_seconds,
                settings.name,
                trace,
                proxies.is_own,
            )
        else:
            target = settings.authority.text.encode("ascii")
            endpoint = self.before.tunnel_endpoint(target, proxies.handshake_seconds, trace, fields)
        endpoint = ObservedEndpoint(endpoint, self._dial_failed)
        tls = settings.tls
        if tls is None:
            return endpoint
        return HandshakeEndpoint(
            endpoint,
            lambda: TlsHandshake(tls, self._clock),
            proxies.handshake_seconds,
            self._clock,
            settings.name,
            trace,
            self._tls_failed,
        )

    def tunnel_endpoint(
        self, target: bytes, handshake_seconds: float, trace: Trace, fields: ConnectFields
    ) -> HandshakeEndpoint:
        """Build the endpoint that reaches a target through the proxy, by CONNECT.

        Args:
            target: the target in the form for CONNECT.
            handshake_seconds: the deadline of CONNECT.
            trace: records the attempts.
            fields: the fields of the client's request that are passed on.
        """
        authorization, limit = self.authorization(), self.proxies.head_limit_bytes
        lines = self.settings.connect_headers.lines(fields)
        return HandshakeEndpoint(
            self.endpoint(trace, fields),
            lambda: ConnectHandshake(target, lines, authorization, limit),
            handshake_seconds,
            self._clock,
            self.settings.name,
            trace,
            self._connect_failed,
            self.state.worked,
        )

    def authorization(self) -> bytes | None:
        """Return the current value of Proxy-Authorization (IForwardProxy)."""
        credentials = self.settings.credentials
        return None if credentials is None else credentials.authorization()

    def credentials_mark(self) -> int:
        """Return a number that changes with the credentials of any proxy of the route (IForwardProxy)."""
        own = self.authorization()
        return hash(own if self.before is None else (own, self.before.credentials_mark()))

    def answered(self) -> None:
        """Note a response in absolute form (IForwardProxy)."""
        self.state.worked()

    def malformed(self, reason: str) -> None:
        """Note a response in absolute form that is not HTTP/1.1 (IForwardProxy)."""
        self.state.failed("proxy_malformed", reason, Stage.RELAY)

    def unauthorized(self, challenges: list[bytes], *, is_sent: bool) -> DialFailed:
        """Make the refusal for a 407 response in absolute form (IForwardProxy)."""
        problem = unauthorized(challenges, is_sent=is_sent).failure(self.upstream, Trace())
        self.state.failed(problem.code, problem.reason, Stage.RELAY)
        return problem

    def connection_lost(self, reason: Failure) -> DialFailed | None:
        """Describe the loss of a connection, where TLS is the cause (IForwardProxy).

        In TLS 1.3 a proxy verifies the client certificate after the client's side of the handshake is complete.
        """
        fault = describe_upstream(reason.value)
        if not fault:
            return None
        problem = tls_failed(fault).failure(self.upstream, Trace())
        self.state.failed(problem.code, problem.reason, Stage.CONNECT)
        return problem

    def _dial_failed(self, problem: DialFailed) -> None:
        if self.before is None:
            self.state.failed(problem.code, problem.reason, Stage.REACH)
        else:
            words = f"It cannot be reached through the upstream {self.before.upstream!r}."
            self.state.failed("proxy_unreachable", words, Stage.REACH)

    def _tls_failed(self, problem: DialFailed) -> None:
        self.state.failed(problem.code, problem.reason, Stage.REACH)

    def _connect_failed(self, problem: DialFailed) -> None:
        if problem.code in _ANSWERED:
            self.state.worked()
        elif problem.code != "proxy_timeout":
            # A proxy that does not answer CONNECT in time may be waiting for the destination.
            self.state.failed(problem.code, problem.reason, Stage.CONNECT)

    @property
    def _clock(self) -> IReactorTime:
        return cast(IReactorTime, self.proxies.reactor)
