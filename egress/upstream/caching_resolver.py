"""A resolver with a cache, in which requests for one name share a look-up."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress.errors import NameNotFound, ResolutionError
from egress.interfaces import IResolver
from egress.model import Address, Resolution
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.happy_eyeballs import interleave
from egress.upstream.lookup import Lookup
from egress.upstream.lookup_queue import LookupQueue

ADDRESS_LIMIT = 32
"""Addresses kept of one name. All of them are judged; no others are dialled."""


@frozen(eq=False)
class _Answer:
    """A cached answer: a resolution, or the class and the reason of an error."""

    resolution: Resolution | None
    error: type[ResolutionError]
    reason: str
    expires: float


@implementer(IResolver)
@define(eq=False)
class CachingResolver:
    """Answers from its cache, else by a look-up that all requests for the name share.

    Attributes:
        clock: of lifetimes and deadlines.
        lookup: the look-ups.
        settings: lifetimes, deadline and bounds.
    """

    clock: IReactorTime
    lookup: Lookup
    settings: DnsSettings
    # The least recently used first.
    _answers: dict[str, _Answer] = field(factory=dict, init=False)
    _literals: dict[str, Resolution] = field(factory=dict, init=False)
    _queue: LookupQueue = field(init=False)

    @_queue.default
    def _make_queue(self) -> LookupQueue:
        return LookupQueue(self.clock, self.lookup, self.settings, self._record)

    @property
    def names(self) -> int:
        """The number of cached answers for names."""
        return len(self._answers)

    @property
    def lookups(self) -> int:
        """The number of look-ups that are running or queued."""
        return len(self._queue)

    def renew(self, settings: DnsSettings) -> None:
        """Replace the settings. Cached answers keep their lifetimes."""
        self.settings = self._queue.settings = settings
        self.lookup.renew(settings)

    def resolve(self, host: str, client: str = "") -> Resolution | Deferred[Resolution]:
        """Find the addresses of a canonical name or literal.

        Args:
            host: the canonical name or literal.
            client: the key of the client whose share of the look-ups is used.

        Returns:
            The resolution where it is cached, one object for its lifetime; else a Deferred of it. Cancelling the
            Deferred leaves other requests for the name undisturbed.

        Raises:
            NameNotFound: there is no such name; cached for `negative_seconds`.
            ResolverFailed: the look-up failed; cached for `failure_seconds`.
            ResolverTimeout: the look-up took too long; cached for `failure_seconds`.
            ResolverBusy: too many look-ups are queued, or the look-up did not begin in time.
        """
        answer = self._answers.get(host)
        if answer is not None:
            del self._answers[host]
            if self.clock.seconds() < answer.expires:
                self._answers[host] = answer
                if answer.resolution is not None:
                    return answer.resolution
                raise answer.error(answer.reason)
        literal = self._literals.get(host)
        if literal is not None:
            return literal
        # Every literal has a colon or ends in a digit. A name that ends in a digit is parsed in vain once a lifetime.
        if ":" in host or host[-1:].isdigit():
            literal = self._read_literal(host)
            if literal is not None:
                return literal
        return self._queue.ask(host, client)

    def _read_literal(self, host: str) -> Resolution | None:
        try:
            address = ip_address(host)
        except ValueError:
            if ":" in host:
                raise NameNotFound("the host is not a name") from None
            return None
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise NameNotFound("the host is an address with a zone")
        if len(self._literals) >= self.settings.cache_names:
            del self._literals[next(iter(self._literals))]
        self._literals[host] = Resolution(host, (address,))
        return self._literals[host]

    def _record(self, host: str, outcome: tuple[Address, ...] | ResolutionError) -> Resolution | ResolutionError:
        """Cache the outcome of a look-up."""
        answer = make_answer(host, outcome)
        if isinstance(answer, Resolution):
            self._remember(host, answer, ResolutionError, "", self.settings.positive_seconds)
        else:
            is_missing = isinstance(answer, NameNotFound)
            seconds = self.settings.negative_seconds if is_missing else self.settings.failure_seconds
            self._remember(host, None, type(answer), str(answer), seconds)
        return answer

    def _remember(
        self, host: str, resolution: Resolution | None, error: type[ResolutionError], reason: str, seconds: float
    ) -> None:
        self._answers.pop(host, None)
        if len(self._answers) >= self.settings.cache_names:
            del self._answers[next(iter(self._answers))]
        self._answers[host] = _Answer(resolution, error, reason, self.clock.seconds() + seconds)


def make_answer(host: str, outcome: tuple[Address, ...] | ResolutionError) -> Resolution | ResolutionError:
    """Make the resolution of a name from the outcome of its look-up; a name without an address is not found."""
    if isinstance(outcome, ResolutionError):
        return outcome
    kept = tuple(dict.fromkeys(map(_without_zone, outcome)))
    if len(kept) > ADDRESS_LIMIT:
        # So that both families are kept.
        kept = interleave(kept)[:ADDRESS_LIMIT]
    return Resolution(host, kept) if kept else NameNotFound("the host name has no address")


def _without_zone(address: Address) -> Address:
    # A link-local address without its zone can be judged, and refused, but not dialled.
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(int(address))
    return address
