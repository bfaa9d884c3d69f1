"""Settings of name resolution."""

from __future__ import annotations

from attrs import Attribute, field, frozen

from egress.config import between

_seconds = between(0.05, 86_400)


def _check_share(instance: DnsSettings, attribute: Attribute[int], value: int) -> None:
    """Check that one client cannot have more than there is for all (validator for attrs)."""
    total = attribute.name.removesuffix("_per_client")
    if value > getattr(instance, total):
        raise ValueError(f"{attribute.name} must not be more than {total}, which is {getattr(instance, total)}")


@frozen
class DnsSettings:
    """The `[dns]` table.

    Attributes:
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
