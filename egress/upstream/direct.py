"""Dials judged addresses, several at a time where one is slow (RFC 8305, "Happy Eyeballs").

TCP_NODELAY and the like are left to the protocol that gets the transport.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, zip_longest
from sys import intern
from typing import Any, cast
from typing import Protocol as Shape

from attrs import define, field
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed
from egress.model import Address, Trace
from egress.upstream.arrival import Unwanted, abort, announce

ATTEMPT_DELAY_SECONDS = 0.25
"""RFC 8305 section 5: the recommended wait before the next address is tried beside the one under way."""

# What is left of a deadline can be a rounding error of the clock; nothing connects in so little.
_TICK_SECONDS = 0.001


class Dialler(Shape):
    """What is needed of a reactor: IReactorTCP and IReactorTime."""

    @property
    def connectTCP(self) -> Callable[..., Any]:
        """Dial."""

    @property
    def callLater(self) -> Callable[..., Any]:
        """Set a timer."""

    @property
    def seconds(self) -> Callable[[], Any]:
        """Tell the time."""


def interleave(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Bring addresses into the order of dialling: families take turns (RFC 8305 section 4).

    The family of the first address begins, because the resolver's order is that of RFC 6724. Within a family that order
    is kept.
    """
    own = tuple(address for address in addresses if address.version == addresses[0].version)
    if len(own) == len(addresses):
        return addresses
    other = tuple(address for address in addresses if address.version != addresses[0].version)
    turns = chain.from_iterable(zip_longest(own, other))
    return tuple(address for address in turns if address is not None)


