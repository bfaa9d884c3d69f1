"""Compares the routes and the upstreams of two configurations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from egress.match import HostPattern, Scope, listed
from egress.service.settings.settings import Settings
from egress.upstream.routing_settings import VIA_DIRECT, VIA_ENVIRONMENT, VIA_REFUSE, RouteSettings, UpstreamSettings

_DIRECT = ("refuse", "no_proxy", "allow")
_DNS = ("pinned", "auto", "remote")
_WORDS = ("", VIA_DIRECT, VIA_ENVIRONMENT, VIA_REFUSE)

_Hosts: TypeAlias = tuple[HostPattern, ...]


def routing_downgrades(old: Settings, new: Settings) -> list[str]:
    """Compare the `[routing]` and `[[route]]` tables: refusals, and direct routes."""
    return [*_default_downgrades(old, new), *_route_downgrades(old, new), *_overtaking(old.route, new.route)]


def _default_downgrades(old: Settings, new: Settings) -> Iterator[str]:
    before, after = old.routing, new.routing
    if _DIRECT.index(after.direct) > _DIRECT.index(before.direct):
        what = "whatever NO_PROXY lists" if after.direct == "no_proxy" else "anything"
        yield f'routing.direct is "{after.direct}": {what} may go out without a proxy'
    if after.default == VIA_DIRECT and before.default != VIA_DIRECT:
        yield 'routing.default is "direct": what nothing else decides goes out without a proxy'
    elif before.default not in _WORDS and after.default in _WORDS and after.direct != "refuse":
        # The proxies of the environment are not compared.
        what = f'"{after.default}"' if after.default else "left out"
        yield f"routing.default is {what}: what nothing else decides goes by the environment, which may name no proxy"
    added = _added(after.delegate, [before.delegate])
    if added:
        yield f"routing.delegate: more names are left to the environment's proxies: {added}"


def _route_downgrades(old: Settings, new: Settings) -> Iterator[str]:
    refusing = [_scope(route) for route in new.route if route.via == VIA_REFUSE]
    through = refusing + [_scope(route) for route in new.route if route.via not in _WORDS]
    can_be_direct = _can_be_direct(new)
    for route in old.route:
        if route.via == VIA_REFUSE and not _scope(route).is_covered_by(refusing):
            yield f"route {route.name} no longer refuses {_hosts(route)}"
        elif route.via not in _WORDS and can_be_direct and not _scope(route).is_covered_by(through):
            yield f"route {route.name} no longer sends {_hosts(route)} through {route.via}; that may go out without it"
    direct = [_scope(route) for route in old.route if route.via == VIA_DIRECT]
    free = direct + [_scope(route) for route in old.route if route.via == VIA_ENVIRONMENT]
    for route in new.route:
        if route.via == VIA_DIRECT and not _scope(route).is_covered_by(direct):
            yield f"route {route.name} lets {_hosts(route)} go out without a proxy"
        elif route.via == VIA_ENVIRONMENT and _has_proxies(old) and not _scope(route).is_covered_by(free):
            yield f"route {route.name} sends {_hosts(route)} by the environment, which may name no proxy"


def _can_be_direct(settings: Settings) -> bool:
    """Whether requests without a matching route may be sent without a proxy."""
    vias = [settings.routing.default, *(listener.via or settings.routing.default for listener in settings.listener)]
    return settings.routing.direct == "allow" and any(via in _WORDS and via != VIA_REFUSE for via in vias)


def _has_proxies(settings: Settings) -> bool:
    """Whether the configuration, not the environment, sends requests through proxies."""
    vias = [route.via for route in settings.route] + [listener.via for listener in settings.listener]
    vias.append(settings.routing.default)
    return any(via not in _WORDS for via in vias)


def _overtaking(old: Sequence[RouteSettings], new: Sequence[RouteSettings]) -> Iterator[str]:
    """Find direct routes that now precede routes through upstreams. The first matching route applies."""
    through = {_scope(route): route.name for route in new if route.via not in _WORDS}
    before = {key: ahead for (_, key), ahead in _ahead(old)}
    for (name, key), ahead in _ahead(new):
        overtaken = [through[scope] for scope in before.get(key, ()) if scope in through and scope not in ahead]
        if overtaken:
            yield f"route {name} comes before {listed(overtaken)} now; what it matches may go out without a proxy"


def _ahead(routes: Sequence[RouteSettings]) -> Iterator[tuple[tuple[str, tuple[Scope, str]], list[Scope]]]:
    """Return each direct route by its name and its scope, with the scopes of earlier routes through upstreams."""
    ahead: list[Scope] = []
    for route in routes:
        if route.via in (VIA_DIRECT, VIA_ENVIRONMENT):
            yield (route.name, (_scope(route), route.via)), ahead.copy()
        elif route.via != VIA_REFUSE:
            ahead.append(_scope(route))


def upstream_downgrades(old: Sequence[UpstreamSettings], new: Sequence[UpstreamSettings]) -> list[str]:
    """Compare the `[[upstream]]` tables by their names. A new name is compared with the strictest upstream."""
    before = {upstream.name: upstream for upstream in old}
    said: list[str] = []
    for after in new:
        known = before.get(after.name)
        sentences = [
            *_upstream_downgrades(old if known is None else [known], after),
            *(_changed(known, after) if known else ()),
        ]
        said += [f"upstream {after.name}: {sentence}" for sentence in sentences]
    return said


def _upstream_downgrades(old: Sequence[UpstreamSettings], new: UpstreamSettings) -> Iterator[str]:
    """Describe permissions of an upstream that an old upstream lacked. Without old ones no proxy was used."""
    if old and new.url.scheme == "http" and all(each.url.scheme == "https" for each in old):
        yield "it is reached without TLS"
    if new.allow_plaintext_credentials and not (old and all(each.allow_plaintext_credentials for each in old)):
        yield "its credentials are sent where the network can read them"
    strictest = min((_DNS.index(each.dns) for each in old), default=_DNS.index("auto"))
    if _DNS.index(new.dns) > strictest:
        what = "the addresses behind names are not judged" if new.dns == "remote" else "it may look names up itself"
        yield f'dns is "{new.dns}": {what}'
    added = _added(new.delegate, [each.delegate for each in old])
    if added:
        yield f"more names are left to it: {added}"
    if new.no_proxy and old and any(each.no_proxy != new.no_proxy for each in old):
        yield "no_proxy changed: other destinations may go out without it"


def _added(new: _Hosts, old: Sequence[_Hosts]) -> str:
    """List the patterns of `delegate` that not every old one covers; "" for none."""
    given = [[Scope(each)] for each in old]
    added = [host for host in new if not (given and all(Scope((host,)).is_covered_by(each) for each in given))]
    return listed([host.text for host in added]) if added else ""


def _changed(old: UpstreamSettings, new: UpstreamSettings) -> Iterator[str]:
    """Describe the additional trust in an upstream of a known name."""
    if new.url.scheme == "https" and (old.ca, old.ca_mode) != (new.ca, new.ca_mode):
        if old.ca_mode == "replace" and new.ca_mode == "add":
            yield "the system's authorities are trusted too"
        elif new.ca:
            yield "other authorities are trusted; whether they are better is not known here"
    if old.through and new.through != old.through:
        way = f"through {new.through}" if new.through else "directly"
        yield f"it is reached {way}, no longer through {old.through}"
    if old.url.authority != new.url.authority:
        if new.credentials or new.url.credentials is not None:
            yield "its credentials are sent to another place"
        if new.connect_headers.names:
            yield "its connect_headers are sent to another place"


def _scope(route: RouteSettings) -> Scope:
    return Scope(route.hosts, route.ports, route.clients)


def _hosts(route: RouteSettings) -> str:
    words = [host.text for host in route.hosts]
    return "anything" if words == ["**"] else listed(words)
