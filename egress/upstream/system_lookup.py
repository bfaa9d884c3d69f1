"""Look-ups by the system's resolver, in threads, because `getaddrinfo` blocks."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from queue import SimpleQueue
from threading import Thread
from typing import Any, ClassVar
from typing import Protocol as Shape

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from egress.errors import NameNotFound, ResolverFailed
from egress.model import Address
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.hosts_file import HostsFile

# EAI_NODATA and EAI_ADDRFAMILY: the name exists without an address. Not every system has these numbers.
_NOT_FOUND = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
)
_FAILURES = {
    getattr(socket, name): name
    for name in ("EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY", "EAI_SYSTEM")
    if hasattr(socket, name)
}


class FromThreads(Shape):
    """The part of a reactor that look-ups use: IReactorFromThreads."""

    @property
    def callFromThread(self) -> Callable[..., Any]:
        """Call a function in the reactor's thread (IReactorFromThreads)."""


@define(eq=False)
class _Question:
    host: str
    answer: Deferred[tuple[Address, ...]]


@define(eq=False)
class SystemLookup:
    """Looks absolute names up with `getaddrinfo`, without a search list, for both families, in the order of RFC 6724.

    Its threads are started on demand. They are daemons, so that a resolver that hangs does not delay the end of the
    process, and not those of the reactor's thread pool, which a resolver that hangs would exhaust.

    Attributes:
        reactor: its thread gets the answers.
        concurrent: the largest number of threads.
        hosts: the hosts file that is searched first, or None.
        is_stoppable: False: a thread waits for `getaddrinfo` as long as that takes.
    """

    is_stoppable: ClassVar[bool] = False

    reactor: FromThreads
    concurrent: int
    hosts: HostsFile | None = field(factory=HostsFile)
    _questions: SimpleQueue[_Question | None] = field(factory=SimpleQueue, init=False)
    _open: set[_Question] = field(factory=set, init=False)
    _threads: int = field(default=0, init=False)
    _is_running: bool = field(default=False, init=False)

    def start(self) -> None:
        """Accept look-ups. To be called after any fork, because threads do not survive a fork."""
        self._is_running = True

    def renew(self, settings: DnsSettings) -> None:
        """Start at most so many threads as the settings say. Threads that there are already stay."""
        self.concurrent = settings.concurrent

    def stop(self) -> None:
        """Accept no more look-ups, and fail those in progress. Does not wait for the threads."""
        if not self._is_running:
            return
        self._is_running = False
        for _ in range(self._threads):
            self._questions.put(None)
        # A thread that is blocked in a look-up keeps its queue, and ends when it reads the queue next.
        self._questions, self._threads = SimpleQueue(), 0
        open_questions, self._open = self._open, set()
        for question in open_questions:
            question.answer.errback(ResolverFailed("the resolver was stopped"))

    def __call__(self, host: str) -> Deferred[tuple[Address, ...]]:
        """Look a canonical name up.

        Returns:
            A Deferred of the addresses. It fails with NameNotFound or ResolverFailed. It has no deadline. Cancelling it
            drops the answer, but does not stop the thread.
        """
        if not self._is_running:
            return fail(ResolverFailed("the resolver is not running"))
        question = _Question(host, Deferred())
        self._open.add(question)
        # A cancelled look-up occupies its thread until `getaddrinfo` returns, and counts as open until then.
        if self._threads < min(self.concurrent, len(self._open)):
            self._threads += 1
            Thread(target=self._work, args=(self._questions,), name="look-up", daemon=True).start()
        self._questions.put(question)
        return question.answer

    def _work(self, questions: SimpleQueue[_Question | None]) -> None:
        while (question := questions.get()) is not None:
            result: tuple[Address, ...] | Failure
            try:
                result = lookup(question.host, self.hosts)
            except Exception:
                # The edge of the thread: every failure is passed to the caller.
                result = Failure()
            if not self._is_running:
                # The reactor may have stopped.
                return
            self.reactor.callFromThread(self._take, question, result)

    def _take(self, question: _Question, result: tuple[Address, ...] | Failure) -> None:
        if question in self._open:
            self._open.remove(question)
            question.answer.callback(result)


def lookup(host: str, hosts: HostsFile | None) -> tuple[Address, ...]:
    """Look a canonical name up, in the hosts file and then with `getaddrinfo`. Blocks.

    Raises:
        NameNotFound: the name does not exist, has no address, or is no DNS name.
        ResolverFailed: the hosts file or the resolver failed.
    """
    try:
        found = hosts.find(host) if hosts is not None else ()
    except OSError as error:
        raise ResolverFailed(f"the hosts file cannot be used: {type(error).__name__}") from None
    if found:
        return found
    try:
        # As octets, because Python would encode text by IDNA 2003. The final dot makes the name absolute.
        rows = socket.getaddrinfo(host.encode("ascii") + b".", None, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NOT_FOUND:
            raise NameNotFound("the host name does not exist or has no address") from None
        problem = _FAILURES.get(error.errno, f"getaddrinfo error {error.errno}")
        raise ResolverFailed(f"the system's resolver failed: {problem}") from None
    except OSError as error:
        raise ResolverFailed(f"the system's resolver failed: {type(error).__name__}") from None
    except ValueError:
        raise NameNotFound("the host is not a name of DNS") from None
    return tuple(_read_row(str(row[4][0])) for row in rows)


def _read_row(text: str) -> Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(int(address))
    return address
