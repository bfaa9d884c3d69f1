"""A bounded queue of checks of chosen secrets. Equal checks that are pending are run once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.identity.failure_limit import FailureLimit
from egress.identity.tokens import Tokens

Run: TypeAlias = Callable[[Callable[[], bool]], Deferred[bool]]

_log = Logger()


@define(eq=False)
class _Check:
    """One name and secret to check.

    Attributes:
        tokens: the content of the tokens file to compare with.
        digest: the keyed digest of name and secret.
        job: the function that compares them.
        peers: the peers that sent them; a failure is counted for each.
        waiters: the Deferreds that fire with the result.
    """

    tokens: Tokens
    digest: bytes
    job: Callable[[], bool] = field(repr=False)
    peers: dict[str, None] = field(factory=dict)
    waiters: dict[Deferred[bool], None] = field(factory=dict)


@define(eq=False)
class SecretChecks:
    """Runs checks in the order of the requests for them.

    Attributes:
        run: the function that runs a job outside of the reactor's thread.
        failures: counts failed checks. A pending check counts as failed until its result is known.
        concurrent: the largest number of checks that run at one time; each check needs the memory of its hash.
        waiting: the largest number of checks that wait: as many as can start before a request reaches its deadline.
    """

    run: Run
    failures: FailureLimit
    concurrent: int = 2
    waiting: int = 24
    _checks: dict[tuple[Tokens, bytes], _Check] = field(factory=dict, init=False, repr=False)
    _queue: OrderedDict[_Check, None] = field(factory=OrderedDict, init=False, repr=False)
    _under_way: dict[str, int] = field(factory=dict, init=False, repr=False)
    _running: int = field(default=0, init=False)
    _is_starting: bool = field(default=False, init=False)

    def check(self, tokens: Tokens, digest: bytes, peer: str, job: Callable[[], bool]) -> Deferred[bool]:
        """Check a name and a secret.

        Args:
            tokens: the content of the tokens file to compare with; a right digest is added to `tokens.proven`.
            digest: the keyed digest of name and secret.
            peer: the peer that sent them.
            job: compares them.

        Returns:
            A Deferred of the result, which can be cancelled. It fails with Refused where the check itself failed.

        Raises:
            Refused: the peer has too many failures, or too many checks wait.
        """
        check = self._checks.get((tokens, digest))
        if check is None or peer not in check.peers:
            self._take_room(peer)
        if check is None:
            if self._running >= self.concurrent and len(self._queue) >= self.waiting:
                raise Refused("busy", "Too many credentials wait to be checked.", retry_seconds=1.0)
            check = self._checks[tokens, digest] = _Check(tokens, digest, job)
            self._queue[check] = None
        if peer not in check.peers:
            check.peers[peer] = None
            self._under_way[peer] = self._under_way.get(peer, 0) + 1
        asked = check
        waiter: Deferred[bool] = Deferred(lambda gone: self._leave(asked, gone))
        check.waiters[waiter] = None
        self._start_next()
        return waiter

    def _take_room(self, peer: str) -> None:
        under_way = self._under_way.get(peer, 0)
        if self.failures.room(peer) - under_way < 1.0:
            wait = self.failures.wait_seconds(peer)
            raise Refused("too_many_failures", "Too many wrong credentials came from here.", retry_seconds=wait or 1.0)

    def _leave(self, check: _Check, gone: Deferred[bool]) -> None:
        check.waiters.pop(gone, None)
        # A running check cannot be stopped, and its result counts even without a waiter.
        if not check.waiters and check in self._queue:
            del self._queue[check]
            self._close(check)

    def _close(self, check: _Check) -> None:
        del self._checks[check.tokens, check.digest]
        for peer in check.peers:
            self._under_way[peer] -= 1
            if not self._under_way[peer]:
                del self._under_way[peer]

    def _start_next(self) -> None:
        # A check may end before `run` returns, and every end calls this method.
        if self._is_starting:
            return
        self._is_starting = True
        try:
            while self._queue and self._running < self.concurrent:
                check, _ = self._queue.popitem(last=False)
                self._running += 1
                try:
                    done = self.run(check.job)
                except Exception:
                    self._broke(Failure(), check)
                else:
                    done.addCallbacks(self._ended, self._broke, callbackArgs=(check,), errbackArgs=(check,))
        finally:
            self._is_starting = False

    def _ended(self, is_right: bool, check: _Check) -> None:
        self._running -= 1
        self._close(check)
        if is_right:
            check.tokens.prove(check.digest)
        else:
            for peer in check.peers:
                self.failures.add(peer)
        for waiter in list(check.waiters):
            # The callback of an earlier waiter may have cancelled this waiter.
            if not waiter.called:
                waiter.callback(is_right)
        self._start_next()

    def _broke(self, failure: Failure, check: _Check) -> None:
        _log.failure("credentials could not be checked", failure)
        self._running -= 1
        self._close(check)
        for waiter in list(check.waiters):
            if not waiter.called:
                waiter.errback(Refused("internal_error", "The credentials could not be checked."))
        self._start_next()
