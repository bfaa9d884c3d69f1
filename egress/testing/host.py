"""Fakes of the services of a plugin: a clock that only the test advances, and a resolver with a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from ipaddress import ip_address

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import NameNotFound, ResolutionError
from egress.interfaces import IHostServices, IResolver
from egress.model import Resolution
from egress.testing.requests import resolve_to

Answer = str | Iterable[str] | ResolutionError


@implementer(IResolver)
class FakeResolver:
    """Resolves from a table. A name that is not in the table does not exist. A literal address resolves to itself.

    Attributes:
        asked: every host that was looked up, in order, including literals.
        clients: the client of each of these questions.
    """

    def __init__(self, names: Mapping[str, Answer] | None = None) -> None:
        """Fill the table.

        Args:
            names: for each name an address, addresses, or the error of its lookup.
        """
        self.asked: list[str] = []
        self.clients: list[str] = []
        self._answers: dict[str, Resolution | ResolutionError] = {}
        self._held: dict[str, list[Deferred[Resolution]]] = {}
        for host, answer in (names or {}).items():
            self.answer(host, answer)

    def answer(self, host: str, answer: Answer) -> None:
        """Set the addresses of a name, for later lookups and for waiting lookups."""
        if isinstance(answer, ResolutionError):
            self._answers[host] = answer
        else:
            self._answers[host] = resolve_to(*([answer] if isinstance(answer, str) else answer), host=host)
        for waiting in self._held.pop(host, []):
            self._fire(waiting, self._answers[host])

    def hold(self, host: str) -> None:
        """Make the lookups of a name wait until `answer` is called for it."""
        self._held.setdefault(host, [])

    def waiting(self, host: str) -> int:
        """Count the lookups of a name that wait."""
        return len(self._held.get(host, []))

    def resolve(self, host: str, client: str = "") -> Resolution | Deferred[Resolution]:
        """Resolve from the table. See `IResolver.resolve`."""
        self.asked.append(host)
        self.clients.append(client)
        if host in self._held:
            waiting: Deferred[Resolution] = Deferred(lambda gone: self._forget(host, gone))
            self._held[host].append(waiting)
            return waiting
        if host not in self._answers:
            try:
                address = ip_address(host)
            except ValueError:
                raise NameNotFound("the host name does not exist") from None
            self._answers[host] = Resolution(host, (address,))
        answer = self._answers[host]
        if isinstance(answer, ResolutionError):
            raise answer
        return answer

    def _forget(self, host: str, gone: Deferred[Resolution]) -> None:
        self._held[host] = [each for each in self._held[host] if each is not gone]

    def _fire(self, waiting: Deferred[Resolution], answer: Resolution | ResolutionError) -> None:
        if isinstance(answer, ResolutionError):
            waiting.errback(Failure(answer))
        else:
            waiting.callback(answer)


@implementer(IHostServices)
@define(eq=False)
class FakeHost:
    """Provides a clock, a resolver, and counters that outlive the policies built with this host.

    Attributes:
        clock: advanced by ``clock.advance(seconds)``.
        resolver: see `FakeResolver`.
    """

    clock: Clock = field(factory=Clock)
    resolver: FakeResolver = field(factory=FakeResolver)
    _counters: dict[str, dict[str, float]] = field(init=False, factory=dict)

    def counters(self, name: str) -> MutableMapping[str, float]:
        """Return the counters of one policy. See `IHostServices.counters`."""
        return self._counters.setdefault(name, {})
