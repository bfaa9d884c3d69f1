"""Settings of name resolution."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import Literal

from attrs import Attribute, field, frozen

from egress.config import between

DNS_PORT = 53

_seconds = between(0.05, 86_400)
_is_port = re.compile("[1-9][0-9]{0,4}").fullmatch


@frozen
class ServerAddress:
    """Where a name server listens, by UDP and TCP.

    Attributes:
        address: a literal, with a zone where it is link-local.
        port: 1 to 65535.
    """

    address: str
    port: int = DNS_PORT

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Parse `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.

        Raises:
            ValueError: it is none of them.
        """
        with suppress(ValueError):
            return cls(str(ip_address(text)))
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
        if not (colon and _is_port(port) and int(port) <= 65535):
            raise ValueError("write an address, such as 10.0.0.53, 10.0.0.53:5353 or [fd00::53]:5353")
        try:
            return cls(str(ip_address(host)), int(port))
        except ValueError:
            raise ValueError("write the address of the name server, because there is no other to look it up") from None


def _check_servers(instance: DnsSettings, _attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    if value and instance.resolver == "system":
        raise ValueError('has no effect with dns.resolver = "system", which asks the servers of /etc/resolv.conf')
    for text in value:
        try:
            ServerAddress.parse(text)
        except ValueError as error:
            raise ValueError(f"holds {text!a}: {error}") from None


def _check_share(instance: DnsSettings, attribute: Attribute[int], value: int) -> None:
    """Check that one client cannot have more than there is for all (validator for attrs)."""
    total = attribute.name.removesuffix("_per_client")
    if value > getattr(instance, total):
        raise ValueError(f"{attribute.name} must not be more than {total}, which is {getattr(instance, total)}")


@frozen
class DnsSettings:
    """The `[dns]` table.

    Attributes:
        resolver: "dns" asks name servers, "system" asks the system's resolver (`getaddrinfo`) in threads.
        servers: the name servers that "dns" asks, see `ServerAddress.parse`; empty for those of /etc/resolv.conf.
        positive_seconds: lifetime of a cached resolution.
        negative_seconds: lifetime of the cached answer that a name does not exist.
        failure_seconds: lifetime of a cached failure or timeout of the resolver.
        delegated_seconds: time for which an upstream proxy resolves a name that failed to resolve here; afterwards the
            resolver is asked again, in parallel with requests.
        timeout_seconds: the longest time that a request waits for a look-up.
        cache_names: the largest number of cached answers; the least recently used answer is dropped first.
        concurrent: the largest number of look-ups that run in parallel.
        concurrent_per_client: the largest number of look-ups of one client that run in parallel.
        waiting: the largest number of queued look-ups.
        waiting_per_client: the largest number of queued look-ups of one client.
        hosts_file: whether /etc/hosts is searched before the resolver is asked.
    """

    resolver: Literal["dns", "system"] = "dns"
    servers: tuple[str, ...] = field(default=(), validator=_check_servers)
    positive_seconds: float = field(default=30.0, validator=_seconds)
    negative_seconds: float = field(default=5.0, validator=_seconds)
    failure_seconds: float = field(default=1.0, validator=_seconds)
    delegated_seconds: float = field(default=60.0, validator=_seconds)
    timeout_seconds: float = field(default=5.0, validator=_seconds)
    cache_names: int = field(default=4096, validator=between(1, 1_000_000))
    concurrent: int = field(default=64, validator=between(1, 256))
    concurrent_per_client: int = field(default=16, validator=[between(1, 256), _check_share])
    waiting: int = field(default=256, validator=between(1, 100_000))
    waiting_per_client: int = field(default=64, validator=[between(1, 100_000), _check_share])
    hosts_file: bool = True
