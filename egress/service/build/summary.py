"""Describes a prepared configuration in a few words."""

from __future__ import annotations

from egress.model import RuleEffect
from egress.service.build.prepare import Prepared


def summary(prepared: Prepared) -> str:
    """Return the numbers of policies and of their described rules as text."""
    rules = [each.rule for policy in prepared.policies for each in policy.rules or ()]
    number = sum(rule.effect is not RuleEffect.LIMIT for rule in rules)
    guard = "on" if prepared.source.settings.guard.enabled else "off"
    policies = count(len(prepared.policies), "policy", "policies")
    return f"{policies}, {count(number, 'rule', 'rules')}, guard {guard}"


def allows_nothing(prepared: Prepared) -> bool:
    """Whether every request is refused. A policy without a description may allow requests."""
    return not any(policy.can_allow for policy in prepared.policies)


def count(number: int, one: str, many: str) -> str:
    """Format a number with its noun."""
    return f"{number} {one if number == 1 else many}"
