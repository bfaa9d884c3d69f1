"""What is right by itself in the settings, and wrong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from egress.errors import ConfigError, Refused
from egress.interfaces import IPolicy
from egress.match import ClientPatterns, HostPattern, Reach
from egress.model import Authority, Client, Request
from egress.policy.audit_only import AuditOnly
from egress.policy.destinations import Destinations
from egress.policy.rate import RatePolicy
from egress.policy.rules import RuleSettings
from egress.service.settings.settings import Source
from egress.upstream import UpstreamSelector


def check_together(source: Source, policies: Sequence[IPolicy], selector: UpstreamSelector) -> None:
    """Hold rules to routes and to listeners.

    Args:
        source: the settings.
        policies: in configured order. Others than our own are not looked into.
        selector: picks the route.

    Raises:
        ConfigError: `addresses` over `dns = "remote"`, or a client of a listener that is not there.
    """
    _check_addresses(source, policies, selector)
    _check_clients(source, policies)


def _within(policy: IPolicy) -> IPolicy:
    return policy.inner if isinstance(policy, AuditOnly) else policy


def _check_addresses(source: Source, policies: Sequence[IPolicy], selector: UpstreamSelector) -> None:
    """Find rules that open addresses on a route where none is ever judged.

    What can be known of a pattern is tried: the shortest name that it matches. What that leaves out is refused when it
    is asked for.

    Raises:
        ConfigError: `addresses` over `dns = "remote"`.
    """
    for index, policy in enumerate(map(_within, policies)):
        if not isinstance(policy, Destinations):
            continue
        for at, rule in enumerate(policy.settings.allow):
            name = _remote_name(source, rule, selector) if rule.addresses else None
            if name is not None:
                where = f"policy[{index}].allow[{at}].addresses"
                problem = f'opens nothing: {name} goes by a route with dns = "remote", where no address is judged'
                raise source.place(ConfigError(where, problem))


def _check_clients(source: Source, policies: Sequence[IPolicy]) -> None:
    """Find patterns of clients that name a listener which is not there.

    Raises:
        ConfigError: such a rule or route would never match, which for a deny rule is worse than none.
    """
    if source.listeners_where != "listener":
        return  # those of options have names of their own
    names = [listener.name for listener in source.settings.listener]
    for where, clients in _clients(source, policies):
        unknown = None if clients is None else clients.unknown_listener(names)
        if unknown is not None:
            problem = f"{unknown} is no listener of this file; there are: {', '.join(names)}"
            raise source.place(ConfigError(f"{where}.clients", problem))


def _clients(source: Source, policies: Sequence[IPolicy]) -> Iterator[tuple[str, ClientPatterns | None]]:
    for index, policy in enumerate(map(_within, policies)):
        if isinstance(policy, Destinations):
            for place, _, rule in policy.settings.named_rules():
                yield f"policy[{index}].{place}", rule.clients
        elif isinstance(policy, RatePolicy):
            yield f"policy[{index}]", policy.settings.clients
    for index, route in enumerate(source.settings.route):
        yield f"route[{index}]", route.clients


def _remote_name(source: Source, rule: RuleSettings, selector: UpstreamSelector) -> str | None:
    for listener in source.settings.listener:
        labels = frozenset([f"listener:{listener.name}"])
        if rule.clients is not None and not rule.clients.match(labels):
            continue
        for host in map(_sample, rule.hosts):
            for port in _ports(rule) if host else ():
                for request_form in ("connect", "http"):
                    if _is_remote(selector, request_form, Authority(host, port), Client("", labels), listener.name):
                        return host
    return None


def _sample(pattern: HostPattern) -> str:
    if pattern.reach is Reach.EXACT:
        return pattern.suffix
    return f"any.{pattern.suffix}" if pattern.suffix else ""


def _ports(rule: RuleSettings) -> Iterator[int]:
    for span in rule.ports.ranges():
        yield span[0]


def _is_remote(
    selector: UpstreamSelector, request_form: str, authority: Authority, client: Client, listener: str
) -> bool:
    request = Request("", request_form, "GET", authority, None, client, listener, 0.0, is_dry_run=True)
    try:
        plan = selector.select(request)
    except Refused:
        return False
    return bool(plan.hops) and plan.dns == "remote"
