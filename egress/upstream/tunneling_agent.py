"""Builds the endpoint of a route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from attrs import define, field
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed
from egress.interfaces import IResolver, ITunnelingAgent
from egress.model import Address, Authority, Hop, Route, Trace
from egress.tls.errors import describe_tls
from egress.upstream.connect_handshake import ConnectEndpoint
from egress.upstream.dial import Dialler
from egress.upstream.direct_endpoint import DirectEndpoint
from egress.upstream.first_hop import FirstHopEndpoint
from egress.upstream.hop_errors import hop_failed, hop_unauthorized
from egress.upstream.sequential import SequentialEndpoint
from egress.upstream.tls_handshake import TlsEndpoint
from egress.upstream.upstream import Upstream


@implementer(ITunnelingAgent)
@define(eq=False)
class TunnelingAgent:
    """Dials what was judged, and nothing else.

    Attributes:
        reactor: connects, and tells the time.
        per_address_seconds: the deadline of one address.
        total_seconds: the deadline of all addresses together, of a destination or of the first proxy.
        handshake_seconds: the deadline of each handshake with a proxy: of TLS, and of CONNECT.
        head_limit_bytes: of the head with which a proxy answers CONNECT.
        upstreams: the proxies, by their names in the configuration.
        resolver: for proxies that are reached directly and have names.
        is_own: tells whether an address and port are a listener of ours, so that the route would lead back here.
    """

    reactor: Dialler
    per_address_seconds: float
    total_seconds: float
    handshake_seconds: float = 15.0
    head_limit_bytes: int = 16384
    upstreams: Mapping[str, Upstream] = field(factory=dict)
    resolver: IResolver | None = None
    is_own: Callable[[Authority, Iterable[Address]], bool] = lambda _authority, _addresses: False

    def endpoint_for(self, target: Authority, route: Route, trace: Trace) -> IStreamClientEndpoint:
        """Build the endpoint that reaches `target` by `route`, through its proxies by CONNECT.

        Raises:
            ValueError: a proxy of the route is not the one that is known by its name. To dial anything else would leave
                the route that was chosen.
        """
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
        proxy, last = self.endpoint_to_proxy(route, trace), route.hops[-1]
        if route.by_name:
            return self._through(proxy, last, target.text.encode("ascii"), self.handshake_seconds, trace)
        targets = tuple(f"[{text}]:{target.port}" if ":" in text else f"{text}:{target.port}" for text in route.texts)
        if len(targets) == 1:
            return self._through(proxy, last, targets[0].encode("ascii"), self.handshake_seconds, trace)
        return SequentialEndpoint(
            lambda each, seconds: self._through(proxy, last, each, seconds, trace),
            tuple(each.encode("ascii") for each in targets),
            self.handshake_seconds,
            self.total_seconds,
            self._clock,
        )

    def endpoint_to_proxy(self, route: Route, trace: Trace) -> IStreamClientEndpoint:
        """Build the endpoint that reaches the last proxy of a route itself, through those before it.

        Raises:
            ValueError: the route has no proxy, or one that is not the one that is known by its name.
        """
        before: Hop | None = None
        endpoint: IStreamClientEndpoint | None = None
        for hop in route.hops:
            upstream = self._find(hop)
            if endpoint is None or before is None:
                endpoint = FirstHopEndpoint(
                    self.reactor,
                    self.resolver,
                    hop.authority,
                    self.per_address_seconds,
                    self.total_seconds,
                    hop.upstream,
                    trace,
                    self.is_own,
                )
            else:
                authority = hop.authority.text.encode("ascii")
                endpoint = self._through(endpoint, before, authority, self.handshake_seconds, trace)
            if upstream.tls is not None:
                endpoint = TlsEndpoint(endpoint, upstream.tls, self.handshake_seconds, self._clock, hop.upstream, trace)
            before = hop
        if endpoint is None:
            raise ValueError("a direct route leads to no proxy")
        return endpoint

    def authorization_for(self, route: Route) -> bytes | None:
        """Give the value of Proxy-Authorization for the last proxy of a route, as it is now; None where it gets none.

        Raises:
            ValueError: as for `endpoint_to_proxy`.
        """
        if not route.hops:
            raise ValueError("a direct route leads to no proxy")
        return self._authorization(route.hops[-1])

    def credentials_mark(self, route: Route) -> int:
        """Give a number that changes when the credentials of any proxy of a route do."""
        return hash(tuple(self._authorization(hop) for hop in route.hops))

    def unauthorized(self, route: Route, challenges: list[bytes], *, is_sent: bool) -> DialFailed:
        """Say what a 407 of the last proxy means."""
        return hop_unauthorized(route.hops[-1].upstream, Trace(), challenges, is_sent=is_sent)

    def lost(self, route: Route, reason: Failure) -> DialFailed | None:
        """Say what it means that a connection to the last proxy was lost: TLS may have failed late.

        In TLS 1.3 a proxy looks at our certificate after our side of the handshake is done.
        """
        fault = describe_tls(reason.value)
        if not fault:
            return None
        words = f"TLS with an upstream proxy failed: {fault}."
        return hop_failed("proxy_tls_failed", words, route.hops[-1].upstream, Trace(), fault)

    def _through(
        self, proxy: IStreamClientEndpoint, hop: Hop, target: bytes, seconds: float, trace: Trace
    ) -> ConnectEndpoint:
        return ConnectEndpoint(
            proxy, target, self._authorization(hop), seconds, self.head_limit_bytes, self._clock, hop.upstream, trace
        )

    def _authorization(self, hop: Hop) -> bytes | None:
        credentials = self._find(hop).credentials
        return None if credentials is None else credentials.authorization()

    def _find(self, hop: Hop) -> Upstream:
        upstream = self.upstreams.get(hop.upstream)
        if (
            upstream is None
            # By identity first: the comparison is slow, and it is nearly always the same object.
            or (upstream.authority is not hop.authority and upstream.authority != hop.authority)
            or upstream.scheme != hop.scheme
        ):
            raise ValueError(f"no upstream {hop.upstream!r} is known at the place that the route has for it")
        return upstream

    @property
    def _clock(self) -> IReactorTime:
        return cast(IReactorTime, self.reactor)
