"""The ways out."""

from __future__ import annotations

from attrs import define, field, frozen

from egress.model.requests import Address, Authority, Verdict


@frozen
class Resolution:
    """What a name stands for, looked up once.

    Attributes:
        host: the canonical name, or the literal itself.
        addresses: in the resolver's order, without doubles. Empty only when delegated.
        is_delegated: the name is left to the next proxy; no address was judged.
    """

    host: str
    addresses: tuple[Address, ...]
    is_delegated: bool = False


@frozen
class Hop:
    """One proxy on the way.

    Attributes:
        upstream: its name in the configuration.
        scheme: how it is spoken to.
        authority: where it listens.
    """

    upstream: str
    scheme: str
    authority: Authority


@frozen
class Route:
    """One way to one destination, ready to dial.

    Attributes:
        upstream: the name of the upstream that dials.
        hops: the proxies between, nearest first; empty for direct.
        addresses: the judged addresses that may be dialled.
        by_name: the last hop is asked for the destination by its name; never so on a direct route.
        texts: the addresses, spelled.
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
    """Which route a request takes, and what decided.

    Attributes:
        label: the upstream's name in logs, metrics and answers; "direct" for none.
        level: the level of the cascade that decided: "run", "agent", "listener", "route", "organization", "system",
            "environment" or "none".
        dns: how names are treated on this route: "auto", "pinned" or "remote".
        hops: the proxies of this route, nearest first.
        source: the setting that decided: ``route "build"``, ``listener "agents"``, ``routing.default``,
            ``HTTPS_PROXY``; "" where no setting decided, and the route therefore is direct.
        bypassed: on a direct route that NO_PROXY decided: the upstream that would have been taken; else "".
    """

    label: str
    level: str
    dns: str = "auto"
    hops: tuple[Hop, ...] = ()
    source: str = ""
    bypassed: str = ""


@frozen(eq=False)
class Admission:
    """Everything that was decided about a request. Shared by requests that were judged alike.

    Attributes:
        verdict: the ALLOW that let it in.
        verdicts: what every policy said in the last round, in configured order.
        plan: the route.
        route: the route settled for these addresses.
        resolution: what was judged.
        generation: of the snapshot that judged.
        authority: the destination that was judged.
    """

    verdict: Verdict
    verdicts: tuple[Verdict, ...]
    plan: RoutePlan
    route: Route
    resolution: Resolution
    generation: int
    authority: Authority


@define(eq=False)
class Trace:
    """Collects what happens while a route is dialled.

    Attributes:
        dialled: the address that answered, or the last one tried; "" before.
        attempts: each address tried and what came of it ("" while under way or connected).
    """

    dialled: str = ""
    attempts: list[tuple[str, str]] = field(factory=list)
