"""The resolver of upstream proxies' names, which keeps their last addresses while they cannot be looked up.

Every request of a route needs the name of its first proxy. These names therefore have a queue and places of their own,
and are looked up again before their lifetimes end.
"""

from __future__ import annotations

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import NameNotFound, ResolutionError
from egress.interfaces import IResolver
from egress.model import Address, Resolution
from egress.upstream.caching_resolver import make_answer
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.lookup import Lookup
from egress.upstream.lookup_queue import LookupQueue

HOP_LOOKUPS = 8
"""Look-ups of upstream proxies at a time, beside those of clients."""

# Names that wait, and failures that are remembered: more than a configuration has proxies.
_WAITING = 1024
# The part of a lifetime after which a name is looked up again.
_REFRESH = 0.8
# A name that no request has needed for this time, because it has left the configuration, is not looked up again.
_UNUSED_SECONDS = 3600.0
# RFC 8767 section 4: stale answers are kept for a day or more.
_STALE_SECONDS = 86_400.0

_log = Logger()


@define(eq=False)
class _Known:
    """The last addresses of a name.

    Attributes:
        resolution: the resolution, one object while the addresses do not change.
        answered: time of the last answer.
        used: time of the last question.
        refresh: the next look-up; None while it runs.
        is_stale: the last look-up failed.
    """

    resolution: Resolution
    answered: float
    used: float
    refresh: IDelayedCall | None = None
    is_stale: bool = False


@define(eq=False)
class _Failed:
    """A cached error."""

    error: ResolutionError
    expires: float


@implementer(IResolver)
@define(eq=False)
class HopResolver:
    """Resolves the names of upstream proxies, and refreshes them ahead of need from their first use on.

    After the first answer for a name, no request waits for it: the name is looked up again before its lifetime ends,
    and the last addresses remain in use while that fails (RFC 8767). The answer that the name does not exist ends their
    use.

    Attributes:
        clock: the clock of lifetimes and deadlines.
        lookup: the look-ups.
        settings: the lifetimes and the deadline. The numbers of places are constants of this module.
    """

    clock: IReactorTime
    lookup: Lookup
    settings: DnsSettings
    _known: dict[str, _Known] = field(factory=dict, init=False)
    _failed: dict[str, _Failed] = field(factory=dict, init=False)
    _queue: LookupQueue = field(init=False)

    @_queue.default
    def _make_queue(self) -> LookupQueue:
        return LookupQueue(self.clock, self.lookup, _without_shares(self.settings), self._record)

    @property
    def stale(self) -> int:
        """The number of names whose last look-up failed and whose last addresses are used."""
        return sum(known.is_stale for known in self._known.values())

    def renew(self, settings: DnsSettings) -> None:
        """Replace the settings."""
        self.settings = settings
        self._queue.settings = _without_shares(settings)
        self.lookup.renew(self._queue.settings)

    def resolve(self, host: str, client: str = "") -> Resolution | Deferred[Resolution]:
        """Find the addresses of an upstream proxy's canonical name (IResolver).

        Args:
            host: the name.
            client: without effect, because the name of a proxy belongs to all clients.

        Raises:
            NameNotFound: the name does not exist; cached for `negative_seconds`.
            ResolverFailed: the look-up failed, and has not succeeded within a day; cached for `failure_seconds`.
            ResolverTimeout: the look-up took too long, and has not succeeded within a day; cached likewise.
        """
        known = self._known.get(host)
        if known is not None:
            known.used = self.clock.seconds()
            return known.resolution
        failed = self._failed.get(host)
        if failed is not None and self.clock.seconds() < failed.expires:
            raise type(failed.error)(*failed.error.args)
        return self._queue.ask(host, "")

    def stop(self) -> None:
        """Cancel all refreshes, and forget all names."""
        for known in self._known.values():
            if known.refresh is not None:
                known.refresh.cancel()
        self._known.clear()

    def _record(self, host: str, outcome: tuple[Address, ...] | ResolutionError) -> Resolution | ResolutionError:
        answer, known, now = make_answer(host, outcome), self._known.get(host), self.clock.seconds()
        if isinstance(answer, Resolution):
            return self._keep(host, answer, known, now)
        if known is not None:
            if not isinstance(answer, NameNotFound) and now - known.answered < _STALE_SECONDS:
                return self._keep_stale(host, answer, known)
            self._forget(host, known)
        is_missing = isinstance(answer, NameNotFound)
        seconds = self.settings.negative_seconds if is_missing else self.settings.failure_seconds
        if len(self._failed) >= _WAITING:
            self._failed.clear()
        self._failed[host] = _Failed(answer, now + seconds)
        return answer

    def _keep(self, host: str, answer: Resolution, known: _Known | None, now: float) -> Resolution:
        self._failed.pop(host, None)
        if known is None:
            known = self._known[host] = _Known(answer, now, now)
        elif known.resolution.addresses != answer.addresses:
            known.resolution = answer
        if known.is_stale:
            known.is_stale = False
            _log.info("The name of an upstream proxy resolves again: {host}", host=host)
        known.answered = now
        self._refresh_in(self.settings.positive_seconds * _REFRESH, host, known)
        return known.resolution

    def _keep_stale(self, host: str, error: ResolutionError, known: _Known) -> Resolution:
        if not known.is_stale:
            known.is_stale = True
            words = (
                "The name of an upstream proxy does not resolve any more: {host}: {problem}. Its last addresses stay"
            )
            _log.warn(words, host=host, problem=str(error))
        self._refresh_in(self.settings.failure_seconds, host, known)
        return known.resolution

    def _refresh_in(self, seconds: float, host: str, known: _Known) -> None:
        if known.refresh is not None:
            known.refresh.cancel()
        known.refresh = self.clock.callLater(seconds, self._refresh, host, known)

    def _refresh(self, host: str, known: _Known) -> None:
        known.refresh = None
        if self.clock.seconds() - known.used >= _UNUSED_SECONDS:
            del self._known[host]
            return
        try:
            # `_record` takes the outcome.
            self._queue.ask(host, "").addErrback(self._refresh_failed, host, known)
        except ResolutionError:
            self._refresh_failed(Failure(), host, known)

    def _refresh_failed(self, failure: Failure, host: str, known: _Known) -> None:
        problem = failure.value
        assert isinstance(problem, ResolutionError), "the queue fails with nothing else"
        # A look-up that missed its turn has no outcome.
        if known.refresh is None and self._known.get(host) is known:
            self._keep_stale(host, problem, known)

    def _forget(self, host: str, known: _Known) -> None:
        if known.refresh is not None:
            known.refresh.cancel()
        del self._known[host]


def _without_shares(settings: DnsSettings) -> DnsSettings:
    return evolve(
        settings,
        concurrent=HOP_LOOKUPS,
        concurrent_per_client=HOP_LOOKUPS,
        waiting=_WAITING,
        waiting_per_client=_WAITING,
    )
