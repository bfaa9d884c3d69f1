"""Requests tunnels to the addresses of a destination from a proxy, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed
from egress.interfaces import IDial, IDialEndpoint, IDialListener
from egress.upstream import deferred_dial

# Failures that may concern one address only. After any other failure, no further address is tried.
_OF_ONE_TARGET = frozenset(["proxy_refused", "proxy_failed", "proxy_timeout"])
# A shorter remainder of a deadline can be a rounding error of the clock.
_TICK_SECONDS = 0.001


@implementer(IDialEndpoint)
@define(eq=False)
class SequentialEndpoint:
    """Connects to the first of several targets that a proxy can reach.

    The remaining time is divided evenly among the remaining targets, so that a target that does not respond leaves time
    for the others. A failed dial has the failure of its last attempt.

    Attributes:
        endpoint_to: creates the endpoint of one target, given the deadline of its handshake in seconds.
        targets: one or more targets, in the order of the attempts.
        handshake_seconds: the longest time of a handshake for one target.
        total_seconds: the deadline of all targets together: no attempt starts afterwards.
        clock: the clock of the deadlines.
    """

    endpoint_to: Callable[[bytes, float], IDialEndpoint]
    targets: tuple[bytes, ...]
    handshake_seconds: float
    total_seconds: float
    clock: IReactorTime

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial with a Deferred (IStreamClientEndpoint)."""
        return deferred_dial.connect(self, protocol_factory)

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> IDial:
        """Prepare a dial (IDialEndpoint)."""
        return _SequentialDial(self, protocol_factory, listener)


@implementer(IDial, IDialListener)
@define(eq=False)
class _SequentialDial:
    """One dial: the listener of each attempt, one at a time."""

    _endpoint: SequentialEndpoint
    _factory: IProtocolFactory
    _listener: IDialListener
    _deadline: float = field(default=0.0, init=False)
    _tried: int = field(default=0, init=False)
    _attempt: IDial | None = field(default=None, init=False)

    def begin(self) -> None:
        endpoint = self._endpoint
        if not endpoint.targets:
            self._listener.failed(Failure(DialFailed("unreachable")))
            return
        self._deadline = float(endpoint.clock.seconds()) + endpoint.total_seconds
        self._try_next()

    def cancel(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

    def connected(self, protocol: IProtocol) -> None:
        self._attempt = None
        self._listener.connected(protocol)

    def failed(self, failure: Failure) -> None:
        self._attempt = None
        problem = failure.value
        is_of_target = isinstance(problem, DialFailed) and problem.code in _OF_ONE_TARGET
        if is_of_target and self._tried < len(self._endpoint.targets) and self._left_seconds() > _TICK_SECONDS:
            self._try_next()
        else:
            self._listener.failed(failure)

    def _try_next(self) -> None:
        endpoint = self._endpoint
        share = self._left_seconds() / (len(endpoint.targets) - self._tried)
        target = endpoint.targets[self._tried]
        self._tried += 1
        seconds = max(_TICK_SECONDS, min(endpoint.handshake_seconds, share))
        self._attempt = endpoint.endpoint_to(target, seconds).make_dial(self._factory, self)
        self._attempt.begin()

    def _left_seconds(self) -> float:
        return self._deadline - float(self._endpoint.clock.seconds())
