"""Describes the rules of a `destinations` policy."""

from __future__ import annotations

from collections.abc import Iterator

from egress.model import PolicyRule, RuleEffect
from egress.policy.rules import CONNECT, DestinationsSettings, RuleSettings


def describe(settings: DestinationsSettings) -> Iterator[PolicyRule]:
    """Describe each rule, deny rules first."""
    for place, name, rule in settings.named_rules():
        effect = RuleEffect.DENY if place.startswith("deny") else RuleEffect.ALLOW
        # A rule about methods or paths covers tunnels by `opaque`: "allow" lets allow rules cover them, "deny" lets
        # deny rules cover them.
        covers_opaque = settings.opaque == effect.value
        yield PolicyRule(
            effect,
            name,
            place,
            tuple(pattern.text for pattern in rule.hosts),
            tuple(f"{first}-{last}" for first, last in rule.ports.ranges()),
            None if rule.clients is None else rule.clients.texts,
            rule.methods,
            None if rule.paths is None else tuple(pattern.text for pattern in rule.paths.patterns),
            rule.addresses,
            covers_opaque or _covers_tunnels(rule),
        )


def _covers_tunnels(rule: RuleSettings) -> bool:
    return not rule.needs_reading or (rule.methods is not None and CONNECT in rule.methods)
