"""Routes: resolutions, plans, hops, and admissions of requests."""

from __future__ import annotations

from attrs import define, field, frozen

from egress.model.requests import Address, Authority, Verdict


@frozen
class Resolution:
    """The addresses of a name, from one look-up.

    Attributes:
        host: the canonical name, or the literal itself.
        addresses: the addresses in the resolver's order, without duplicates. Empty only when delegated.
        is_delegated: whether the upstream proxy resolves the name, so that no address was judged.
    """

    host: str
    addresses: tuple[Address, ...]
    is_delegated: bool = False


@frozen
class Hop:
    """One proxy of a route.

    Attributes:
        upstream: the proxy's name in the configuration.
        scheme: the scheme of the connection to the proxy: "http" or "https".
        authority: the host and port of the proxy.
    """

    upstream: str
    scheme: str
    authority: Authority


@frozen
class Route:
    """The settled route of one request. Only its hops and addresses may be dialled.

    Attributes:
        upstream: the label of the plan.
        hops: the proxies of the route, nearest first; empty for a direct route.
        addresses: the judged addresses, in the resolver's order.
        by_name: whether the last proxy receives the destination by name; false on a direct route.
        texts: the addresses as text.
    """

    upstream: str
    hops: tuple[Hop, ...]
    addresses: tuple[Address, ...]
    by_name: bool = False
    texts: tuple[str, ...] = field(init=False, eq=False, repr=False)

    @texts.default
    def _texts(self) -> tuple[str, ...]:
        return tuple(map(str, self.addresses))


@frozen
class RoutePlan:
    """The route chosen for a request before its name is resolved, and the setting that decided.

    Attributes:
        label: the upstream's name in logs, metrics and answers; "direct" for none.
        level: the level of the cascade that decided: "refused", "route", "listener", "system", "environment" or
            "none".
        dns: how names are resolved: "auto", "pinned" or "remote".
        hops: the proxies of the route, nearest first; empty for a direct route.
        source: the setting that decided: ``route "build"``, ``listener "agents"``, ``routing.default``,
            ``HTTPS_PROXY``; "" where no setting decided, and the route therefore is direct.
        bypassed: the label of the plan that this direct plan replaces because of NO_PROXY; else "".
    """

    label: str
    level: str
    dns: str = "auto"
    hops: tuple[Hop, ...] = ()
    source: str = ""
    bypassed: str = ""


@frozen(eq=False)
class Admission:
    """The decision to admit a request. Requests with equal decisions share one object.

    Attributes:
        verdict: the ALLOW of the first round.
        verdicts: the verdicts of all policies in the last round, in configured order.
        plan: the plan of the route.
        route: the route settled for the judged addresses.
        resolution: the judged addresses.
        generation: the generation of the snapshot that decided.
        authority: the destination that was judged.
    """

    verdict: Verdict
    verdicts: tuple[Verdict, ...]
    plan: RoutePlan
    route: Route
    resolution: Resolution
    generation: int
    authority: Authority


@frozen
class ConnectFields:
    """Fields of a client's request that are passed on in CONNECT to upstream proxies.

    Attributes:
        user_agent: the value of User-Agent; b"" for none.
        via: the lines of all Via fields, that of this proxy the last, each with its CRLF.
    """

    user_agent: bytes = b""
    via: bytes = b""


NO_FIELDS = ConnectFields()
"""The fields for a route without proxies."""


@define(eq=False)
class Trace:
    """A record of the attempts to dial a route.

    Attributes:
        dialled: the address that accepted the connection, else the last dialled address; "" before the first attempt.
        attempts: each address or target with the outcome of the attempt; "" while in progress or established.
    """

    dialled: str = ""
    attempts: list[tuple[str, str]] = field(factory=list)
