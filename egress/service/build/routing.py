"""Makes the upstreams and the upstream selector, from the settings and the supervisor's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from egress.config.watched_file import Seconds
from egress.errors import ConfigError
from egress.model import Authority, Hop
from egress.service.settings.source import Source
from egress.upstream import (
    SYSTEMD,
    VIA_ENVIRONMENT,
    Upstream,
    UpstreamSelector,
    UpstreamSettings,
    UpstreamState,
    UpstreamStates,
    hops_through,
    make_plain_upstream,
    make_upstream,
    read_environment,
    uses_environment,
)

_CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"


@frozen(eq=False)
class Routing:
    """All upstreams, and the selector that chooses the route of a request.

    Attributes:
        selector: the upstream selector.
        upstreams: the upstreams by the names in hops.
        dialled: the address and port of each proxy that is dialled directly, by its key path or variable.
        required: the hops of the route through each upstream on which readiness depends, by its name.
        states: the states of the upstreams.
        warnings: warnings for the operator, a sentence each.
    """

    selector: UpstreamSelector
    upstreams: Mapping[str, Upstream]
    dialled: Mapping[str, Authority]
    required: Mapping[str, tuple[Hop, ...]]
    states: UpstreamStates
    warnings: tuple[str, ...]

    def probed(self) -> dict[str, tuple[tuple[Hop, ...], UpstreamState]]:
        """Return the hops of the route through each required upstream, and its state, by its name."""
        return {name: (hops, self.states.of(self.upstreams[name])) for name, hops in self.required.items()}

    def faults(self) -> list[str]:
        """Return a sentence for each required upstream that does not work."""
        return [fault for _, state in self.probed().values() if (fault := state.readiness_fault())]

    def up(self) -> dict[tuple[str], bool]:
        """Return for each upstream whether it works, by label value of a metric."""
        return self.states.up(self.upstreams)

    def summary(self) -> str:
        """Describe the default route and the upstreams, without their credentials."""
        proxies = [f"{hop.upstream} at {hop.scheme}://{hop.authority.text}" for hop in self.selector.hops]
        return f"{self.selector.default_words()}; {'; '.join(proxies) or 'no proxies'}"


def make_routing(
    source: Source,
    clock: IReactorTime,
    environ: Mapping[str, str] | None = None,
    states: UpstreamStates | None = None,
    *,
    is_dry_run: bool = False,
) -> Routing:
    """Read the environment, and make every upstream.

    Args:
        source: the settings.
        clock: limits how often credential files are checked for changes, and dates the states of upstreams.
        environ: the supervisor's environment; None for the environment of this process.
        states: the states of the upstreams of the previous configuration; None for no states.
        is_dry_run: whether no connection will be dialled. Then credentials of the service manager are not read in a
            process that the service manager has not started.

    Raises:
        ConfigError: a variable, a table or a file that it names cannot be used.
    """
    environ = os.environ if environ is None else environ
    settings = source.settings
    listeners = {listener.name: listener.via for listener in settings.listener}
    is_used = uses_environment(settings.route, settings.routing, listeners)
    is_inherited = any(each.no_proxy == VIA_ENVIRONMENT for each in settings.upstream)
    environment = read_environment(environ, is_used=is_used, is_no_proxy_inherited=is_inherited)
    directory = environ.get(_CREDENTIALS_DIRECTORY)
    warnings = list(environment.warnings)
    dialled = {
        f"upstream[{index}].url": each.url.authority for index, each in enumerate(settings.upstream) if not each.through
    }
    if is_used:
        dialled.update((proxy.variable, proxy.address.authority) for proxy in environment.proxies)
    if settings.routing.delegate and not (is_used and environment.proxies):
        warnings.append("routing.delegate has no effect: no proxy of the environment is used")
    try:
        selector = UpstreamSelector(settings.upstream, settings.route, settings.routing, environment, listeners)
        upstreams = {}
        for index, each in enumerate(settings.upstream):
            where = f"upstream[{index}]"
            if is_dry_run and not directory and each.credentials.startswith(SYSTEMD):
                warnings.append(f"{where}.credentials: the service manager has them, so they were not looked at")
                upstreams[each.name] = _make(source, each, where, clock, None, has_credentials=False)
            else:
                upstreams[each.name] = _make(source, each, where, clock, directory)
    except ConfigError as error:
        raise source.place(error)
    for proxy in environment.proxies:
        upstreams[proxy.variable] = make_plain_upstream(proxy.variable, proxy.address, proxy.variable)
    required = {each.name: hops_through(each, settings.upstream) for each in settings.upstream if each.required}
    return Routing(selector, upstreams, dialled, required, states or UpstreamStates(clock), tuple(warnings))


def _make(
    source: Source,
    settings: UpstreamSettings,
    where: str,
    clock: Seconds,
    directory: str | None,
    *,
    has_credentials: bool = True,
) -> Upstream:
    try:
        return make_upstream(settings, clock, directory, source.path, has_credentials=has_credentials)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.where}" if error.where else where, error.problem, error.file)
