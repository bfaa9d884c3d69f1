"""Settings of name resolution."""

from __future__ import annotations

from attrs import field, frozen

from egress.config import between

_seconds = between(0.05, 86_400)


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
        waiting: the largest number of queued look-ups.
        hosts_file: whether /etc/hosts is searched before the resolver is asked.
    """

    positive_seconds: float = field(default=30.0, validator=_seconds)
    negative_seconds: float = field(default=5.0, validator=_seconds)
    failure_seconds: float = field(default=1.0, validator=_seconds)
    delegated_seconds: float = field(default=60.0, validator=_seconds)
    timeout_seconds: float = field(default=5.0, validator=_seconds)
    cache_names: int = field(default=4096, validator=between(1, 1_000_000))
    concurrent: int = field(default=32, validator=between(1, 256))
    waiting: int = field(default=256, validator=between(1, 100_000))
    hosts_file: bool = True
