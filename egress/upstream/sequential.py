"""Asking a proxy for one address of a destination after the other."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed

# What may be the fault of one address. Everything else is the proxy's own, and no other address mends it.
_OF_ONE_TARGET = frozenset(["proxy_refused", "proxy_failed", "proxy_timeout"])
# What is left of a deadline can be a rounding error of the clock.
_TICK_SECONDS = 0.001


@implementer(IStreamClientEndpoint)
@define(eq=False)
class SequentialEndpoint:
    """Reaches the first of some targets that a proxy can reach.

    What is left of the time is shared evenly by the targets that are left, so that one that hangs does not cost the
    others their turn.

    Attributes:
        through: makes the endpoint of one target, given the seconds for its handshake.
        targets: one or more, in order.
        handshake_seconds: the most for one.
        total_seconds: the deadline of all: no target is begun after it.
        clock: tells the time.
    """

    plan: Callable[[bytes, float], IStreamClientEndpoint]
    targets: tuple[bytes, ...]
    handshake_seconds: float
    total_seconds: float
    clock: IReactorTime

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Try them.

        Returns:
            A Deferred of the connected protocol; cancelling it stops the attempt under way. It fails as the last
            attempt did.
        """
        if not self.targets:
            return fail(DialFailed("unreachable"))
        return _Turns(self, protocol_factory).begin()


@define(eq=False)
class _Turns:
    """One call of `connect`."""

    _endpoint: SequentialEndpoint
    _protocols: IProtocolFactory
    _deadline: float = field(default=0.0, init=False)
    _tried: int = field(default=0, init=False)

    def begin(self) -> Deferred[IProtocol]:
        self._deadline = self._endpoint.clock.seconds() + self._endpoint.total_seconds
        return self._try_next()

    def _try_next(self) -> Deferred[IProtocol]:
        endpoint = self._endpoint
        share = self._left_seconds() / (len(endpoint.targets) - self._tried)
        target = endpoint.targets[self._tried]
        self._tried += 1
        attempt = endpoint.plan(target, max(_TICK_SECONDS, min(endpoint.handshake_seconds, share)))
        return attempt.connect(self._protocols).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Deferred[IProtocol]:
        problem = failure.value
        is_of_target = isinstance(problem, DialFailed) and problem.code in _OF_ONE_TARGET
        if is_of_target and self._tried < len(self._endpoint.targets) and self._left_seconds() > _TICK_SECONDS:
            return self._try_next()
        return fail(failure)

    def _left_seconds(self) -> float:
        return self._deadline - float(self._endpoint.clock.seconds())
