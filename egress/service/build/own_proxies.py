"""Checks that no proxy of the configuration or the environment is a listener of this proxy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address

from egress.errors import ConfigError
from egress.gate.own_addresses import OwnAddresses
from egress.model import Address, Authority
from egress.upstream import HostsFile

# RFC 6761 section 6.3: localhost and the names below it are loopback addresses.
_LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))


def check_own_proxies(
    proxies: Mapping[str, Authority], own: Iterable[tuple[str, int]], hosts: HostsFile | None
) -> None:
    """Check that no proxy is a socket of this proxy, through which every request would come back.

    The environment of a machine often names egress for all programs. Names are looked up in the hosts file only. A
    request through a proxy that only a name server knows is refused with `proxy_loop` when the proxy is dialled.

    Args:
        proxies: the address and port of each proxy that is dialled directly, by its key path or variable.
        own: the address and port of each socket of this proxy.
        hosts: the hosts file of the resolver, or None.

    Raises:
        ConfigError: a proxy is a socket of this proxy.
    """
    ourselves = OwnAddresses(tuple(own))
    for where, authority in proxies.items():
        if ourselves.serves(authority, _addresses(authority, hosts)):
            raise ConfigError(where, "is a listener of this proxy itself: every request would come back to it")


def _addresses(authority: Authority, hosts: HostsFile | None) -> tuple[Address, ...]:
    if authority.address is not None:
        return (authority.address,)
    if authority.host == "localhost" or authority.host.endswith(".localhost"):
        return _LOOPBACK
    if hosts is not None:
        with suppress(OSError):
            return hosts.find(authority.host)
    return ()
