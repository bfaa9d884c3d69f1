"""Questions for the addresses of one family of a name, to several name servers, several times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from egress.model import Address
from egress.upstream.dns.exchange import Exchange, Sockets, make_identity
from egress.upstream.dns.servers import NameServer
from egress.wire.dns_message import NO_SUCH_NAME, Answer, Question

HEAD_START_SECONDS = 0.1
"""Seconds between the question to a silent name server and the question to the next name server."""


@frozen
class Outcome:
    """The outcome for one family.

    Attributes:
        addresses: the addresses of the name.
        is_missing: whether the answer was that the name does not exist.
        problem: the problems of the servers if none of them has answered; else "".
    """

    addresses: tuple[Address, ...] = ()
    is_missing: bool = False
    problem: str = ""


@define(eq=False)
class Inquiry:
    """Asks the servers in turn until one of them has answered, or all of them have failed.

    If a server has not answered after the interval, the next server is asked too, and after the last server the first
    one is asked again. Answers to earlier questions still count. A server that has failed is not asked again.

    Attributes:
        sockets: the source of sockets.
        clock: the clock of the intervals.
        servers: the name servers in the order of the questions; at least one.
        interval_seconds: the seconds between two questions.
        name: the name in wire format.
        kind: the type of the records.
        done: called with the outcome, once, or not at all after the inquiry was closed.
    """

    sockets: Sockets
    clock: IReactorTime
    servers: Sequence[NameServer]
    interval_seconds: float
    name: bytes
    kind: int
    done: Callable[[Outcome], None]
    _exchanges: dict[NameServer, Exchange] = field(factory=dict, init=False)
    _problems: dict[NameServer, str] = field(factory=dict, init=False)
    _place: int = field(default=0, init=False)
    _tries: int = field(default=0, init=False)
    _asked: NameServer | None = field(default=None, init=False)
    _overdue: IDelayedCall | None = field(default=None, init=False)

    def begin(self) -> None:
        """Ask the first server. `done` may be called before this returns."""
        self._ask_next()

    def close(self) -> None:
        """Close all exchanges. `done` is not called after that; harmless when closed."""
        self._stop_timer()
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            exchange.close()

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Finish with an answer (Asker)."""
        exchange.server.unanswered = 0
        self._finish(Outcome(answer.addresses, answer.status == NO_SUCH_NAME))

    def failed(self, exchange: Exchange, problem: str) -> None:
        """Ask the next server, or finish if all have failed (Asker)."""
        self._problems[exchange.server] = problem
        if len(self._problems) == len(self.servers):
            self._finish(Outcome(problem=", ".join(dict.fromkeys(self._problems.values()))))
        elif exchange.server is self._asked:
            self._stop_timer()
            self._ask_next()

    def _ask_next(self) -> None:
        count = len(self.servers)
        server = next(
            each
            for place in range(self._place, self._place + count)
            if (each := self.servers[place % count]) not in self._problems
        )
        self._place = self.servers.index(server) + 1
        self._asked = server
        self._tries += 1
        # Only in the first round, because silent servers would otherwise be asked ten times a second.
        is_brief = server.is_silent and self._tries < count
        seconds = min(HEAD_START_SECONDS, self.interval_seconds) if is_brief else self.interval_seconds
        self._overdue = self.clock.callLater(seconds, self._expired, server)
        exchange = self._exchanges.get(server)
        if exchange is None:
            question = Question(make_identity(), self.name, self.kind)
            exchange = self._exchanges[server] = Exchange(self.sockets, server, question, self)
        exchange.begin()

    def _expired(self, server: NameServer) -> None:
        self._overdue = None
        server.unanswered += 1
        self._ask_next()

    def _finish(self, outcome: Outcome) -> None:
        self.close()
        self.done(outcome)

    def _stop_timer(self) -> None:
        overdue, self._overdue = self._overdue, None
        if overdue is not None:
            overdue.cancel()
