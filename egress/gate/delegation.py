"""Names that could not be resolved here, and so were left to the proxy."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from egress.errors import ResolutionError
from egress.interfaces import IResolver
from egress.model import Resolution

# More names than a node without DNS asks for; when it is full, each name costs one more wait.
_KEPT = 8192

# So long a name that resolved here is not left to the proxy because it fails now. A node that moves to a network
# without DNS waits so long for its names; whoever floods the resolver gains nothing for as long.
_TRUST_SECONDS = 300.0


@define(eq=False)
class _Name:
    resolution: Resolution
    until: float


@define(eq=False)
class Delegations:
    """Remembers the failure, so that only the first request for a name waits for a resolver that does not answer.

    Once a failure is old the resolver is asked again, beside the request that finds it so and not in front of it. A
    name that it then knows is forgotten here, and judged by its addresses from the next request on.

    Attributes:
        clock: tells the time.
        seconds: after which the resolver is asked again.
    """

    clock: IReactorTime
    seconds: float
    _names: dict[str, _Name] = field(init=False, factory=dict)
    _resolved: dict[str, float] = field(init=False, factory=dict)

    def note_resolved(self, host: str) -> None:
        """Remember that a name could be resolved: that it fails a moment later is no reason to trust it."""
        if host not in self._resolved and len(self._resolved) >= _KEPT:
            self._resolved.clear()
        self._resolved[host] = self.clock.seconds() + _TRUST_SECONDS

    def has_resolved(self, host: str) -> bool:
        """Tell whether a name could be resolved a short while ago."""
        return self.clock.seconds() < self._resolved.get(host, 0.0)

    def find(self, host: str, resolver: IResolver) -> Resolution | None:
        """Give what stands for a name that is known to fail; the same object as long as it does."""
        name = self._names.get(host)
        if name is None:
            return None
        now = self.clock.seconds()
        if now >= name.until:
            name.until = now + self.seconds
            self._ask_again(host, resolver)
        return name.resolution

    def keep(self, host: str) -> Resolution:
        """Remember that a name could not be resolved.

        Returns:
            What stands for it from now on.
        """
        if len(self._names) >= _KEPT:
            self._names.clear()
        name = self._names[host] = _Name(Resolution(host, (), is_delegated=True), self.clock.seconds() + self.seconds)
        return name.resolution

    def _ask_again(self, host: str, resolver: IResolver) -> None:
        try:
            found = resolver.resolve(host)
        except ResolutionError:
            return
        if isinstance(found, Deferred):
            found.addCallbacks(lambda _: self._names.pop(host, None), _still_unknown)
        else:
            self._names.pop(host, None)


def _still_unknown(failure: Failure) -> None:
    failure.trap(ResolutionError)
