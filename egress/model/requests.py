"""What is wanted, and what policies say of it."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from attrs import define, field, frozen

from egress.model.clients import Client

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
        request_form: how it came: "http" or "connect".
        method: as sent, RFC 9110 section 9; "CONNECT" for a tunnel.
        authority: where to.
        path: canonical, without query; None where it cannot be read (a tunnel).
        client: who asks.
        listener: the listener's name.
        begun: seconds on the monotonic clock when its head was complete.
        is_path_ambiguous: the path holds an encoded slash or backslash, which servers read differently.
        is_dry_run: asked by `explain`: nothing may be counted or remembered because of it.
        is_judged_again: judged before, under an earlier snapshot; whoever counts requests has counted it.
        phases: where its time went.
    """

    id: str
    request_form: str
    method: str
    authority: Authority
    path: str | None
    client: Client
    listener: str
    begun: float
    is_path_ambiguous: bool = False
    is_dry_run: bool = False
    is_judged_again: bool = False
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
