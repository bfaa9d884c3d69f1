"""Compares the settings of two configurations, table by table."""

from __future__ import annotations

from collections.abc import Sequence

from egress.audit import AuditSettings
from egress.proxy.limits import Limits
from egress.service.build.configured_policies import ConfiguredPolicy
from egress.service.reload.downgrades.listeners import listener_downgrades
from egress.service.reload.downgrades.policies import policy_downgrades, restricted_label_kinds
from egress.service.reload.downgrades.routing import routing_downgrades, upstream_downgrades
from egress.service.settings.settings import Settings

# The limits that protect other parties from a client. All other limits protect this proxy.
_LIMITS = ("authentication_failures_per_minute", "connections_per_client", "tunnel_seconds")
_PATHS = ("none", "first", "full")


def find_downgrades(
    old: Settings, new: Settings, old_policies: Sequence[ConfiguredPolicy], new_policies: Sequence[ConfiguredPolicy]
) -> list[str]:
    """Compare two configurations.

    Args:
        old: the active settings.
        new: the settings that replace them.
        old_policies: the active policies.
        new_policies: the policies that replace them.

    Returns:
        A sentence for each way in which the new configuration protects less.
    """
    if old == new:
        return []
    said: list[str] = []
    if old.guard.enabled and not new.guard.enabled:
        said.append("the guard is off: a rule for a name may lead to any address")
    if old.tls.sni == "enforce" and new.tls.sni == "record":
        said.append('tls.sni is "record": a tunnel may lead to another host than the one that was judged')
    if old.tls.ech == "refuse" and new.tls.ech == "record":
        said.append('tls.ech is "record": a tunnel may lead to another host by an encrypted server name')
    said += policy_downgrades(old_policies, new_policies)
    said += routing_downgrades(old, new)
    said += upstream_downgrades(old.upstream, new.upstream)
    said += listener_downgrades(old.listener, new.listener, restricted_label_kinds(new_policies, new.route))
    return said + _limit_downgrades(old.limits, new.limits) + _audit_downgrades(old.audit, new.audit)


def _limit_downgrades(old: Limits, new: Limits) -> list[str]:
    return [
        f"limits.{key} is {getattr(new, key)}, it was {getattr(old, key)}"
        for key in _LIMITS
        if getattr(new, key) > getattr(old, key)
    ]


def _audit_downgrades(old: AuditSettings, new: AuditSettings) -> list[str]:
    said: list[str] = []
    gone = [word for word in old.to if word not in new.to]
    if gone:
        said.append(f"audit.to: the record no longer goes to {', '.join(gone)}")
    if _PATHS.index(new.paths) < _PATHS.index(old.paths):
        said.append(f'audit.paths is "{new.paths}": the record holds less of each path')
    elif new.paths == "full" and old.paths != "full":
        said.append('audit.paths is "full": the record holds whole paths, which may hold secrets')
    if old.on_loss == "refuse" and new.on_loss == "continue":
        said.append('audit.on_loss is "continue": requests pass although they cannot be recorded')
    if old.chain and not new.chain:
        said.append("audit.chain is off: an altered record will not be found out")
    return said
