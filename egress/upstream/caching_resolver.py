"""Remembers what names stand for, and asks once where many want to know."""

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
"""Addresses kept of one name. All of them are judged, and only they are dialled."""

Lookup: TypeAlias = Callable[[str], Deferred[tuple[Address, ...]]]

_log = Logger()


@frozen(eq=False)
class _Answer:
    """What is known of a name: a resolution, or the kind and the words of an error."""

    resolution: Resolution | None
    error: type[ResolutionError]
    reason: str
    expires: float


@define(eq=False)
class _Question:
    """A name that somebody wants to know. It lives from the first question to the end of its look-up.

    Attributes:
        waiters: those who wait; none after the deadline, while the look-up may still be under way.
        deadline: None while nobody waits.
    """

    host: str
    waiters: dict[Deferred[Resolution], None] = field(factory=dict)
    deadline: IDelayedCall | None = None


@implementer(IResolver)
@define(eq=False)
class CachingResolver:
    """Answers from memory where it can, else by a look-up that all who ask for the name share.

    Attributes:
        clock: lifetimes and deadlines run on it.
        lookup: finds the addresses of a name; its Deferred fails with a ResolutionError.
        settings: lifetimes, deadline and bounds.
    """

    clock: IReactorTime
    lookup: Lookup
    settings: DnsSettings
    # In the order of use, the oldest first.
    _answers: dict[str, _Answer] = field(factory=dict, init=False)
    _literals: dict[str, Resolution] = field(factory=dict, init=False)
    _running: dict[str, _Question] = field(factory=dict, init=False)
    _queue: OrderedDict[str, _Question] = field(factory=OrderedDict, init=False)
    _is_starting: bool = field(default=False, init=False)

    @property
    def names(self) -> int:
        """How many answers about names are kept."""
        return len(self._answers)

    @property
    def lookups(self) -> int:
        """How many look-ups are under way or wait for their turn."""
        return len(self._running) + len(self._queue)

    def resolve(self, host: str) -> Resolution | Deferred[Resolution]:
        """Find the addresses of a canonical name or literal.

        Returns:
            The resolution where it is known, the same object for its lifetime; else a Deferred of it, which can be
            cancelled without harm to others who wait for that name.

        Raises:
            NameNotFound: there is no such name; remembered for `negative_seconds`.
            ResolverFailed: the look-up failed (remembered for `failure_seconds`), or too many wait already.
            ResolverTimeout: the look-up took too long; remembered for `failure_seconds`.
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
        # Every literal has a colon or ends in a digit; what else does is tried in vain, once in a lifetime.
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
        """Give the open question for a name, or open one."""
        question = self._running.get(host) or self._queue.get(host)
        if question is not None:
            return question
        if len(self._running) >= self.settings.concurrent and len(self._queue) >= self.settings.waiting:
            raise ResolverBusy("too many look-ups are waiting")
        question = _Question(host)
        self._queue[host] = question
        return question

    def _wait(self, question: _Question) -> Deferred[Resolution]:
        waiter: Deferred[Resolution] = Deferred(lambda gone: self._leave(question, gone))
        question.waiters[waiter] = None
        if question.deadline is None:
            question.deadline = self.clock.callLater(self.settings.timeout_seconds, self._give_up, question)
        self._start_next()
        return waiter

    def _leave(self, question: _Question, waiter: Deferred[Resolution]) -> None:
        question.waiters.pop(waiter, None)
        if not question.waiters:
            self._dismiss(question)
            # A look-up under way cannot be called back, and its answer may be of use; one that waits is not needed.
            self._queue.pop(question.host, None)

    def _give_up(self, question: _Question) -> None:
        question.deadline = None
        if self._queue.pop(question.host, None) is None:
            self._remember(question.host, None, ResolverTimeout, "no answer in time", self.settings.failure_seconds)
            self._disappoint(self._dismiss(question), ResolverTimeout, "no answer in time")
        else:
            # That says nothing about the name, so it is not remembered.
            self._disappoint(self._dismiss(question), ResolverTurnMissed, "no turn in time")

    def _dismiss(self, question: _Question) -> list[Deferred[Resolution]]:
        """Take everyone who waits out of a question."""
        if question.deadline is not None:
            question.deadline.cancel()
            question.deadline = None
        waiters = list(question.waiters)
        question.waiters.clear()
        return waiters

    def _start_next(self) -> None:
        # A look-up may fail before it returns, and every end comes back here: without this guard a full queue would be
        # worked off by recursion.
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
            # The one before may have cancelled this one.
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
        self._disappoint(self._finish(question), error, reason)
        self._start_next()

    def _disappoint(self, waiters: list[Deferred[Resolution]], error: type[ResolutionError], reason: str) -> None:
        for waiter in waiters:
            if not waiter.called:
                waiter.errback(error(reason))

    def _finish(self, question: _Question) -> list[Deferred[Resolution]]:
        del self._running[question.host]
        return self._dismiss(question)

    def _remember(
        self, host: str, resolution: Resolution | None, error: type[ResolutionError], reason: str, seconds: float
    ) -> None:
        self._answers.pop(host, None)
        if len(self._answers) >= self.settings.cache_names:
            del self._answers[next(iter(self._answers))]
        self._answers[host] = _Answer(resolution, error, reason, self.clock.seconds() + seconds)


def _without_zone(address: Address) -> Address:
    # Without its zone such an address can be judged, and refused, but not dialled.
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(int(address))
    return address
