"""The settings of the whole configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import Attribute, field, frozen

from egress.api.settings import StatusSettings
from egress.audit import AuditSettings
from egress.config.validators import check_path
from egress.errors import ConfigError
from egress.policy.guard import GuardSettings
from egress.proxy.limits import HttpSettings, Limits, TlsSettings
from egress.service.settings.listener import ListenerSettings
from egress.upstream import DnsSettings, RouteSettings, RoutingSettings, UpstreamSettings

DEFAULT_ENDPOINT = "tcp:3128:interface=127.0.0.1"


def _check_listeners(
    _instance: object, _attribute: Attribute[tuple[ListenerSettings, ...]], value: tuple[ListenerSettings, ...]
) -> None:
    if not value:
        raise ConfigError("", "names no listener; leave it out for the default one")
    names = [listener.name for listener in value]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"[{index}].name", f"listener[{names.index(name)}] is called {name!r} already")


@frozen
class Settings:
    """The settings of a configuration file.

    Attributes:
        state: the state directory, which contains the audit log. "" is $EGRESS_STATE, else the user's state directory.
        engine: the implementation of TCP transports: "auto" is the engine where the system has epoll, "twisted" is the
            reactor.
        listener: the listeners.
        upstream: the upstream proxies.
        route: rules that choose the route of a request.
        routing: the default route, and whether direct routes are permitted.
        policy: the policies, in order. The keys of a policy depend on its `kind`.
        guard: the SSRF guard.
        dns: the name resolution.
        tls: the check of server names in tunnels.
        http: what clients may do.
        limits: deadlines, sizes and counts.
        audit: the audit log.
        status: the status listener.
    """

    state: str = field(default="", validator=check_path)
    engine: Literal["auto", "twisted"] = "auto"
    listener: tuple[ListenerSettings, ...] = field(
        default=(ListenerSettings("default", DEFAULT_ENDPOINT),), validator=_check_listeners
    )
    upstream: tuple[UpstreamSettings, ...] = ()
    route: tuple[RouteSettings, ...] = ()
    routing: RoutingSettings = field(factory=RoutingSettings)
    policy: tuple[Mapping[str, object], ...] = ()
    guard: GuardSettings = field(factory=GuardSettings)
    dns: DnsSettings = field(factory=DnsSettings)
    tls: TlsSettings = field(factory=TlsSettings)
    http: HttpSettings = field(factory=HttpSettings)
    limits: Limits = field(factory=Limits)
    audit: AuditSettings = field(factory=AuditSettings)
    status: StatusSettings = field(factory=StatusSettings)
