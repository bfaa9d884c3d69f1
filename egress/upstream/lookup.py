"""The contract of look-ups, which find the addresses of a name without a cache and without limits."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from egress.model import Address
from egress.upstream.dns_settings import DnsSettings


class Lookup(Protocol):
    """Looks canonical names up. A call finds the addresses of one name.

    The Deferred of a call fails with a ResolutionError. It has no deadline; the caller cancels it.
    """

    @property
    def is_stoppable(self) -> bool:
        """Whether a cancelled look-up ends. Otherwise it continues in a thread, and occupies its place."""

    def __call__(self, host: str, /) -> Deferred[tuple[Address, ...]]:
        """Look a canonical name up."""

    def start(self) -> None:
        """Accept look-ups. To be called after any fork."""

    def renew(self, settings: DnsSettings) -> None:
        """Replace the settings of later look-ups."""

    def stop(self) -> None:
        """Accept no more look-ups, and fail those in progress."""
