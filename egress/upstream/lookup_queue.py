"""Fair look-ups: one look-up for each name, a bounded number at a time, and a share for each client.

Slow names of a client delay further names of that client only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.errors import (
    ResolutionError,
    ResolverBusy,
    ResolverFailed,
    ResolverTimeout,
    ResolverTurnMissed,
    TooManyLookups,
)
from egress.model import Address, Resolution
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.lookup import Lookup

_log = Logger()

Waiter: TypeAlias = "Deferred[Resolution]"

Record: TypeAlias = Callable[[str, "tuple[Address, ...] | ResolutionError"], "Resolution | ResolutionError"]
"""Records the outcome of a look-up. Returns the result for the waiters."""


# The part of the deadline after which a look-up without an answer has failed. A look-up that waited for a place and had
# less time has missed its turn instead: a client that fills the queue must not make the names of other clients fail.
_ENOUGH = 0.9


@frozen(eq=False)
class _Wait:
    """The state of one waiter.

    Attributes:
        client: the client whose share is used.
        deadline: the end of the wait.
    """

    client: str
    deadline: IDelayedCall


@define(eq=False)
class _Question:
    """A name that is being looked up, or waits for a place.

    Attributes:
        host: the canonical name.
        waits: the waiters. A look-up that cannot be stopped continues without waiters.
        clients: the clients whose queues hold the question.
        running: the look-up; None before it begins.
        begun: time at which the look-up began.
        payer: the client whose place the look-up takes.
    """

    host: str
    waits: dict[Waiter, _Wait] = field(factory=dict)
    clients: set[str] = field(factory=set)
    running: Deferred[tuple[Address, ...]] | None = None
    begun: float = 0.0
    payer: str = ""


@define(eq=False)
class LookupQueue:
    """Runs look-ups. Requests for one name share a look-up.

    Free places are given to the clients in turn. A client has at most its share of the places and of the queue. If the
    queue is full, a client with fewer names displaces the last name of the client with the most names.

    Attributes:
        clock: of the deadlines.
        lookup: the look-ups.
        settings: the deadline, and the numbers of places.
        record: records each outcome.
    """

    clock: IReactorTime
    lookup: Lookup
    settings: DnsSettings
    record: Record
    _questions: dict[str, _Question] = field(factory=dict, init=False)
    _running: Counter[str] = field(factory=Counter, init=False)
    _places: int = field(default=0, init=False)
    # The queued questions of each client that has any, the oldest first. The client with the next turn is first.
    _queues: OrderedDict[str, OrderedDict[str, _Question]] = field(factory=OrderedDict, init=False)
    _is_starting: bool = field(default=False, init=False)

    def __len__(self) -> int:
        """Count the names that are being looked up or wait for a place."""
        return len(self._questions)

    def ask(self, host: str, client: str) -> Waiter:
        """Look a name up, or join the look-up of other requests.

        Args:
            host: the canonical name.
            client: the client whose share is used.

        Returns:
            A Deferred of the result of `record`. It fails with ResolverTimeout, or with ResolverTurnMissed where the
            look-up did not begin in time. Cancelling it leaves other waiters undisturbed; a look-up without waiters is
            stopped.

        Raises:
            TooManyLookups: the client's share of the queue is full.
            ResolverBusy: the queue is full.
        """
        question = self._questions.get(host)
        if question is None:
            question = _Question(host)
        if question.running is None:
            self._enqueue(question, client)
            self._questions[host] = question
        waiter: Waiter = Deferred(lambda cancelled: self._leave(question, cancelled))
        deadline = self.clock.callLater(self.settings.timeout_seconds, self._expired, question, waiter)
        question.waits[waiter] = _Wait(client, deadline)
        self._start_next()
        return waiter

    def _enqueue(self, question: _Question, client: str) -> None:
        queue = self._queues.get(client, OrderedDict())
        if question.host in queue:
            return
        if not self._has_place(client) or queue:
            if len(queue) >= self.settings.waiting_per_client:
                raise TooManyLookups("too many host names of this client wait for resolution")
            if sum(map(len, self._queues.values())) >= self.settings.waiting:
                self._make_room(len(queue))
        self._queues.setdefault(client, OrderedDict())[question.host] = question
        question.clients.add(client)

    def _make_room(self, waiting: int) -> None:
        """Drop the last question of the client with the most, if that client has more than `waiting` plus one."""
        greedy = max(self._queues, key=lambda each: len(self._queues[each]))
        queue = self._queues[greedy]
        if len(queue) <= waiting + 1:
            raise ResolverBusy("too many host names wait for resolution")
        last = next(reversed(queue.values()))
        for waiter, wait in list(last.waits.items()):
            if wait.client == greedy:
                self._fail(last, waiter, ResolverBusy("too many host names wait for resolution"))

    def _has_place(self, client: str) -> bool:
        return self._places < self.settings.concurrent and self._running[client] < self.settings.concurrent_per_client

    def _start_next(self) -> None:
        # A look-up may end before it returns, and each end calls this method. The guard prevents recursion as deep as
        # the queue.
        if self._is_starting:
            return
        self._is_starting = True
        try:
            while (client := next(filter(self._has_place, self._queues), None)) is not None:
                question = next(iter(self._queues[client].values()))
                self._queues.move_to_end(client)
                self._dequeue(question)
                self._start(question, client)
        finally:
            self._is_starting = False

    def _start(self, question: _Question, client: str) -> None:
        question.payer, question.begun = client, self.clock.seconds()
        self._running[client] += 1
        self._places += 1
        # The question counts as running before the look-up is called, which may return an answer.
        question.running = Deferred()
        found = maybeDeferred(self.lookup, question.host)
        found.addCallbacks(self._found, self._failed, callbackArgs=(question,), errbackArgs=(question,))
        question.running = found

    def _dequeue(self, question: _Question, *clients: str) -> None:
        """Remove a question from the queues of some clients, or of all."""
        for client in clients or tuple(question.clients):
            question.clients.discard(client)
            queue = self._queues[client]
            del queue[question.host]
            if not queue:
                del self._queues[client]

    def _leave(self, question: _Question, waiter: Waiter) -> None:
        """Remove a waiter, and stop a look-up without waiters."""
        wait = question.waits.pop(waiter, None)
        if wait is None:
            return
        if wait.deadline.active():
            wait.deadline.cancel()
        client = wait.client
        if client in question.clients and all(each.client != client for each in question.waits.values()):
            self._dequeue(question, client)
        if question.waits:
            return
        if question.running is None:
            del self._questions[question.host]
        elif self.lookup.is_stoppable:
            running = question.running
            self._end(question)
            running.cancel()
            self._start_next()

    def _fail(self, question: _Question, waiter: Waiter, error: ResolutionError) -> None:
        self._leave(question, waiter)
        # The callback of another waiter may have cancelled this one.
        if not waiter.called:
            waiter.errback(error)

    def _expired(self, question: _Question, waiter: Waiter) -> None:
        had_seconds = self.clock.seconds() - question.begun
        if question.running is None or had_seconds < _ENOUGH * self.settings.timeout_seconds:
            # The look-up had too little time, so that nothing is known of the name.
            self._fail(question, waiter, ResolverTurnMissed("there was no free place to resolve the host name in time"))
            return
        error = ResolverTimeout("the resolver did not answer in time")
        self.record(question.host, error)
        for each in list(question.waits):
            self._fail(question, each, ResolverTimeout(str(error)))

    def _found(self, addresses: tuple[Address, ...], question: _Question) -> None:
        self._conclude(question, addresses)

    def _failed(self, failure: Failure, question: _Question) -> None:
        error = failure.value
        if question.host not in self._questions or self._questions[question.host] is not question:
            # The look-up was stopped for lack of waiters.
            return
        if not isinstance(error, ResolutionError):
            _log.failure("A look-up failed in a way that it should not", failure)
            error = ResolverFailed("the look-up broke")
        self._conclude(question, error)

    def _conclude(self, question: _Question, outcome: tuple[Address, ...] | ResolutionError) -> None:
        self._end(question)
        answer = self.record(question.host, outcome)
        waits, question.waits = question.waits, {}
        for wait in waits.values():
            wait.deadline.cancel()
        for waiter in waits:
            # The callback of an earlier waiter may have cancelled this one.
            if waiter.called:
                continue
            if isinstance(answer, Resolution):
                waiter.callback(answer)
            else:
                # A new exception for each waiter, because each gets a traceback.
                waiter.errback(type(answer)(*answer.args))
        self._start_next()

    def _end(self, question: _Question) -> None:
        del self._questions[question.host]
        self._places -= 1
        self._running[question.payer] -= 1
        if not self._running[question.payer]:
            del self._running[question.payer]
