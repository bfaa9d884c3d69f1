"""Requests and verdicts."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from attrs import define, field, frozen

from egress.model.clients import Client

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


NO_OVERRIDES: frozenset[str] = frozenset()


class Outcome(Enum):
    """Outcome of a verdict."""

    ALLOW = "allow"
    DENY = "deny"
    ABSTAIN = "abstain"
    ASK = "ask"

    # Members are singletons, so the identity hash is valid; it is faster than that of Enum.
    __hash__ = object.__hash__


class Obligation(Enum):
    """A condition of an ALLOW or ABSTAIN: a change that the proxy must make to the request."""

    INTERCEPT = "intercept"
    INSPECT = "inspect"
    STRIP_OVERRIDES = "strip_overrides"
    """The request is forwarded without its override fields (`egress.model.override_fields`)."""

    __hash__ = object.__hash__


@frozen
class Authority:
    """Host and port of a destination (RFC 3986 section 3.2).

    Attributes:
        host: canonical host: lower case, A-labels, no trailing dot; an address in standard spelling without brackets.
        port: 1 to 65535.
        address: the host as an address; None if the host is a name.
        text: host and port as in a URL, with brackets around an IPv6 address.
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
    """Durations of a request's phases in milliseconds; -1.0 for a phase that did not happen.

    Attributes:
        judge: policies, upstream selection and guard, without the wait for the resolver.
        resolve: wait for the resolver.
        dial: from the start of dialling until the origin connection is established, through all hops.
        wait: from the last byte of the request that was sent to the first byte of the response.
    """

    judge: float = -1.0
    resolve: float = -1.0
    dial: float = -1.0
    wait: float = -1.0


@define(eq=False)
class Request:
    """One request of a client. Every request form is converted to this value, which is the gate's only input.

    Attributes:
        id: printable id, unique among all requests of the supervisor.
        request_form: "http" for absolute form, "connect" for CONNECT.
        method: method as sent (RFC 9110 section 9); "CONNECT" for a tunnel.
        authority: destination.
        path: canonical path without query; None for a tunnel.
        client: the client.
        listener: name of the listener.
        begun: time when the head was complete, in seconds on the monotonic clock.
        is_path_ambiguous: servers read the path differently, for example because of an encoded slash.
        overrides: the fields by which an origin may take another method or path; see `egress.model.override_fields`.
        is_dry_run: whether ``explain`` made the request; such a request must be neither counted nor remembered.
        is_judged_again: whether an earlier snapshot has judged and counted the request.
        phases: durations of the phases so far.
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
    overrides: frozenset[str] = NO_OVERRIDES
    is_dry_run: bool = False
    is_judged_again: bool = False
    phases: Phases = field(factory=Phases)


@frozen
class Verdict:
    """The answer of one policy to one request in one round.

    Attributes:
        outcome: ALLOW, DENY, ABSTAIN or ASK.
        policy: name of the policy in the configuration.
        rule: name of the rule; "" if the policy has no rules.
        reason: one sentence in ASCII for a person, without client bytes.
        pattern: host pattern that matched, in canonical form; "" for none.
        admits: networks that are not public and that this ALLOW admits.
        obligations: conditions of this ALLOW or ABSTAIN.
        retry_seconds: seconds after which a denied request can succeed; None if waiting does not help.
        message: what the operator says to a client that this verdict refuses, or that nearly matched its rule; "" for
            nothing.
    """

    outcome: Outcome
    policy: str
    rule: str = ""
    reason: str = ""
    pattern: str = ""
    admits: tuple[Network, ...] = ()
    obligations: frozenset[Obligation] = frozenset()
    retry_seconds: float | None = None
    message: str = ""
