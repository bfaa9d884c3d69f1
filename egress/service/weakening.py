"""Says how one configuration protects less than the one before it.

What is not known is not claimed: settings of plugins are only said to have changed, and the contents of files that the
configuration names are not looked at.
"""

from __future__ import annotations

from egress.audit import AuditSettings
from egress.errors import ConfigError
from egress.service.endpoint import Endpoint, TcpEndpoint, UnixEndpoint, parse_endpoint
from egress.service.settings import ListenerSettings, Settings
from egress.service.weaker_policies import weaker_policies
from egress.service.weaker_roads import weaker_roads, weaker_routes, weaker_upstreams
from egress.upstream.roads import VIA_DIRECT, VIA_REFUSE

_REQUIRED = ("none", "basic", "certificate")
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
    said += weaker_roads(old.roads, new.roads) + weaker_routes(old.route, new.route)
    said += weaker_upstreams(old.upstream, new.upstream)
    before = {listener.name: listener for listener in old.listener}
    for listener in new.listener:
        said += _weaker_listener(before.get(listener.name), listener)
    return said + _weaker_audit(old.audit, new.audit)


def _weaker_listener(old: ListenerSettings | None, new: ListenerSettings) -> list[str]:
    said: list[str] = []
    asked = " and asks them for nothing" if new.require == "none" else ""
    if _is_open(new) and not (old is not None and _is_open(old)):
        said.append(f"can be reached by other machines{asked}")
    if _mode(new) & ~_mode(old):
        said.append(f"can be reached by other users{asked}")
    if old is not None:
        said += _lowered(old, new)
        if old.via == VIA_REFUSE and new.via != VIA_REFUSE:
            said.append("no longer refuses everything")
        elif new.via == VIA_DIRECT and old.via != VIA_DIRECT:
            said.append("lets everything go out without a proxy")
        elif old.via not in ("", VIA_DIRECT) and not new.via:
            said.append("has no road of its own any more")
    return [f"listener {new.name} {sentence}" for sentence in said]


def _lowered(old: ListenerSettings, new: ListenerSettings) -> list[str]:
    said: list[str] = []
    if _REQUIRED.index(new.require) < _REQUIRED.index(old.require):
        said.append(f'has require = "{new.require}", it was "{old.require}"')
    if old.tls.certificate and not new.tls.certificate:
        said.append("no longer speaks TLS")
    if new.tls.client_ca and new.tls.client_ca != old.tls.client_ca:
        said.append("takes clients' certificates of other authorities; which ones is not known here")
    if new.allow_plaintext_tokens and not old.allow_plaintext_tokens:
        said.append("takes tokens that cross the network in the clear")
    if new.tokens and old.tokens and new.tokens != old.tokens:
        said.append("takes tokens of another file; which ones is not known here")
    return said


def _is_open(listener: ListenerSettings) -> bool:
    endpoint = _endpoint(listener)
    return isinstance(endpoint, TcpEndpoint) and not endpoint.address.is_loopback


def _mode(listener: ListenerSettings | None) -> int:
    """Give the permissions of a unix socket beyond its owner's; none on any other."""
    endpoint = None if listener is None else _endpoint(listener)
    return endpoint.mode & 0o077 if isinstance(endpoint, UnixEndpoint) else 0


def _endpoint(listener: ListenerSettings) -> Endpoint | None:
    try:
        return parse_endpoint(listener.endpoint, "")
    except ConfigError:
        return None


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
