"""The form of a plain request on a route with proxies: in absolute form to the last proxy, or by CONNECT."""

from __future__ import annotations

from attrs import define, field
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.interfaces import IForwardProxies, IForwardProxy
from egress.memo import Memo
from egress.model import NO_FIELDS, ConnectFields, Request, Route
from egress.proxy.refusals import dial_refusal
from egress.wire.connect_fields import connect_fields
from egress.wire.request_head import RequestHead
from egress.wire.response_head import ResponseHead
from egress.wire.via import Via

# The codes of failures of an origin, and the codes that replace them where the other side is a proxy.
_BLAMED = {
    "origin_closed": ("proxy_malformed", "An upstream proxy closed the connection without an answer."),
    "origin_malformed": ("proxy_malformed", "What an upstream proxy answered is not HTTP/1.1."),
    "origin_timeout": ("proxy_timeout", "An upstream proxy did not answer in time."),
}


@define(eq=False)
class Forwarding:
    """The form in which one plain request is sent.

    Attributes:
        proxy: the last proxy of the route; None on a direct route.
        is_absolute: whether the last proxy receives the request in absolute form, and connects to the origin itself.
            False where the last proxy must receive a judged address: it would write the address into Host (RFC 9112
            section 3.2.2), and the origin would respond for the wrong site. False also where the protocol may change.
        authorization: the value of Proxy-Authorization, for the absolute form.
        place: the part of a pool key that identifies the destination, the proxies and their credentials. Requests share
            a connection only if all three are equal. "" on a direct route.
        connect_fields: the fields for CONNECT; only the own Via where the connection is kept for further requests.
    """

    proxy: IForwardProxy | None
    is_absolute: bool
    authorization: bytes | None = field(repr=False)
    place: str
    connect_fields: ConnectFields

    @classmethod
    def make(
        cls, proxy: IForwardProxy, request: Request, route: Route, upgrade: bytes | None, fields: ConnectFields
    ) -> Forwarding:
        """Choose the form of a request.

        Args:
            proxy: the last proxy of the route.
            request: the request.
            route: the route, with at least one hop.
            upgrade: the protocol that the client may change to.
            fields: the fields for CONNECT.
        """
        authority = request.authority
        is_absolute = upgrade is None and (route.by_name or authority.address is not None)
        hops = " ".join(f"{hop.scheme}://{hop.authority.text}" for hop in route.hops)
        mark = f"{hops} {proxy.credentials_mark()}"
        if is_absolute:
            return cls(proxy, True, proxy.authorization(), f"proxy {mark}", fields)
        judged = "" if route.by_name else ",".join(sorted(route.texts))
        return cls(proxy, False, None, f"{authority.text} {judged} {mark}", fields)

    @property
    def recipient(self) -> IForwardProxy | None:
        """The proxy to connect to for the absolute form; None to connect to the origin, through proxies or directly."""
        return self.proxy if self.is_absolute else None

    def challenged(self, head: ResponseHead) -> Refused:
        """Make the refusal for a 407 of the last proxy."""
        assert self.proxy is not None, "only a proxy is asked in absolute form"
        challenges = head.fields.values(b"proxy-authenticate")
        return dial_refusal(self.proxy.unauthorized(challenges, is_sent=self.authorization is not None))

    def answered(self) -> None:
        """Note that the last proxy responded to a request in absolute form."""
        assert self.proxy is not None, "only a proxy is asked in absolute form"
        self.proxy.answered()

    def blame(self, refused: Refused, reason: Failure | None) -> Refused:
        """Replace the origin by the proxy in a refusal, where the exchange was with a proxy.

        Args:
            refused: the refusal that the exchange made.
            reason: the reason of the connection's loss; None if it was not lost.
        """
        proxy = self.recipient
        if proxy is None:
            return refused
        lost = proxy.connection_lost(reason) if reason is not None else None
        if lost is not None:
            return dial_refusal(lost)
        code, words = _BLAMED.get(refused.code, ("", ""))
        if refused.code == "origin_malformed":
            proxy.malformed(words)
        detail = f"upstream {proxy.upstream!r}: {refused.reason}"
        return Refused(code, words, detail=detail) if code else refused


DIRECT_FORWARDING = Forwarding(None, False, None, "", NO_FIELDS)
"""The form of every request on a direct route."""

# More destinations than the agents of one node use at one time.
_FORWARDINGS = 1024


@define(eq=False)
class Forwardings:
    """Chooses the form of requests on routes with proxies. A form is kept until the credentials of a proxy change.

    Attributes:
        via: the Via of this proxy.
    """

    via: Via
    # By the identity of the route. The value refers to the route, so that no other route gets the identity.
    _memo: Memo[int, tuple[Route, str, IForwardProxies, int, Forwarding]] = field(
        init=False, factory=lambda: Memo(_FORWARDINGS), repr=False
    )

    def choose(
        self,
        proxies: IForwardProxies | None,
        request: Request,
        route: Route,
        upgrade: bytes | None,
        head: RequestHead,
    ) -> Forwarding:
        """Choose the form of a request. See `Forwarding.make`."""
        assert proxies is not None, "a route through proxies was chosen"
        if upgrade is not None:
            fields = connect_fields(head, self.via)
            return Forwarding.make(proxies.last_proxy(route), request, route, upgrade, fields)
        text = request.authority.text
        known = self._memo.get(id(route))
        if known is not None and known[0] is route and known[1] == text and known[2] is proxies:
            proxy = known[4].proxy
            if proxy is not None and proxy.credentials_mark() == known[3]:
                return known[4]
        proxy = proxies.last_proxy(route)
        made = Forwarding.make(proxy, request, route, None, self.via.shared)
        self._memo.keep(id(route), (route, text, proxies, proxy.credentials_mark(), made))
        return made
