"""A configuration in a few words, and where it keeps what is kept."""

from __future__ import annotations

import os

from egress.audit import state_directory
from egress.service.settings.settings import Settings


def summary(settings: Settings) -> str:
    """Count what was configured, for people."""
    policies = len(settings.policy)
    rules = sum(
        len(rules)
        for table in settings.policy
        for rules in (table.get("allow"), table.get("deny"))
        if isinstance(rules, list)
    )
    guard = "on" if settings.guard.enabled else "off"
    return f"{count(policies, 'policy', 'policies')}, {count(rules, 'rule', 'rules')}, guard {guard}"


def count(number: int, one: str, many: str) -> str:
    """Give a number with its noun."""
    return f"{number} {one if number == 1 else many}"


def state_of(settings: Settings) -> str:
    """Give the directory of what is kept. It is absolute: a daemon changes its working directory."""
    return os.path.abspath(settings.state or state_directory())


def audit_log_places(settings: Settings) -> list[str]:
    """Say where the record goes."""
    return [settings.audit.path_in(state_of(settings)) if word == "file" else word for word in settings.audit.to]
