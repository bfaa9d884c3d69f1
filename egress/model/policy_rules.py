"""The form in which policies describe their rules."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from egress.model.requests import Network


class RuleEffect(Enum):
    """The effect of a rule on the requests that it covers."""

    ALLOW = "allow"
    DENY = "deny"
    LIMIT = "limit"

    __hash__ = object.__hash__


@frozen
class PolicyRule:
    """One rule of a policy. Patterns are spelled as in the rules of a `destinations` policy.

    Attributes:
        effect: whether the rule allows, denies or limits.
        name: the rule's name in responses and in the audit log, unique in the policy.
        place: the rule's key path in the policy's table, such as "allow[0]"; "" where the whole table is one rule.
        hosts: host patterns of the destinations.
        ports: ports, and ranges such as "8000-8100"; None for every port.
        clients: patterns of client labels; None for every client.
        methods: the methods of the requests; None for every method.
        paths: path patterns; None for every path.
        addresses: networks that are not public, and that an allow rule admits.
        covers_tunnels: whether the rule covers tunnels, whose requests cannot be read.
        is_enforced: False where the policy is configured with ``mode = "audit"``, so that the rule has no effect.
    """

    effect: RuleEffect
    name: str = ""
    place: str = ""
    hosts: tuple[str, ...] = ("**",)
    ports: tuple[int | str, ...] | None = None
    clients: tuple[str, ...] | None = None
    methods: frozenset[str] | None = None
    paths: tuple[str, ...] | None = None
    addresses: tuple[Network, ...] = ()
    covers_tunnels: bool = True
    is_enforced: bool = True
