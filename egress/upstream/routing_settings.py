"""Settings of routes: `[[upstream]]`, `[[route]]` and `[routing]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from attrs import Attribute, field, frozen

from egress.config.validators import check_name, check_path
from egress.errors import ConfigError
from egress.match import ClientPatterns, HostPattern, PortSet, Reach, parse_host, parse_port
from egress.model import Hop, Secret
from egress.upstream.connect_headers import NO_HEADERS, ConnectHeaders
from egress.upstream.environment import PROXY_VARIABLES
from egress.upstream.no_proxy import NoProxy
from egress.upstream.proxy_url import ProxyAddress, parse_proxy_url

A = TypeVar("A")
B = TypeVar("B")

VIA_DIRECT = "direct"
VIA_ENVIRONMENT = "environment"
VIA_REFUSE = "refuse"
SYSTEMD = "systemd:"

RESERVED = frozenset({VIA_DIRECT, VIA_ENVIRONMENT, VIA_REFUSE, "none", *map(str.lower, PROXY_VARIABLES)})
"""Names that no upstream may have, in upper or lower case: each has another meaning in `via`."""


def _check_upstream_name(instance: object, attribute: Attribute[str], value: str) -> None:
    check_name(instance, attribute, value)
    if value.lower() in RESERVED:
        raise ValueError("is a word that means a route of its own; call it something else")


def _check_credentials(instance: object, attribute: Attribute[str], value: str) -> None:
    check_path(instance, attribute, value)
    if value.startswith(SYSTEMD):
        name = value.removeprefix(SYSTEMD)
        # The name of a file in the credentials directory.
        if not name or "/" in name or name in (".", ".."):
            raise ConfigError("", 'must name a credential behind "systemd:", such as "systemd:proxy"')


def _check_no_proxy(_instance: object, _attribute: Attribute[str], value: str) -> None:
    if value not in ("", VIA_ENVIRONMENT):
        NoProxy.parse(value, "")


def _read_url(url: str) -> ProxyAddress:
    return parse_proxy_url(url, "")


def _each(items: Iterable[A], read: Callable[[A], B]) -> tuple[B, ...]:
    """Parse every item of a list; an error has the item's index."""
    results: list[B] = []
    for index, item in enumerate(items):
        try:
            results.append(read(item))
        except ValueError as error:
            raise ConfigError(f"[{index}]", str(error)) from None
    if not results:
        raise ConfigError("", "is empty; leave the key out or fill it")
    return tuple(results)


def _read_delegated(text: str) -> HostPattern:
    pattern = parse_host(text)
    if pattern.reach is Reach.NETWORK:
        raise ValueError("is an address, which needs no resolving; only names are left to a proxy")
    return pattern


def _read_delegate(delegate: tuple[str, ...] | None) -> tuple[HostPattern, ...]:
    return () if delegate is None else _each(delegate, _read_delegated)


def _read_connect_headers(headers: Mapping[str, Secret] | None) -> ConnectHeaders:
    return NO_HEADERS if headers is None else ConnectHeaders.parse(headers)


def _read_hosts(hosts: tuple[str, ...] | None) -> tuple[HostPattern, ...]:
    return (parse_host("**"),) if hosts is None else _each(hosts, parse_host)


def _read_ports(ports: tuple[int | str, ...] | None) -> PortSet | None:
    return None if ports is None else PortSet.of(_each(ports, parse_port))


def _read_clients(clients: tuple[str, ...] | None) -> ClientPatterns | None:
    return None if clients is None else ClientPatterns.compile(clients)


