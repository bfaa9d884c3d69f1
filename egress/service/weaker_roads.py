"""Says how new roads protect less than old ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from egress.service.extent import Extent, listed
from egress.upstream.roads import VIA_DIRECT, VIA_REFUSE, RoadsSettings, RouteSettings, UpstreamSettings

_DIRECT = ("refuse", "no_proxy", "allow")


def weaker_roads(old: RoadsSettings, new: RoadsSettings) -> list[str]:
    """Compare the `[roads]` tables."""
    said: list[str] = []
    if _DIRECT.index(new.direct) > _DIRECT.index(old.direct):
        what = "whatever NO_PROXY lists" if new.direct == "no_proxy" else "anything"
        said.append(f'roads.direct is "{new.direct}": {what} may go out without a proxy')
    if new.default == VIA_DIRECT and old.default != VIA_DIRECT:
        said.append('roads.default is "direct": what nothing else decides goes out without a proxy')
    return said


def weaker_routes(old: Sequence[RouteSettings], new: Sequence[RouteSettings]) -> list[str]:
    """Compare the `[[route]]` tables: those that refuse, and those that newly lead past the proxies."""
    refusing = [_extent(route) for route in new if route.via == VIA_REFUSE]
    said = [
        f"route {route.name} no longer refuses {_hosts(route)}"
        for route in old
        if route.via == VIA_REFUSE and not _extent(route).is_covered(refusing)
    ]
    direct = [_extent(route) for route in old if route.via == VIA_DIRECT]
    return said + [
        f"route {route.name} lets {_hosts(route)} go out without a proxy"
        for route in new
        if route.via == VIA_DIRECT and not _extent(route).is_covered(direct)
    ]


def weaker_upstreams(old: Iterable[UpstreamSettings], new: Iterable[UpstreamSettings]) -> list[str]:
    """Compare the `[[upstream]]` tables by their names."""
    before = {upstream.name: upstream for upstream in old}
    return [
        f"upstream {after.name}: {sentence}"
        for after in new
        if after.name in before
        for sentence in _weaker_upstream(before[after.name], after)
    ]


def _weaker_upstream(old: UpstreamSettings, new: UpstreamSettings) -> list[str]:
    said: list[str] = []
    if old.url.scheme == "https" and new.url.scheme == "http":
        said.append("it is reached without TLS")
    if new.allow_plaintext_credentials and not old.allow_plaintext_credentials:
        said.append("its credentials are sent where the network can read them")
    if new.url.scheme == "https" and (old.ca, old.ca_mode) != (new.ca, new.ca_mode):
        if old.ca_mode == "replace" and new.ca_mode == "add":
            said.append("the system's authorities are trusted too")
        elif new.ca:
            said.append("other authorities are trusted; whether they are better is not known here")
    if new.dns == "remote" and old.dns != "remote":
        said.append('dns is "remote": the addresses behind names are not judged')
    added = [host for host in new.delegate if not Extent((host,)).is_covered([Extent(old.delegate)])]
    if added:
        said.append(f"more names are left to it: {listed([host.text for host in added])}")
    if new.no_proxy and new.no_proxy != old.no_proxy:
        said.append("no_proxy changed: other destinations may go out without it")
    return said


def _extent(route: RouteSettings) -> Extent:
    return Extent(route.hosts, route.ports, route.clients)


def _hosts(route: RouteSettings) -> str:
    words = [host.text for host in route.hosts]
    return "anything" if words == ["**"] else listed(words)
