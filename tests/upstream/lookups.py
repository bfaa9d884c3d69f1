"""A look-up whose answers the test gives by hand."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred

from egress.model import Address
from egress.upstream import DnsSettings


@define(eq=False)
class HandLookup:
    """Looks names up when the test answers.

    Attributes:
        is_stoppable: whether a look-up ends when it is cancelled.
        names: every name that was asked for, in order.
        open: the look-ups in progress.
        stopped: the names whose look-ups were cancelled.
        renewed: the settings that it was given.
    """

    is_stoppable: bool = False
    names: list[str] = field(factory=list)
    open: dict[str, Deferred[tuple[Address, ...]]] = field(factory=dict)
    stopped: list[str] = field(factory=list)
    renewed: list[DnsSettings] = field(factory=list)

    def __call__(self, host: str) -> Deferred[tuple[Address, ...]]:
        """Begin."""
        assert host not in self.open, f"{host} was asked for twice at the same time"
        self.names.append(host)
        self.open[host] = Deferred(lambda cancelled: self._stop(host, cancelled))
        return self.open[host]

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def renew(self, settings: DnsSettings) -> None:
        """Take note."""
        self.renewed.append(settings)

    def answer(self, host: str, *addresses: Address) -> None:
        """Answer a look-up."""
        self.open.pop(host).callback(addresses)

    def fail(self, host: str, error: Exception) -> None:
        """Let a look-up fail."""
        self.open.pop(host).errback(error)

    def _stop(self, host: str, cancelled: Deferred[tuple[Address, ...]]) -> None:
        assert self.is_stoppable, f"the look-up of {host} was cancelled"
        del self.open[host]
        self.stopped.append(host)
        cancelled.errback(CancelledError())
