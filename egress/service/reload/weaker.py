"""Says how one configuration protects less than the one before it.

What is not known is not claimed: settings of plugins are only said to have changed, and the contents of files that the
configuration names are not looked at.
"""

from __future__ import annotations

from egress.audit import AuditSettings
from egress.proxy.limits import Limits
from egress.service.reload.weaker_listeners import weaker_listeners
from egress.service.reload.weaker_policies import limiting_kinds, weaker_policies
from egress.service.reload.weaker_routing import weaker_routing, weaker_upstreams
from egress.service.settings.settings import Settings

# The limits that protect others from a client. The rest keep this proxy in working order.
_LIMITS = ("authentication_failures_per_minute", "connections_per_client", "tunnel_seconds")
_PATHS = ("none", "first", "full")


def weakenings(old: Settings, new: Settings) -> list[str]:
    """Compare two configurations, both of which could be built.

    Returns:
        A sentence for each way in which the new one protects less. Nothing where it protects as much or more.
    """
    if old == new:
        return []
    said: list[str] = []
    if old.guard.enabled and not new.guard.enabled:
        said.append("the guard is off: a rule for a name may lead to any address")
    if old.tls.sni == "enforce" and new.tls.sni == "record":
        said.append('tls.sni is "record": a tunnel may lead to another host than the one that was judged')
    said += weaker_policies(old.policy, new.policy)
    said += weaker_routing(old, new)
    said += weaker_upstreams(old.upstream, new.upstream)
    said += weaker_listeners(old.listener, new.listener, limiting_kinds(new.policy, new.route))
    return said + _weaker_limits(old.limits, new.limits) + _weaker_audit(old.audit, new.audit)


def _weaker_limits(old: Limits, new: Limits) -> list[str]:
    return [
        f"limits.{key} is {getattr(new, key)}, it was {getattr(old, key)}"
        for key in _LIMITS
        if getattr(new, key) > getattr(old, key)
    ]


def _weaker_audit(old: AuditSettings, new: AuditSettings) -> list[str]:
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
