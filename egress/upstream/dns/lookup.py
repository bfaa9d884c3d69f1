"""Look-ups by questions to name servers."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from egress.errors import NameNotFound, ResolutionError, ResolverFailed
from egress.model import Address
from egress.upstream.daemon_threads import DaemonThreads
from egress.upstream.dns.address_order import FindSource, find_source, sort_addresses
from egress.upstream.dns.exchange import Sockets
from egress.upstream.dns.inquiry import Inquiry, Outcome
from egress.upstream.dns.servers import NameServers
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.hosts_file import HostsFile, Table, unusable_hosts
from egress.wire.dns_message import AAAA, A, encode_name

RESOLUTION_DELAY_SECONDS = 0.25
"""Seconds between the answer for A and the end of the wait for AAAA (RFC 8305 section 3)."""

_TRIES = 5
_LONGEST_INTERVAL_SECONDS = 1.0
# Intervals of the wait for the other family if the addresses alone are of little use. Two datagrams may be lost.
_PATIENT_INTERVALS = 2.5


def interval_of(settings: DnsSettings) -> float:
    """Return the seconds between two questions. Five questions fit into the deadline of a look-up."""
    return min(_LONGEST_INTERVAL_SECONDS, settings.timeout_seconds / _TRIES)


@define(eq=False)
class DnsLookup:
    """Looks absolute names up, in the hosts file and then by questions for both families at once.

    Attributes:
        clock: the clock of the intervals.
        sockets: the source of sockets.
        threads: the threads that read a changed hosts file.
        servers: the name servers.
        interval_seconds: the seconds between two questions.
        hosts: the hosts file that is searched first, or None.
        find_source: returns the source address for a destination; None without a route.
        is_stoppable: True, because a cancelled look-up closes its sockets.
    """

    is_stoppable: ClassVar[bool] = True

    clock: IReactorTime
    sockets: Sockets
    threads: DaemonThreads
    servers: NameServers
    interval_seconds: float
    hosts: HostsFile | None = field(factory=HostsFile)
    find_source: FindSource = find_source
    _open: dict[_Lookup, None] = field(factory=dict, init=False)
    _is_running: bool = field(default=False, init=False)

    def start(self) -> None:
        """Accept look-ups. To be called after any fork."""
        self._is_running = True
        self.threads.start()

    def stop(self) -> None:
        """Accept no more look-ups, and fail those in progress."""
        self._is_running = False
        self.threads.stop()
        for lookup in list(self._open):
            lookup.fail(ResolverFailed("the resolver was stopped"))

    def renew(self, settings: DnsSettings) -> None:
        """Replace the name servers and the interval of later look-ups."""
        self.servers.configured = settings.servers
        self.interval_seconds = interval_of(settings)

    def __call__(self, host: str) -> Deferred[tuple[Address, ...]]:
        """Look a canonical name up.

        Returns:
            A Deferred of the addresses. It fails with NameNotFound or ResolverFailed. It has no deadline: questions are
            repeated until it is cancelled.
        """
        if not self._is_running:
            return fail(ResolverFailed("the resolver is not running"))
        lookup = _Lookup(self, host)
        self._open[lookup] = None
        lookup.begin()
        return lookup.result

    def forget(self, lookup: _Lookup) -> None:
        """Forget a look-up that has ended."""
        self._open.pop(lookup, None)


@define(eq=False)
class _Lookup:
    """One look-up. `_inquiries` and `_outcomes` have the type of the records as keys."""

    _owner: DnsLookup
    _host: str
    result: Deferred[tuple[Address, ...]] = field(init=False)
    _inquiries: dict[int, Inquiry] = field(factory=dict, init=False)
    _outcomes: dict[int, Outcome] = field(factory=dict, init=False)
    _delay: IDelayedCall | None = field(default=None, init=False)
    _is_over: bool = field(default=False, init=False)

    @result.default
    def _make_result(self) -> Deferred[tuple[Address, ...]]:
        return Deferred(lambda _: self._close())

    def begin(self) -> None:
        """Search the hosts file, and ask."""
        hosts = self._owner.hosts
        if hosts is None:
            self._ask()
            return
        try:
            table = hosts.current()
        except OSError as error:
            self.fail(unusable_hosts(error))
            return
        if table is not None:
            self._found_table(table)
            return
        # A hosts file may have a hundred thousand lines.
        self._owner.threads.run(hosts.read).addCallbacks(self._found_table, self._unreadable)

    def fail(self, error: ResolutionError) -> None:
        """End without addresses."""
        if not self._is_over:
            self._close()
            self.result.errback(error)

    def _close(self) -> None:
        self._is_over = True
        if self._delay is not None and self._delay.active():
            self._delay.cancel()
        for inquiry in self._inquiries.values():
            inquiry.close()
        self._owner.forget(self)

    def _succeed(self, addresses: tuple[Address, ...]) -> None:
        self._close()
        self.result.callback(addresses)

    def _found_table(self, table: Table) -> None:
        if self._is_over:
            return
        addresses = table.get(self._host, ())
        if addresses:
            self._succeed(addresses)
        else:
            self._ask()

    def _unreadable(self, failure: Failure) -> None:
        problem = failure.value
        if isinstance(problem, OSError):
            problem = unusable_hosts(problem)
        self.fail(problem if isinstance(problem, ResolutionError) else ResolverFailed("the hosts file cannot be read"))

    def _ask(self) -> None:
        try:
            name = encode_name(self._host)
        except ValueError:
            self.fail(NameNotFound("the host is not a name of DNS"))
            return
        owner, servers = self._owner, self._owner.servers.current()
        for kind in (A, AAAA):
            done = partial(self._answered, kind)
            self._inquiries[kind] = Inquiry(
                owner.sockets, owner.clock, servers, owner.interval_seconds, name, kind, done
            )
        for inquiry in self._inquiries.values():
            if not self._is_over:
                inquiry.begin()

    def _answered(self, kind: int, outcome: Outcome) -> None:
        self._outcomes[kind] = outcome
        if len(self._outcomes) == len(self._inquiries):
            self._conclude()
        elif kind == A and (outcome.addresses or outcome.is_missing):
            seconds = min(RESOLUTION_DELAY_SECONDS, self._owner.interval_seconds)
            self._delay = self._owner.clock.callLater(seconds, self._waited, seconds)
        elif outcome.addresses:
            self._wait(0.0)

    def _waited(self, seconds: float) -> None:
        """Conclude without AAAA, unless this machine has no route to the addresses of A.

        Some name servers never answer questions for AAAA, and IPv4 is enough almost everywhere.
        """
        outcome = self._outcomes[A]
        if outcome.is_missing or self._owner.find_source(outcome.addresses[0]) is not None:
            self._conclude()
        else:
            self._wait(seconds)

    def _wait(self, waited_seconds: float) -> None:
        """Wait for the answer to a further question of the other family."""
        seconds = _PATIENT_INTERVALS * self._owner.interval_seconds - waited_seconds
        self._delay = self._owner.clock.callLater(seconds, self._conclude)

    def _conclude(self) -> None:
        outcomes = [self._outcomes[kind] for kind in (A, AAAA) if kind in self._outcomes]
        addresses = tuple(address for outcome in outcomes for address in outcome.addresses)
        if addresses:
            self._succeed(sort_addresses(addresses, self._owner.find_source))
            return
        if outcomes[0].is_missing:
            self.fail(NameNotFound("the host name does not exist"))
            return
        problems = dict.fromkeys(outcome.problem for outcome in outcomes if outcome.problem)
        if problems:
            self.fail(ResolverFailed(", ".join(problems)))
        else:
            self.fail(NameNotFound("the host name has no address"))
