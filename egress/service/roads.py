"""Makes the roads out of the settings and the supervisor's own environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from egress.config.watched import Seconds
from egress.errors import ConfigError, Refused
from egress.interfaces import IPolicy
from egress.match import HostPattern, Reach
from egress.model import Authority, Client, Request
from egress.policy.destinations import Destinations
from egress.policy.rules import RuleSettings
from egress.service.settings import Source
from egress.upstream import (
    RoadSelector,
    Upstream,
    UpstreamSettings,
    make_plain_upstream,
    make_upstream,
    read_environment,
)

_CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"


@frozen(eq=False)
class Roads:
    """Every way out.

    Attributes:
        selector: picks one.
        upstreams: the proxies, by the names that hops call them.
        warnings: what an operator should hear, a sentence each.
    """

    selector: RoadSelector
    upstreams: Mapping[str, Upstream]
    warnings: tuple[str, ...]

    def summary(self) -> str:
        """Say where requests go that nothing else sends elsewhere, and which proxies there are; no secret is in it."""
        proxies = [f"{hop.upstream} at {hop.scheme}://{hop.authority.text}" for hop in self.selector.hops]
        return f"{self.selector.default_words()}; {'; '.join(proxies) or 'no proxies'}"


def make_roads(source: Source, clock: Seconds, environ: Mapping[str, str] | None = None) -> Roads:
    """Read the environment, and make every proxy ready.

    Args:
        source: the settings.
        clock: tells when to look at credential files again.
        environ: the supervisor's own environment; None for the one of this process.

    Raises:
        ConfigError: a variable, a table or a file that it names cannot be used.
    """
    environ = os.environ if environ is None else environ
    settings = source.settings
    environment = read_environment(environ)
    listeners = {listener.name: listener.via for listener in settings.listener}
    try:
        selector = RoadSelector(settings.upstream, settings.route, settings.roads, environment, listeners)
        upstreams = {
            each.name: _make(source, each, f"upstream[{index}]", clock, environ.get(_CREDENTIALS_DIRECTORY))
            for index, each in enumerate(settings.upstream)
        }
    except ConfigError as error:
        raise source.place(error)
    for proxy in environment.proxies:
        upstreams[proxy.variable] = make_plain_upstream(proxy.variable, proxy.address, proxy.variable)
    return Roads(selector, upstreams, environment.warnings)


def _make(source: Source, settings: UpstreamSettings, where: str, clock: Seconds, directory: str | None) -> Upstream:
    try:
        return make_upstream(settings, clock, directory, source.path)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.where}" if error.where else where, error.problem, error.file)


def check_addresses(source: Source, policies: Sequence[IPolicy], selector: RoadSelector) -> None:
    """Find rules that open addresses on a road where none is ever judged.

    What can be known of a pattern is tried: the shortest name that it matches. What that leaves out is refused when it
    is asked for.

    Raises:
        ConfigError: `addresses` over `dns = "remote"`.
    """
    for index, policy in enumerate(policies):
        if not isinstance(policy, Destinations):
            continue
        for at, rule in enumerate(policy.settings.allow):
            name = _remote_name(source, rule, selector) if rule.addresses else None
            if name is not None:
                where = f"policy[{index}].allow[{at}].addresses"
                problem = f'opens nothing: {name} goes by a road with dns = "remote", where no address is judged'
                raise source.place(ConfigError(where, problem))


def _remote_name(source: Source, rule: RuleSettings, selector: RoadSelector) -> str | None:
    for listener in source.settings.listener:
        labels = frozenset([f"listener:{listener.name}"])
        if rule.clients is not None and not rule.clients.match(labels):
            continue
        for host in map(_sample, rule.hosts):
            for port in _ports(rule) if host else ():
                for front in ("connect", "http"):
                    if _is_remote(selector, front, Authority(host, port), Client("", labels), listener.name):
                        return host
    return None


def _sample(pattern: HostPattern) -> str:
    if pattern.reach is Reach.EXACT:
        return pattern.suffix
    return f"any.{pattern.suffix}" if pattern.suffix else ""


def _ports(rule: RuleSettings) -> Iterator[int]:
    for span in rule.ports.ranges():
        yield span[0]


def _is_remote(selector: RoadSelector, front: str, authority: Authority, client: Client, listener: str) -> bool:
    request = Request("", front, "GET", authority, None, client, listener, 0.0, is_rehearsal=True)
    try:
        plan = selector.select(request)
    except Refused:
        return False
    return bool(plan.hops) and plan.dns == "remote"