@frozen
class UpstreamSettings:
    """One `[[upstream]]`: a proxy that requests can be sent through.

    Attributes:
        name: the upstream's name in routes and in the audit log, unique among upstreams.
        url: `http://HOST:PORT` or `https://HOST:PORT`, optionally with `USER:PASSWORD@`.
        ca: a PEM file of authorities that may have issued an `https://` proxy's certificate; "" for the system's only.
        ca_mode: whether `ca` is added to the system's authorities or replaces them.
        certificate: a PEM file with the certificate presented to an `https://` proxy, followed by its issuers.
        key: the PEM file of the certificate's key; "" where `certificate` contains the key too.
        credentials: the file that contains `user:password`, or `systemd:NAME`.
        allow_plaintext_credentials: whether credentials may be sent to an `http://` proxy, in the clear.
        no_proxy: destinations that bypass the proxy, in the syntax of NO_PROXY; "environment" for NO_PROXY itself.
        dns: how names are resolved: "auto", "pinned" or "remote".
        delegate: with "auto": names that the proxy may resolve where they fail to resolve here.
        through: the upstream through which this upstream is reached; "" for a direct connection.
        connect_headers: further fields of CONNECT requests to the proxy.
        required: whether the supervisor is ready only while the proxy works.
    """

    name: str = field(validator=_check_upstream_name)
    url: ProxyAddress = field(converter=_read_url)
    ca: str = field(default="", validator=check_path)
    ca_mode: Literal["add", "replace"] = "add"
    certificate: str = field(default="", validator=check_path)
    key: str = field(default="", validator=check_path)
    credentials: str = field(default="", validator=_check_credentials)
    allow_plaintext_credentials: bool = False
    no_proxy: str = field(default="", validator=_check_no_proxy)
    dns: Literal["auto", "pinned", "remote"] = "auto"
    delegate: tuple[HostPattern, ...] = field(default=None, converter=_read_delegate)
    through: str = ""
    connect_headers: ConnectHeaders = field(default=None, converter=_read_connect_headers)
    required: bool = False

    def __attrs_post_init__(self) -> None:
        self._check_trust()
        self._check_consent()
        if self.delegate and self.dns != "auto":
            what = "is never asked for names" if self.dns == "pinned" else "resolves every name"
            raise ConfigError("delegate", f'means nothing with dns = "{self.dns}", where the proxy {what}')

    def _check_trust(self) -> None:
        if self.url.scheme != "https":
            for key in ("ca", "certificate", "key"):
                if getattr(self, key):
                    raise ConfigError(key, "is for TLS, and the url is http://")
        if self.ca_mode == "replace" and not self.ca:
            raise ConfigError("ca_mode", "would leave no authority to trust; name a file with `ca`")
        if self.key and not self.certificate:
            raise ConfigError("key", "has no certificate; name its file with `certificate`")

    def _check_consent(self) -> None:
        has_credentials = self.url.credentials is not None or bool(self.credentials)
        if self.url.credentials is not None and self.credentials:
            raise ConfigError("credentials", "are in the url already; take them out of one of the two places")
        if self.url.scheme == "http" and has_credentials and not self.allow_plaintext_credentials:
            raise ConfigError(
                "allow_plaintext_credentials",
                "must be true to send credentials to an http:// proxy, where the network can read them",
            )
        if self.allow_plaintext_credentials and not (self.url.scheme == "http" and has_credentials):
            raise ConfigError("allow_plaintext_credentials", "consents to what does not happen; take it out")


@frozen
class RouteSettings:
    """One `[[route]]`: a route for some destinations. The first match applies; routes that refuse are matched first.

    Attributes:
        name: the route's name in refusals and in the audit log, unique among routes.
        via: an upstream's name, "direct", "environment" or "refuse".
        hosts: patterns of destinations, as in the rules of a policy; all if left out. Patterns of addresses do not
            match names.
        ports: the ports of destinations; None for all.
        clients: patterns of client labels; None for all.
    """

    name: str = field(validator=check_name)
    via: str
    hosts: tuple[HostPattern, ...] = field(default=None, converter=_read_hosts)
    ports: PortSet | None = field(default=None, converter=_read_ports)
    clients: ClientPatterns | None = field(default=None, converter=_read_clients)


@frozen
class RoutingSettings:
    """The `[routing]` table.

    Attributes:
        default: the route of requests without a matching `[[route]]` or a listener's `via`: an upstream's name,
            "direct" or "environment"; "" for the environment's proxy if there is one, else direct.
        direct: whether requests may be sent without a proxy: "allow", "no_proxy" for destinations in NO_PROXY only, or
            "refuse".
        delegate: names that a proxy of the environment may resolve where they fail to resolve here.
    """

    default: str = ""
    direct: Literal["allow", "no_proxy", "refuse"] = "allow"
    delegate: tuple[HostPattern, ...] = field(default=None, converter=_read_delegate)


