"""How a plain request goes by a route with proxies: in absolute form to the last one, or by CONNECT."""

from __future__ import annotations

from attrs import define, field
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.interfaces import ITunnelingAgent
from egress.model import Request, Route
from egress.proxy.transaction import dial_refused
from egress.wire.forwarding import serialize_request
from egress.wire.framing import Framing
from egress.wire.request_head import RequestHead
from egress.wire.response_head import ResponseHead
from egress.wire.target import Target

# What an exchange says of its origin, and what is meant where the other side is a proxy.
_BLAMED = {
    "origin_closed": ("proxy_malformed", "An upstream proxy closed the connection without an answer."),
    "origin_malformed": ("proxy_malformed", "What an upstream proxy answered is not HTTP/1.1."),
    "origin_timeout": ("proxy_timeout", "An upstream proxy did not answer in time."),
}


@define(eq=False)
class Forwarding:
    """One plain request's way through proxies.

    Attributes:
        agent: knows the proxies.
        route: through them.
        is_absolute: the last proxy is asked in absolute form, and finds the origin itself. Not so where it must be told
            an address: it would write that into Host (RFC 9112 section 3.2.2), and the origin would answer for the
            wrong site. Nor where the protocol is to change.
        authorization: what the last proxy is sent, in absolute form.
        place: tells connections of the pool apart: no two requests share one that were not judged for the same place,
            that go by other proxies, or whose proxies got other credentials. "" on a direct route.
    """

    agent: ITunnelingAgent | None
    route: Route | None
    is_absolute: bool
    authorization: bytes | None = field(repr=False)
    place: str

    @classmethod
    def make(cls, agent: ITunnelingAgent, request: Request, route: Route, upgrade: bytes | None) -> Forwarding:
        """Find out how.

        Args:
            agent: knows the proxies.
            request: what is wanted.
            route: has a proxy at least.
            upgrade: the protocol that the client may change to.
        """
        authority = request.authority
        is_absolute = upgrade is None and (route.by_name or authority.address is not None)
        way = " ".join(f"{hop.scheme}://{hop.authority.text}" for hop in route.hops)
        mark = f"{way} {agent.credentials_mark(route)}"
        if is_absolute:
            return cls(agent, route, True, agent.authorization_for(route), f"proxy {mark}")
        judged = "" if route.by_name else ",".join(sorted(route.texts))
        return cls(agent, route, False, None, f"{authority.text} {judged} {mark}")

    def head(self, head: RequestHead, target: Target, framing: Framing, upgrade: bytes | None) -> bytes:
        """Serialize the request head. See `serialize_request`."""
        return serialize_request(
            head,
            target,
            framing,
            upgrade=upgrade,
            is_absolute=self.is_absolute,
            authorization=self.authorization,
        )

    def challenged(self, head: ResponseHead) -> Refused:
        """Say what a 407 of the last proxy means."""
        assert self.agent is not None and self.route is not None, "only a proxy is asked in absolute form"
        challenges = head.fields.values(b"proxy-authenticate")
        return dial_refused(self.agent.unauthorized(self.route, challenges, is_sent=self.authorization is not None))

    def blame(self, refused: Refused, reason: Failure | None) -> Refused:
        """Name the proxy where an exchange means its origin, for they cannot be told apart.

        Args:
            refused: what the exchange says.
            reason: why the connection was lost, if it was.
        """
        if not self.is_absolute or self.agent is None or self.route is None:
            return refused
        lost = self.agent.lost(self.route, reason) if reason is not None else None
        if lost is not None:
            return dial_refused(lost)
        code, words = _BLAMED.get(refused.code, ("", ""))
        detail = f"upstream {self.route.hops[-1].upstream!r}: {refused.reason}"
        return Refused(code, words, detail=detail) if code else refused


# More destinations than any node's agents talk to at a time; when it is full it starts anew.
_WAYS = 1024


@define(eq=False)
class ForwardingMemo:
    """Remembers how plain requests go by a route, for as long as its proxies' credentials stay what they are."""

    _known: dict[int, tuple[Route, str, ITunnelingAgent, int, Forwarding]] = field(init=False, factory=dict, repr=False)

    def find(self, agent: ITunnelingAgent, request: Request, route: Route, upgrade: bytes | None) -> Forwarding:
        """Find out how. See `Forwarding.make`."""
        if upgrade is not None:
            return Forwarding.make(agent, request, route, upgrade)
        mark, text = agent.credentials_mark(route), request.authority.text
        known = self._known.get(id(route))
        # The route is kept, so that nothing else has its identity meanwhile.
        if known is not None and known[0] is route and known[1] == text and known[2] is agent and known[3] == mark:
            return known[4]
        if len(self._known) >= _WAYS:
            self._known.clear()
        made = Forwarding.make(agent, request, route, None)
        self._known[id(route)] = route, text, agent, mark, made
        return made


# What every request on a direct route has.
DIRECT_FORWARDING = Forwarding(None, None, False, None, "")
