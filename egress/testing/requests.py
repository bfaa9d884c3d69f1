"""Builders of requests, clients and resolutions."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from itertools import count
from urllib.parse import urlsplit

from egress.hostname import canonical_host
from egress.model import Authority, Client, Request, Resolution

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_ids = count(1)


def make_client(key: str = "", *, labels: Iterable[str] = ()) -> Client:
    """Make a client.

    Args:
        key: the identifier of the client in limits; by default made of the labels.
        labels: facts that rules match, each ``kind:value``; by default those of a client on this machine.
    """
    facts = frozenset(labels) or frozenset({"listener:agents", "address:127.0.0.1"})
    return Client(key or " ".join(sorted(facts)), facts)


def make_authority(host: str, port: int) -> Authority:
    """Make an authority with a canonical host.

    Raises:
        ValueError: the host is invalid.
    """
    canonical, address = canonical_host(host)
    return Authority(canonical, port, address)


def make_request(
    url: str = "",
    *,
    method: str = "",
    host: str = "example.com",
    port: int | None = None,
    path: str | None = None,
    client: Client | None = None,
    labels: Iterable[str] = (),
    request_form: str = "",
    listener: str = "agents",
    begun: float = 0.0,
    is_path_ambiguous: bool = False,
    overrides: Iterable[str] = (),
    is_dry_run: bool = False,
) -> Request:
    """Make a request in the form that the proxy makes.

    An ``https`` URL stands for the tunnel that a client opens for it: CONNECT, and no path. With a method it stands for
    the readable request in an intercepted tunnel. An ``http`` URL stands for a readable request, by default a GET.

    Args:
        url: destination; without it `host`, `port` and `path` are used.
        method: method; "CONNECT" makes a tunnel for any scheme and port.
        host: host in any spelling; an IPv6 address without brackets.
        port: port; by default 443 for a tunnel and 80 otherwise.
        path: path without query.
        client: the client.
        labels: labels of the client, if `client` is not given.
        request_form: by default "connect" for a tunnel and "http" otherwise.
        listener: name of the listener.
        begun: start in seconds on the monotonic clock.
        is_path_ambiguous: whether servers interpret the path differently.
        overrides: names of override fields, in lower case.
        is_dry_run: whether ``explain`` made the request.

    Raises:
        ValueError: the URL or the host is invalid.
    """
    scheme = "http"
    if url:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        path = parts.path or None
    if scheme not in _PORTS:
        raise ValueError("the URL must begin with http://, https://, ws:// or wss://")
    is_tunnel = method == "CONNECT" or request_form == "connect" or (not method and _PORTS[scheme] == 443)
    return Request(
        id=f"request-{next(_ids)}",
        request_form=request_form or ("connect" if is_tunnel else "http"),
        method="CONNECT" if is_tunnel else method or "GET",
        authority=make_authority(host, port or (443 if is_tunnel else _PORTS[scheme])),
        path=None if is_tunnel else path or "/",
        client=client or make_client(labels=labels),
        listener=listener,
        begun=begun,
        is_path_ambiguous=is_path_ambiguous,
        overrides=frozenset(overrides),
        is_dry_run=is_dry_run,
    )


def resolve_to(*addresses: str, host: str = "", is_delegated: bool = False) -> Resolution:
    """Make a resolution.

    Args:
        addresses: addresses in the order of the resolver.
        host: the name; by default the first address.
        is_delegated: an upstream proxy resolves the name, and there are no addresses.

    Raises:
        ValueError: an address is invalid.
    """
    found = tuple(dict.fromkeys(ip_address(text) for text in addresses))
    return Resolution(host or (str(found[0]) if found else ""), found, is_delegated)
