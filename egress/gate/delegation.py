"""Names that could not be resolved here, so that the upstream proxy resolves them."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from egress.errors import ResolutionError
from egress.interfaces import IResolver
from egress.model import Resolution

# More names than a node without DNS requests. When the cache is full, each name costs one more wait.
_KEPT = 8192

# The seconds for which a name that was resolved here is not delegated, even if resolution fails. A node that moves to a
# network without DNS waits this long for its names. A client that floods the resolver cannot cause a delegation in this
# time.
_TRUST_SECONDS = 300.0


@define(eq=False)
class _Name:
    resolution: Resolution
    until: float


@define(eq=False)
class Delegations:
    """Caches failures, so that only the first request for a name waits for a resolver that does not respond.

    Once a failure has expired, the resolver is asked again, in parallel with the request and without delaying it. A
    name that is then resolved is removed, and judged by its addresses from the next request on.

    Attributes:
        clock: the clock of the lifetimes.
        seconds: the lifetime of a failure, after which the resolver is asked again.
    """

    clock: IReactorTime
    seconds: float
    _names: dict[str, _Name] = field(init=False, factory=dict)
    _resolved: dict[str, float] = field(init=False, factory=dict)

    def note_resolved(self, host: str) -> None:
        """Record that a name was resolved, because a later failure must not delegate the name."""
        if host not in self._resolved and len(self._resolved) >= _KEPT:
            self._resolved.clear()
        self._resolved[host] = self.clock.seconds() + _TRUST_SECONDS

    def has_resolved(self, host: str) -> bool:
        """Whether a name was resolved within the last `_TRUST_SECONDS`."""
        return self.clock.seconds() < self._resolved.get(host, 0.0)

    def find(self, host: str, resolver: IResolver, client: str) -> Resolution | None:
        """Return the delegated resolution of a name that is known to fail, always one object; None for other names.

        Args:
            host: the name.
            resolver: the resolver, which is asked again once the failure is old.
            client: the key of the client whose request needs the name.
        """
        name = self._names.get(host)
        if name is None:
            return None
        now = self.clock.seconds()
        if now >= name.until:
            name.until = now + self.seconds
            self._ask_again(host, resolver, client)
        return name.resolution

    def keep(self, host: str) -> Resolution:
        """Record that a name could not be resolved.

        Returns:
            The delegated resolution of the name.
        """
        if len(self._names) >= _KEPT:
            self._names.clear()
        name = self._names[host] = _Name(Resolution(host, (), is_delegated=True), self.clock.seconds() + self.seconds)
        return name.resolution

    def _ask_again(self, host: str, resolver: IResolver, client: str) -> None:
        try:
            found = resolver.resolve(host, client)
        except ResolutionError:
            return
        if isinstance(found, Deferred):
            found.addCallbacks(lambda _: self._names.pop(host, None), _still_unknown)
        else:
            self._names.pop(host, None)


def _still_unknown(failure: Failure) -> None:
    failure.trap(ResolutionError)
