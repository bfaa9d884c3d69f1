"""What an operator can say about names."""

from __future__ import annotations

from attrs import field, frozen

from egress.config import between

_seconds = between(0.05, 86_400)


@frozen
class DnsSettings:
    """The `[dns]` table.

    Attributes:
        positive_seconds: how long an answer is kept.
        negative_seconds: how long it is kept that a name does not exist.
        failure_seconds: how long a failure or a missed deadline of the resolver is kept.
        delegated_seconds: how long a name that could not be resolved here is left to a proxy before the resolver is
            asked again, which then happens beside the requests.
        timeout_seconds: how long a request waits for a look-up.
        cache_names: how many answers are kept; the least recently used goes first.
        concurrent: look-ups at one time.
        waiting: look-ups that may wait for their turn.
        hosts_file: /etc/hosts is asked before the resolver.
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