@implementer(IStreamClientEndpoint)
@define(eq=False)
class DirectEndpoint:
    """Connects to whichever of some addresses answers first.

    Attributes:
        reactor: connects, and tells the time.
        addresses: all that may be dialled, in the resolver's order.
        port: of every address.
        per_address_seconds: the deadline of one address.
        total_seconds: the deadline of all together.
        trace: is told of every attempt: "" while under way or connected, later `refused`, `timeout`, `no_route`, the
            system's name of the error in lower case, `overtaken` or `cancelled`.
    """

    reactor: Dialler
    addresses: tuple[Address, ...]
    port: int
    per_address_seconds: float
    total_seconds: float
    trace: Trace

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial.

        Returns:
            A Deferred of the connected protocol; cancelling it stops every attempt. It fails with DialFailed:
            `connection_refused` if any address refused, else `dial_timeout` if a deadline passed, else `unreachable`.
        """
        if not self.addresses:
            return fail(DialFailed("unreachable"))
        return _Dial(self, protocol_factory).begin()


@define(eq=False)
class _Dial:
    """One call of `connect`: over when `_result` is None.

    The timeout of each connector is cut to what is left of the whole deadline, so that needs no timer of its own.
    """

    _endpoint: DirectEndpoint
    _protocols: IProtocolFactory
    _addresses: tuple[Address, ...] = field(init=False)
    _deadline: float = field(init=False)
    _result: Deferred[IProtocol] | None = field(init=False)
    _tried: int = field(default=0, init=False)
    _live: list[_Attempt] = field(factory=list, init=False)
    _outcomes: list[tuple[str, str]] = field(factory=list, init=False)
    _next_call: IDelayedCall | None = field(default=None, init=False)

    def begin(self) -> Deferred[IProtocol]:
        endpoint = self._endpoint
        self._addresses = interleave(endpoint.addresses) if len(endpoint.addresses) > 1 else endpoint.addresses
        self._deadline = endpoint.reactor.seconds() + endpoint.total_seconds
        result: Deferred[IProtocol] = Deferred(self._cancel)
        self._result = result
        self._try_next(endpoint.total_seconds)
        return result

    def _try_next(self, left_seconds: float) -> None:
        endpoint, trace = self._endpoint, self._endpoint.trace
        # The record keeps it for as long as the connection stands, and many stand to the same few addresses.
        address = intern(str(self._addresses[self._tried]))
        self._tried += 1
        attempt = _Attempt(self, self._protocols, address, len(trace.attempts))
        trace.dialled = address
        trace.attempts.append((address, ""))
        self._live.append(attempt)
        timeout_seconds = min(endpoint.per_address_seconds, left_seconds)
        endpoint.reactor.connectTCP(address, endpoint.port, attempt, timeout=timeout_seconds)
        # A reactor may fail an attempt before it returns; then the next one is under way already.
        if attempt.dial is not None and self._tried < len(self._addresses):
            self._next_call = endpoint.reactor.callLater(ATTEMPT_DELAY_SECONDS, self._hurry)

    def _hurry(self) -> None:
        """Try another address beside those under way."""
        self._next_call = None
        left_seconds = self._left_seconds()
        if left_seconds > _TICK_SECONDS:
            self._try_next(left_seconds)

    def _left_seconds(self) -> float:
        return self._deadline - float(self._endpoint.reactor.seconds())

    def failed(self, attempt: _Attempt, reason: Failure) -> None:
        """One attempt is over. If it was the latest, its successor need not wait for its turn."""
        is_latest = self._live[-1] is attempt
        self._live.remove(attempt)
        self._close(attempt, _describe(reason.value))
        if is_latest and self._tried < len(self._addresses):
            self._hold_next()
            left_seconds = self._left_seconds()
            if left_seconds > _TICK_SECONDS:
                self._try_next(left_seconds)
                return
        if not self._live:
            self._give_up()

    def _give_up(self) -> None:
        result, self._result = self._result, None
        self._hold_next()
        outcomes = {outcome for _, outcome in self._outcomes}
        if "refused" in outcomes:
            code = "connection_refused"
        elif "timeout" in outcomes or self._tried < len(self._addresses):
            code = "dial_timeout"
        else:
            code = "unreachable"
        if result is not None:
            result.errback(DialFailed(code, tuple(self._outcomes)))

    def connected(self, attempt: _Attempt, address: IAddress | None) -> IProtocol:
        """The first address answered: drop the others, and build what was asked for."""
        self._live.remove(attempt)
        attempt.dial = None
        self._stop("overtaken")
        self._endpoint.trace.dialled = attempt.address
        try:
            # Twisted says that a transport without an address has None; a TCP transport has one.
            protocol = self._protocols.buildProtocol(cast(IAddress, address))
            if protocol is None:
                raise error.NoProtocol()
        except Exception:
            # The failure belongs to whoever gave the factory, as with Twisted's own endpoints.
            result, self._result = self._result, None
            if result is not None:
                result.errback()
            return Unwanted()
        return announce(protocol, self._met)

    def _met(self, protocol: IProtocol, transport: ITransport) -> None:
        result, self._result = self._result, None
        if result is None:
            abort(transport)
        else:
            result.callback(protocol)

    def _cancel(self, _: Deferred[IProtocol]) -> None:
        self._result = None
        self._stop("cancelled")

    def _stop(self, outcome: str) -> None:
        self._hold_next()
        live, self._live = self._live, []
        for attempt in live:
            self._close(attempt, outcome)
            attempt.stop()

    def _close(self, attempt: _Attempt, outcome: str) -> None:
        attempt.dial = None
        self._outcomes.append((attempt.address, outcome))
        self._endpoint.trace.attempts[attempt.place] = (attempt.address, outcome)

    def _hold_next(self) -> None:
        if self._next_call is not None:
            self._next_call.cancel()
            self._next_call = None


class _Attempt(ClientFactory):
    """One address being dialled.

    Attributes:
        dial: None once the dial takes no more interest in this attempt.
        place: its index in `trace.attempts`.
    """

    noisy = False

    def __init__(self, dial: _Dial, protocols: IProtocolFactory, address: str, place: int) -> None:
        self.dial: _Dial | None = dial
        self.address = address
        self.place = place
        self._protocols = protocols
        self._connector: IConnector | None = None

    def doStart(self) -> None:
        self._protocols.doStart()

    def doStop(self) -> None:
        self._protocols.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return Unwanted() if self.dial is None else self.dial.connected(self, addr)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._connector = None
        if self.dial is not None:
            self.dial.failed(self, reason)

    def stop(self) -> None:
        """Stop connecting, whatever has become of it."""
        if self._connector is not None:
            with suppress(error.NotConnectingError):
                self._connector.stopConnecting()


def _describe(reason: BaseException | None) -> str:
    if isinstance(reason, error.ConnectionRefusedError):
        return "refused"
    if isinstance(reason, error.TimeoutError | error.TCPTimedOutError):
        return "timeout"
    if isinstance(reason, error.NoRouteError):
        return "no_route"
    number = reason.osError if isinstance(reason, error.ConnectError) else None
    return "failed" if number is None else errno.errorcode.get(number, "failed").lower()
