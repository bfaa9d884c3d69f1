"""A resolver with a cache, in which requests for one name share a look-up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import (
    NameNotFound,
    ResolutionError,
    ResolverBusy,
    ResolverFailed,
    ResolverTimeout,
    ResolverTurnMissed,
)
from egress.interfaces import IResolver
from egress.model import Address, Resolution
from egress.upstream.dns_settings import DnsSettings

ADDRESS_LIMIT = 32
"""Addresses kept of one name. All of them are judged; no others are dialled."""

Lookup: TypeAlias = Callable[[str], Deferred[tuple[Address, ...]]]

_log = Logger()


@frozen(eq=False)
class _Answer:
    """A cached answer: a resolution, or the class and the reason of an error."""

    resolution: Resolution | None
    error: type[ResolutionError]
    reason: str
    expires: float


@define(eq=False)
class _Question:
    """A name that is being looked up, or waits for its look-up.

    Attributes:
        host: the canonical name.
        waiters: Deferreds of the requests; none after the deadline, though the look-up may still be running.
        deadline: of the waiters; None without waiters.
    """

    host: str
    waiters: dict[Deferred[Resolution], None] = field(factory=dict)
    deadline: IDelayedCall | None = None


@implementer(IResolver)
@define(eq=False)
class CachingResolver:
    """Answers from its cache, else by a look-up that all requests for the name share.

    Attributes:
        clock: of lifetimes and deadlines.
        lookup: finds the addresses of a name; its Deferred fails with a ResolutionError.
        settings: lifetimes, deadline and bounds.
    """

    clock: IReactorTime
    lookup: Lookup
    settings: DnsSettings
    # The least recently used first.
    _answers: dict[str, _Answer] = field(factory=dict, init=False)
    _literals: dict[str, Resolution] = field(factory=dict, init=False)
    _running: dict[str, _Question] = field(factory=dict, init=False)
    _queue: OrderedDict[str, _Question] = field(factory=OrderedDict, init=False)
    _is_starting: bool = field(default=False, init=False)

    @property
    def names(self) -> int:
        """The number of cached answers for names."""
        return len(self._answers)

    @property
    def lookups(self) -> int:
        """The number of look-ups that are running or queued."""
        return len(self._running) + len(self._queue)

    def resolve(self, host: str) -> Resolution | Deferred[Resolution]:
        """Find the addresses of a canonical name or literal.

        Returns:
            The resolution where it is cached, one object for its lifetime; else a Deferred of it. Cancelling the
            Deferred leaves other requests for the name undisturbed.

        Raises:
            NameNotFound: there is no such name; cached for `negative_seconds`.
            ResolverFailed: the look-up failed (cached for `failure_seconds`), or too many are queued.
            ResolverTimeout: the look-up took too long; cached for `failure_seconds`.
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
        return self._wait(self._ask(host))

    def _read_literal(self, host: str) -> Resolution | None:
        try:
            address = ip_address(host)
        except ValueError:
            if ":" in host:
                raise NameNotFound("not a name") from None
            return None
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise NameNotFound("an address with a zone")
        if len(self._literals) >= self.settings.cache_names:
            del self._literals[next(iter(self._literals))]
        self._literals[host] = Resolution(host, (address,))
        return self._literals[host]

    def _ask(self, host: str) -> _Question:
        """Find the question for a name, or queue one."""
        question = self._running.get(host) or self._queue.get(host)
        if question is not None:
            return question
        if len(self._running) >= self.settings.concurrent and len(self._queue) >= self.settings.waiting:
            raise ResolverBusy("too many look-ups are waiting")
        question = _Question(host)
        self._queue[host] = question
        return question

    def _wait(self, question: _Question) -> Deferred[Resolution]:
        waiter: Deferred[Resolution] = Deferred(lambda cancelled: self._remove_waiter(question, cancelled))
        question.waiters[waiter] = None
        if question.deadline is None:
            question.deadline = self.clock.callLater(self.settings.timeout_seconds, self._expired, question)
        self._start_next()
        return waiter

    def _remove_waiter(self, question: _Question, waiter: Deferred[Resolution]) -> None:
        question.waiters.pop(waiter, None)
        if not question.waiters:
            self._take_waiters(question)
            # A running look-up cannot be stopped, and its answer is cached. A queued one is dropped.
            self._queue.pop(question.host, None)

    def _expired(self, question: _Question) -> None:
        question.deadline = None
        if self._queue.pop(question.host, None) is None:
            self._remember(question.host, None, ResolverTimeout, "no answer in time", self.settings.failure_seconds)
            self._fail_waiters(self._take_waiters(question), ResolverTimeout, "no answer in time")
        else:
            # The look-up has not started, so nothing is known of the name and nothing is cached.
            self._fail_waiters(self._take_waiters(question), ResolverTurnMissed, "no turn in time")

    def _take_waiters(self, question: _Question) -> list[Deferred[Resolution]]:
        """Remove and return the waiters of a question, and stop their deadline."""
        if question.deadline is not None:
            question.deadline.cancel()
            question.deadline = None
        waiters = list(question.waiters)
        question.waiters.clear()
        return waiters

    def _start_next(self) -> None:
        # A look-up may fail before it returns, and each end calls this method. The guard prevents recursion as deep as
        # the queue.
        if self._is_starting:
            return
        self._is_starting = True
        try:
            while self._queue and len(self._running) < self.settings.concurrent:
                host, question = self._queue.popitem(last=False)
                self._running[host] = question
                answer = self.lookup(host)
                answer.addCallbacks(self._found, self._failed, callbackArgs=(question,), errbackArgs=(question,))
        finally:
            self._is_starting = False

    def _found(self, addresses: tuple[Address, ...], question: _Question) -> None:
        kept = tuple(dict.fromkeys(map(_without_zone, addresses)))[:ADDRESS_LIMIT]
        if not kept:
            self._finish_with_error(question, NameNotFound, "the name has no address")
            return
        resolution = Resolution(question.host, kept)
        self._remember(question.host, resolution, ResolutionError, "", self.settings.positive_seconds)
        for waiter in self._finish(question):
            # The callback of an earlier waiter may have cancelled this one.
            if not waiter.called:
                waiter.callback(resolution)
        self._start_next()

    def _failed(self, failure: Failure, question: _Question) -> None:
        error = failure.value
        if not isinstance(error, ResolutionError):
            _log.failure("A look-up failed in a way that it should not", failure)
            error = ResolverFailed("the look-up broke")
        self._finish_with_error(question, type(error), str(error))

    def _finish_with_error(self, question: _Question, error: type[ResolutionError], reason: str) -> None:
        is_missing = issubclass(error, NameNotFound)
        seconds = self.settings.negative_seconds if is_missing else self.settings.failure_seconds
        self._remember(question.host, None, error, reason, seconds)
        self._fail_waiters(self._finish(question), error, reason)
        self._start_next()

    def _fail_waiters(self, waiters: list[Deferred[Resolution]], error: type[ResolutionError], reason: str) -> None:
        for waiter in waiters:
            if not waiter.called:
                waiter.errback(error(reason))

    def _finish(self, question: _Question) -> list[Deferred[Resolution]]:
        del self._running[question.host]
        return self._take_waiters(question)

    def _remember(
        self, host: str, resolution: Resolution | None, error: type[ResolutionError], reason: str, seconds: float
    ) -> None:
        self._answers.pop(host, None)
        if len(self._answers) >= self.settings.cache_names:
            del self._answers[next(iter(self._answers))]
        self._answers[host] = _Answer(resolution, error, reason, self.clock.seconds() + seconds)


def _without_zone(address: Address) -> Address:
    # A link-local address without its zone can be judged, and refused, but not dialled.
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(int(address))
    return address
