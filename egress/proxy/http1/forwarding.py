"""How a plain request goes by a route with proxies: in absolute form to the last one, or by CONNECT."""

from __future__ import annotations

from attrs import define, field
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.interfaces import IForwardProxies, IForwardProxy
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
    """How one plain request is sent.

    Attributes:
        proxy: the last proxy of the route; None on a direct route.
        is_absolute: the last proxy gets the request in absolute form, and connects to the origin itself. Not so where
            the route has judged addresses for it: the proxy would write the address into Host (RFC 9112 section 3.2.2),
            and the origin would answer for the wrong site. Nor where the protocol is to change.
        authorization: the value of Proxy-Authorization, in absolute form.
        place: keeps connections of the pool apart: requests share one only if they were judged for the same place, and
            go by the same proxies with the same credentials. "" on a direct route.
    """

    proxy: IForwardProxy | None
    is_absolute: bool
    authorization: bytes | None = field(repr=False)
    place: str

    @classmethod
    def make(cls, proxy: IForwardProxy, request: Request, route: Route, upgrade: bytes | None) -> Forwarding:
        """Choose the form of a request.

        Args:
            proxy: the last proxy of the route.
            request: the request.
            route: has one hop at least.
            upgrade: the protocol that the client may change to.
        """
        authority = request.authority
        is_absolute = upgrade is None and (route.by_name or authority.address is not None)
        hops = " ".join(f"{hop.scheme}://{hop.authority.text}" for hop in route.hops)
        mark = f"{hops} {proxy.credentials_mark()}"
        if is_absolute:
            return cls(proxy, True, proxy.authorization(), f"proxy {mark}")
        judged = "" if route.by_name else ",".join(sorted(route.texts))
        return cls(proxy, False, None, f"{authority.text} {judged} {mark}")

    @property
    def recipient(self) -> IForwardProxy | None:
        """The proxy to connect to for the absolute form; None to connect to the origin, through proxies or directly."""
        return self.proxy if self.is_absolute else None

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
        """Make the refusal for a 407 of the last proxy."""
        assert self.proxy is not None, "only a proxy is asked in absolute form"
        challenges = head.fields.values(b"proxy-authenticate")
        return dial_refused(self.proxy.unauthorized(challenges, is_sent=self.authorization is not None))

    def blame(self, refused: Refused, reason: Failure | None) -> Refused:
        """Name the proxy in a refusal that names the origin, where the exchange was with a proxy.

        Args:
            refused: the refusal by the exchange.
            reason: why the connection was lost, if it was.
        """
        proxy = self.recipient
        if proxy is None:
            return refused
        lost = proxy.connection_lost(reason) if reason is not None else None
        if lost is not None:
            return dial_refused(lost)
        code, words = _BLAMED.get(refused.code, ("", ""))
        detail = f"upstream {proxy.upstream!r}: {refused.reason}"
        return Refused(code, words, detail=detail) if code else refused


# More destinations than the agents of one node use at a time. A full memo is cleared.
_WAYS = 1024


@define(eq=False)
class ForwardingMemo:
    """Remembers the `Forwarding` of a route, until the credentials of its proxies change."""

    _known: dict[int, tuple[Route, str, IForwardProxies, int, Forwarding]] = field(init=False, factory=dict, repr=False)

    def find(
        self, proxies: IForwardProxies | None, request: Request, route: Route, upgrade: bytes | None
    ) -> Forwarding:
        """Choose the form of a request. See `Forwarding.make`."""
        assert proxies is not None, "a route through proxies was chosen"
        text = request.authority.text
        known = self._known.get(id(route)) if upgrade is None else None
        # The route is kept, so that nothing else has its identity meanwhile.
        if known is not None and known[0] is route and known[1] == text and known[2] is proxies:
            proxy = known[4].proxy
            if proxy is not None and proxy.credentials_mark() == known[3]:
                return known[4]
        proxy = proxies.last_proxy(route)
        made = Forwarding.make(proxy, request, route, upgrade)
        if upgrade is None:
            if len(self._known) >= _WAYS:
                self._known.clear()
            self._known[id(route)] = route, text, proxies, proxy.credentials_mark(), made
        return made


# What every request on a direct route has.
DIRECT_FORWARDING = Forwarding(None, False, None, "")