def uses_environment(routes: Iterable[RouteSettings], routing: RoutingSettings, listeners: Mapping[str, str]) -> bool:
    """Return whether any request may be sent through the environment's proxies.

    Args:
        routes: all routes.
        routing: the `[routing]` table.
        listeners: the `via` of each listener, or "".
    """
    default = routing.default or VIA_ENVIRONMENT
    return VIA_ENVIRONMENT in (*(route.via for route in routes), *(via or default for via in listeners.values()))


def hops_through(upstream: UpstreamSettings, upstreams: Iterable[UpstreamSettings]) -> tuple[Hop, ...]:
    """Return the proxies of a route through an upstream, nearest first.

    Args:
        upstream: the last one.
        upstreams: all of them. `check_routing` has found no circle.
    """
    by_name = {each.name: each for each in upstreams}
    hops = [upstream.url.hop(upstream.name)]
    while upstream.through:
        upstream = by_name[upstream.through]
        hops.append(upstream.url.hop(upstream.name))
    return tuple(reversed(hops))


def check_routing(
    upstreams: Sequence[UpstreamSettings],
    routes: Sequence[RouteSettings],
    routing: RoutingSettings,
    listeners: Mapping[str, str],
) -> None:
    """Check names across tables.

    Args:
        upstreams: all upstreams.
        routes: the `[[route]]` tables in configured order.
        routing: the `[routing]` table.
        listeners: the `via` of each listener, or "", by the listener's name in configured order.

    Raises:
        ConfigError: a name is a duplicate or unknown; upstreams are reached through each other in a circle; or a route
            is direct where direct routes are forbidden.
    """
    _check_unique("upstream", [upstream.name for upstream in upstreams])
    _check_unique("route", [route.name for route in routes])
    by_name = {upstream.name: upstream for upstream in upstreams}
    for index, upstream in enumerate(upstreams):
        _check_through(f"upstream[{index}].through", upstream, by_name)
    for index, route in enumerate(routes):
        _check_via(f"route[{index}].via", route.via, by_name, routing, may_refuse=True)
    for index, via in enumerate(listeners.values()):
        if via:
            _check_via(f"listener[{index}].via", via, by_name, routing, may_refuse=True)
    if routing.default:
        _check_via("routing.default", routing.default, by_name, routing, may_refuse=False)


def _check_unique(kind: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"{kind}[{index}].name", f"{kind}[{names.index(name)}] is called {name!r} already")


def _check_through(where: str, upstream: UpstreamSettings, by_name: Mapping[str, UpstreamSettings]) -> None:
    passed = [upstream.name]
    while upstream.through:
        if upstream.through not in by_name:
            # The error belongs to the upstream that refers to the unknown one, which is checked too.
            if len(passed) > 1:
                return
            raise ConfigError(where, f"names no upstream; there are: {_names(by_name)}")
        upstream = by_name[upstream.through]
        if upstream.name in passed:
            raise ConfigError(where, f"goes round in a circle: {' through '.join([*passed, upstream.name])}")
        passed.append(upstream.name)


def _check_via(
    where: str, via: str, by_name: Mapping[str, UpstreamSettings], routing: RoutingSettings, may_refuse: bool
) -> None:
    words = [VIA_DIRECT, VIA_ENVIRONMENT, VIA_REFUSE] if may_refuse else [VIA_DIRECT, VIA_ENVIRONMENT]
    if via == VIA_DIRECT and routing.direct != "allow":
        raise ConfigError(where, f'is "direct", which [routing] direct = "{routing.direct}" forbids')
    if via not in words and via not in by_name:
        known = ", ".join(f'"{word}"' for word in words)
        raise ConfigError(where, f"must be {known} or an upstream's name; upstreams: {_names(by_name)}")


def _names(by_name: Mapping[str, UpstreamSettings]) -> str:
    return ", ".join(by_name) or "none"
