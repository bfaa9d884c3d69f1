"""Consistency checks across configuration tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from egress.errors import ConfigError, Refused
from egress.match import ClientPatterns, HostPattern, Reach, Scope
from egress.model import Authority, Client, Request, RuleEffect
from egress.service.build.configured_policies import ConfiguredPolicy
from egress.service.settings.source import Source
from egress.upstream import UpstreamSelector

# The ports that are tried where a rule covers every port.
_USUAL_PORTS = (443, 80)


def check_consistency(source: Source, policies: Sequence[ConfiguredPolicy], selector: UpstreamSelector) -> None:
    """Compare rules with routes and with listeners.

    Args:
        source: the settings.
        policies: the policies in configured order. The rules of a policy that does not describe itself are not known.
        selector: the upstream selector.

    Raises:
        ConfigError: a rule has `addresses` for a route with `dns = "remote"`, or names a client of an unknown listener.
    """
    _check_addresses(source, policies, selector)
    _check_clients(source, policies)


def _check_addresses(source: Source, policies: Sequence[ConfiguredPolicy], selector: UpstreamSelector) -> None:
    """Find rules that admit addresses on a route without judged addresses.

    For each host pattern the shortest name that it matches is tried. Other names are refused when they are requested.

    Raises:
        ConfigError: a rule has `addresses` for a route with `dns = "remote"`.
    """
    for index, policy in enumerate(policies):
        for each in policy.rules or ():
            if each.rule.effect is not RuleEffect.ALLOW or not each.rule.addresses:
                continue
            name = _remote_name(source, each.scope, selector)
            if name is not None:
                problem = f'admits nothing: {name} goes by a route with dns = "remote", where no address is judged'
                raise ConfigError(_key(index, each.rule.place, "addresses"), problem)


def _check_clients(source: Source, policies: Sequence[ConfiguredPolicy]) -> None:
    """Find patterns of clients that name an unknown listener.

    Raises:
        ConfigError: such a rule or route would never match. A deny rule would then give no protection.
    """
    if source.listeners_where != "listener":
        return  # The listeners of command-line options have other names than the listeners of the file.
    names = [listener.name for listener in source.settings.listener]
    for where, clients in _clients(source, policies):
        unknown = None if clients is None else clients.unknown_listener(names)
        if unknown is not None:
            raise ConfigError(where, f"{unknown} is no listener of this file; there are: {', '.join(names)}")


def _clients(source: Source, policies: Sequence[ConfiguredPolicy]) -> Iterator[tuple[str, ClientPatterns | None]]:
    for index, policy in enumerate(policies):
        for each in policy.rules or ():
            yield _key(index, each.rule.place, "clients"), each.scope.clients
    for index, route in enumerate(source.settings.route):
        yield f"route[{index}].clients", route.clients


def _key(index: int, place: str, key: str) -> str:
    return ".".join(filter(None, (f"policy[{index}]", place, key)))


def _remote_name(source: Source, scope: Scope, selector: UpstreamSelector) -> str | None:
    ports = _USUAL_PORTS if scope.ports is None else [first for first, _ in scope.ports.ranges()]
    for listener in source.settings.listener:
        labels = frozenset([f"listener:{listener.name}"])
        if scope.clients is not None and not scope.clients.match(labels):
            continue
        for host in filter(None, map(_sample, scope.hosts)):
            for port in ports:
                for request_form in ("connect", "http"):
                    if _is_remote(selector, request_form, Authority(host, port), Client("", labels), listener.name):
                        return host
    return None


def _sample(pattern: HostPattern) -> str:
    """Return the shortest name that a pattern matches; "" for a network and for every host."""
    if pattern.reach is Reach.EXACT:
        return pattern.suffix
    return f"any.{pattern.suffix}" if pattern.suffix else ""


def _is_remote(
    selector: UpstreamSelector, request_form: str, authority: Authority, client: Client, listener: str
) -> bool:
    request = Request("", request_form, "GET", authority, None, client, listener, 0.0, is_dry_run=True)
    try:
        plan = selector.select(request)
    except Refused:
        return False
    return bool(plan.hops) and plan.dns == "remote"
