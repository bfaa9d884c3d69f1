"""Dials judged addresses, several at a time where one is slow (RFC 8305, "Happy Eyeballs").

TCP_NODELAY and the like are left to the protocol that gets the transport.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias
from typing import Protocol as Shape

from twisted.internet import error
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    ITransport,
)
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from egress.errors import DialFailed
from egress.model import Address
from egress.transports.connection_notice import AbortingProtocol, OnConnected, abort

if TYPE_CHECKING:
    from egress.upstream.direct_endpoint import DirectEndpoint

ATTEMPT_DELAY_SECONDS = 0.25
"""RFC 8305 section 5: the recommended wait before the next address is tried beside the one under way."""

# What is left of a deadline can be a rounding error of the clock; nothing connects in so little.
_TICK_SECONDS = 0.001


Build: TypeAlias = Callable[[IAddress | None, OnConnected], "IProtocol | None"]
"""Builds the protocol of a connection, which tells by the second argument that it has its transport."""


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


class Dial:
    """One use of an endpoint. It tells once what has become of it, by a call and not by a Deferred, which costs more.

    The timeout of each connector is cut to what is left of the whole deadline, so that needs no timer of its own.

    Attributes:
        factory: see `__init__`.
        is_over: it has told, or was cancelled.
    """

    __slots__ = (
        "_build",
        "_deadline",
        "_endpoint",
        "_failed",
        "_landed",
        "_live",
        "_next_call",
        "_outcomes",
        "_texts",
        "_tried",
        "factory",
        "is_over",
    )

    def __init__(
        self,
        endpoint: DirectEndpoint,
        build: Build,
        landed: Callable[[Any], object],
        failed: Callable[[Failure], object],
        factory: IProtocolFactory | None = None,
    ) -> None:
        """Make one.

        Args:
            endpoint: what to dial.
            build: builds the protocol.
            landed: called with the protocol once that has its transport.
            failed: called with the failure, see `DirectEndpoint.connect`. Neither is called once it was cancelled.
            factory: is told of each attempt's beginning and end (IProtocolFactory).
        """
        self.is_over = False
        self._endpoint = endpoint
        self._build = build
        self._landed = landed
        self._failed = failed
        self.factory = factory
        self._texts = endpoint.texts
        self._deadline = 0.0
        self._tried = 0
        self._live: list[_Attempt] = []
        self._outcomes: list[tuple[str, str]] = []
        self._next_call: IDelayedCall | None = None

    def begin(self) -> None:
        """Try the first address."""
        endpoint = self._endpoint
        addresses = endpoint.addresses
        if not addresses:
            self._give_up()
            return
        if len(addresses) > 1:
            self._texts = tuple(map(str, interleave(addresses)))
        elif not self._texts:
            self._texts = (str(addresses[0]),)
        self._deadline = endpoint.reactor.seconds() + endpoint.total_seconds
        self._try_next(endpoint.total_seconds)

    def cancel(self) -> None:
        """Stop every attempt."""
        self.is_over = True
        self._stop("cancelled")

    def _try_next(self, left_seconds: float) -> None:
        endpoint, trace = self._endpoint, self._endpoint.trace
        address = self._texts[self._tried]
        self._tried += 1
        attempt = _Attempt(self, address, len(trace.attempts))
        trace.dialled = address
        trace.attempts.append((address, ""))
        self._live.append(attempt)
        timeout_seconds = endpoint.per_address_seconds
        if left_seconds < timeout_seconds:
            timeout_seconds = left_seconds
        endpoint.reactor.connectTCP(address, endpoint.port, attempt, timeout=timeout_seconds)
        # A reactor may fail an attempt before it returns; then the next one is under way already.
        if self._tried < len(self._texts) and attempt.dial is not None:
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
        if is_latest and self._tried < len(self._texts):
            self._hold_next()
            left_seconds = self._left_seconds()
            if left_seconds > _TICK_SECONDS:
                self._try_next(left_seconds)
                return
        if not self._live:
            self._give_up()

    def _give_up(self) -> None:
        self._hold_next()
        outcomes = {outcome for _, outcome in self._outcomes}
        if "refused" in outcomes:
            code = "connection_refused"
        elif "timeout" in outcomes or self._tried < len(self._texts):
            code = "dial_timeout"
        else:
            code = "unreachable"
        self._tell_failed(Failure(DialFailed(code, tuple(self._outcomes))))

    def _tell_failed(self, failure: Failure) -> None:
        if not self.is_over:
            self.is_over = True
            self._failed(failure)

    def connected(self, attempt: _Attempt, address: IAddress | None) -> IProtocol:
        """The first address answered: drop the others, and build what was asked for."""
        self._live.remove(attempt)
        attempt.dial = None
        if self._live or self._next_call is not None:
            self._stop("overtaken")
        self._endpoint.trace.dialled = attempt.address
        try:
            protocol = self._build(address, self._met)
            if protocol is None:
                raise error.NoProtocol()
        except Exception:
            # The failure belongs to whoever gave the factory, as with Twisted's own endpoints.
            self._tell_failed(Failure())
            return AbortingProtocol()
        return protocol

    def _met(self, protocol: IProtocol, transport: ITransport) -> None:
        if self.is_over:
            abort(transport)
        else:
            self.is_over = True
            self._landed(protocol)

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

    def __init__(self, dial: Dial, address: str, place: int) -> None:
        self.dial: Dial | None = dial
        self.address = address
        self.place = place
        # Kept apart from the dial, which must not live as long as the connection.
        self._factory = dial.factory
        self._connector: IConnector | None = None

    def doStart(self) -> None:
        if self._factory is not None:
            self._factory.doStart()

    def doStop(self) -> None:
        if self._factory is not None:
            self._factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return AbortingProtocol() if self.dial is None else self.dial.connected(self, addr)

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
