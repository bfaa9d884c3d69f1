"""The values that the parts hand to each other.

What is kept or shared is frozen; what is made once per request (`Request`, `Phases`, `AuditRecord`) is plain slots,
because freezing one costs three times as much and nobody keeps it.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field, frozen

if TYPE_CHECKING:
    from egress.errors import Refused

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class Outcome(Enum):
    """What a policy says."""

    ALLOW = "allow"
    DENY = "deny"
    ABSTAIN = "abstain"
    ASK = "ask"

    # Members are singletons; the identity hash is what the hot path wants.
    __hash__ = object.__hash__


class Obligation(Enum):
    """What an ALLOW may ask for beyond letting the request through."""

    INTERCEPT = "intercept"
    INSPECT = "inspect"

    __hash__ = object.__hash__


@frozen
class Authority:
    """Where a request wants to go (RFC 3986 section 3.2).

    Attributes:
        host: canonical: lower case, A-labels, no trailing dot; an address in its standard spelling, without brackets.
        port: 1 to 65535.
        address: the same host as an address where it is one, else None.
    """

    host: str
    port: int
    address: Address | None = None
    text: str = field(init=False, eq=False, repr=False)

    @text.default
    def _text(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class Connection:
    """The facts of one accepted connection.

    Attributes:
        listener: the listener's name in the configuration.
        peer: the other side's address, "" on a unix socket.
        peer_port: 0 on a unix socket.
    """

    listener: str
    peer: str
    peer_port: int


@frozen
class Client:
    """Who is calling, as far as it is known.

    Attributes:
        key: tells clients apart in limits, pools and memories.
        labels: what rules may name, each `kind:value`: `listener:agents`, `address:127.0.0.1`.
    """

    key: str
    labels: frozenset[str] = frozenset()


@define(eq=False)
class Phases:
    """Where a request's time went. Milliseconds; -1.0 where a phase did not happen.

    Attributes:
        judge: policies, selection and guard, without waiting for the resolver.
        resolve: waiting for the resolver.
        dial: until the connection to the origin (or through the hops) stood.
        wait: from the request's last byte sent to the answer's first.
    """

    judge: float = -1.0
    resolve: float = -1.0
    dial: float = -1.0
    wait: float = -1.0


@define(eq=False)
class Request:
    """One wish to go out. Every front makes one of these, and only these are judged.

    Attributes:
        id: unique among all requests of this supervisor, printable.
        front: how it came: "http" or "connect".
        method: as sent, RFC 9110 section 9; "CONNECT" for a tunnel.
        authority: where to.
        path: canonical, without query; None where it cannot be read (a tunnel).
        client: who asks.
        listener: the listener's name.
        begun: seconds on the monotonic clock when its head was complete.
        is_path_ambiguous: the path holds an encoded slash or backslash, which servers read differently.
        is_rehearsal: asked by `explain`: nothing may be counted or remembered because of it.
        phases: where its time went.
    """

    id: str
    front: str
    method: str
    authority: Authority
    path: str | None
    client: Client
    listener: str
    begun: float
    is_path_ambiguous: bool = False
    is_rehearsal: bool = False
    phases: Phases = field(factory=Phases)


@frozen
class Verdict:
    """One policy's answer to one request at one stage.

    Attributes:
        outcome: DENY ends the matter; ABSTAIN leaves it to others.
        policy: the policy's name in the configuration.
        rule: the rule's name, or "" where the policy has no rules.
        reason: one sentence for a person, ASCII, free of client bytes.
        pattern: the host pattern that matched, in canonical form, or "".
        admits: networks that this ALLOW opens although they are not public.
        obligations: what must happen to the request on its way.
        retry_seconds: on a DENY that passes by itself: after how long; None where it does not.
    """

    outcome: Outcome
    policy: str
    rule: str = ""
    reason: str = ""
    pattern: str = ""
    admits: tuple[Network, ...] = ()
    obligations: frozenset[Obligation] = frozenset()
    retry_seconds: float | None = None


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
class Plan:
    """Which road a request takes, and what decided.

    Attributes:
        label: the road's name on the record.
        level: 1 to 6, the level of the cascade that decided; 0 for an operator's route.
        dns: how names are treated on this road: "auto", "pinned" or "remote".
        hops: the proxies of this road, nearest first.
    """

    label: str
    level: int
    dns: str = "auto"
    hops: tuple[Hop, ...] = ()

    def settle(self, resolution: Resolution) -> Route:
        """Fix the route for what was resolved and judged."""
        return Route(self.label, self.hops, resolution.addresses)


@frozen(eq=False)
class Admission:
    """Everything that was decided about a request. Shared by requests that were judged alike.

    Attributes:
        verdict: the ALLOW that let it in.
        verdicts: what every policy said in the last round, in configured order.
        plan: the road.
        route: the road settled for these addresses.
        resolution: what was judged.
        generation: of the World that judged.
    """

    verdict: Verdict
    verdicts: tuple[Verdict, ...]
    plan: Plan
    route: Route
    resolution: Resolution
    generation: int


@define(eq=False)
class Trace:
    """Collects what happens while a route is dialled.

    Attributes:
        dialled: the address that answered, or the last one tried; "" before.
        attempts: each address tried and what came of it ("" while under way or connected).
    """

    dialled: str = ""
    attempts: list[tuple[str, str]] = field(factory=list)


@define(eq=False)
class AuditRecord:
    """What happened to one request. It refers to its request and admission, and is formatted later, in a batch.

    Attributes:
        kind: "end" when it is over, "open" for a tunnel that lives on, "refused".
        time: seconds since the epoch.
        request: None where no request could be read.
        client: who asked.
        connection: what it came on.
        connection_id: unique among all connections of this supervisor.
        front: "http" or "connect"; "" where nothing could be read.
        admission: None where it was not admitted.
        refused: the refusal, where it was refused or failed.
        status: of the answer that the client got; 0 for none.
        dialled: the address dialled, or "".
        server_name: the ClientHello's name in a tunnel: None where there was no ClientHello, "" where it had no name.
        bytes_up: of the content or tunnel, client to origin, heads not counted.
        bytes_down: the other way.
        phases: where the time went; those of the request where there is one.
        total_ms: from the head's end to the end.
        cause: what ended it, one of `egress.errors.CAUSES`.
        request_id: what the answer called it, where there is no request; else the request's id counts.
    """

    kind: str
    time: float
    request: Request | None
    client: Client
    connection: Connection
    connection_id: str
    front: str = ""
    admission: Admission | None = None
    refused: Refused | None = None
    status: int = 0
    dialled: str = ""
    server_name: str | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    phases: Phases = field(factory=Phases)
    total_ms: float = 0.0
    cause: str = ""
    request_id: str = ""


@frozen
class Secret:
    """A word that must not be seen. It has no spelling in `repr`, `str` or comparison."""

    _value: str = field(repr=False, eq=False)

    def reveal(self) -> str:
        """Give the word itself, to whoever must send it."""
        return self._value

    def __str__(self) -> str:
        return "Secret()"
