"""Builds the endpoint of a route."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from egress.interfaces import ITunnelingAgent
from egress.model import Authority, Route, Trace
from egress.upstream.direct import Dialler, DirectEndpoint


@implementer(ITunnelingAgent)
@define(eq=False)
class TunnelingAgent:
    """Dials what was judged, and nothing else.

    Attributes:
        reactor: connects, and tells the time.
        per_address_seconds: the deadline of one address.
        total_seconds: the deadline of all addresses together.
    """

    reactor: Dialler
    per_address_seconds: float
    total_seconds: float

    def endpoint_for(self, target: Authority, route: Route, trace: Trace) -> IStreamClientEndpoint:
        """Build the endpoint that reaches `target` by `route`.

        Raises:
            ValueError: the route leads through proxies. Dialling its addresses straight would leave the road that was
                chosen, so it is refused here, whoever asked for it.
        """
        if route.hops:
            raise ValueError(f"a direct dialler was given a route through {len(route.hops)} proxies")
        return DirectEndpoint(
            self.reactor, route.addresses, target.port, self.per_address_seconds, self.total_seconds, trace
        )
