"""Happy Eyeballs (RFC 8305): dials addresses in order, and starts the next attempt while a slow one is in progress.

The protocol that receives the transport sets socket options such as TCP_NODELAY.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, cast
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
from zope.interface import implementer

from egress.errors import DialFailed
from egress.interfaces import IDial, IDialListener
from egress.model import Address
from egress.transports.connection_notice import AbortingProtocol, abort, notify_connected

if TYPE_CHECKING:
    from egress.upstream.direct_endpoint import DirectEndpoint

ATTEMPT_DELAY_SECONDS = 0.25
"""Seconds before the next address is dialled in parallel with the attempt in progress (RFC 8305 section 5)."""

# The errors of a connect(2) whose connection was accepted, and reset before its result was read. A reset after a FIN
# gives EPIPE.
_RESETS = frozenset((errno.ECONNRESET, errno.EPIPE))

# A shorter remainder of a deadline can be a rounding error of the clock. No connection is established in less time.
_TICK_SECONDS = 0.001


class Dialler(Shape):
    """The part of a reactor that dials use: IReactorTCP and IReactorTime."""

    @property
    def connectTCP(self) -> Callable[..., Any]:
        """Connect (IReactorTCP)."""

    @property
    def callLater(self) -> Callable[..., Any]:
        """Set a timer (IReactorTime)."""

    @property
    def seconds(self) -> Callable[[], Any]:
        """Return the time in seconds (IReactorTime)."""


def interleave(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Sort addresses for dialling, alternating IPv6 and IPv4 (RFC 8305 section 4).

    The first address stays first, because the resolver sorts by RFC 6724. Each family keeps its order.
    """
    own = tuple(address for address in addresses if address.version == addresses[0].version)
    if len(own) == len(addresses):
        return addresses
    other = tuple(address for address in addresses if address.version != addresses[0].version)
    turns = chain.from_iterable(zip_longest(own, other))
    return tuple(address for address in turns if address is not None)


@implementer(IDial)
class HappyEyeballs:
    """One dial of a `DirectEndpoint`.

    The timeout of each connector is cut to the rest of the total deadline, so that the deadline needs no timer.

    Attributes:
        factory: builds the protocol; its doStart and doStop are called at the start and end of each attempt.
        is_over: whether the listener has been called or the dial was cancelled.
    """

    __slots__ = (
        "_deadline",
        "_endpoint",
        "_listener",
        "_live",
        "_next_call",
        "_outcomes",
        "_texts",
        "_tried",
        "factory",
        "is_over",
    )

    def __init__(self, endpoint: DirectEndpoint, factory: IProtocolFactory, listener: IDialListener) -> None:
        """Prepare a dial. See `IDialEndpoint.make_dial`."""
        self.is_over = False
        self.factory = factory
        self._endpoint = endpoint
        self._listener = listener
        self._texts = endpoint.texts
        self._deadline = 0.0
        self._tried = 0
        self._live: list[_Attempt] = []
        self._outcomes: list[tuple[str, str]] = []
        self._next_call: IDelayedCall | None = None

    def begin(self) -> None:
        """Dial the first address (IDial)."""
        endpoint = self._endpoint
        addresses = endpoint.addresses
        if not addresses:
            self._fail()
            return
        if len(addresses) > 1:
            self._texts = tuple(map(str, interleave(addresses)))
        elif not self._texts:
            self._texts = (str(addresses[0]),)
        self._deadline = endpoint.reactor.seconds() + endpoint.total_seconds
        self._try_next(endpoint.total_seconds)

    def cancel(self) -> None:
        """Stop every attempt (IDial)."""
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
        # An attempt may fail before `connectTCP` returns. Then the next attempt is already in progress.
        if self._tried < len(self._texts) and attempt.dial is not None:
            self._next_call = endpoint.reactor.callLater(ATTEMPT_DELAY_SECONDS, self._try_beside)

    def _try_beside(self) -> None:
        """Dial the next address while other attempts are in progress."""
        self._next_call = None
        left_seconds = self._left_seconds()
        if left_seconds > _TICK_SECONDS:
            self._try_next(left_seconds)

    def _left_seconds(self) -> float:
        return self._deadline - float(self._endpoint.reactor.seconds())

    def failed(self, attempt: _Attempt, reason: Failure) -> None:
        """Record the failure of an attempt. After the latest attempt, the next address is dialled at once."""
        is_latest = self._live[-1] is attempt
        self._live.remove(attempt)
        self._close(attempt, _describe(reason.value))
        if is_latest and self._tried < len(self._texts):
            self._stop_timer()
            left_seconds = self._left_seconds()
            if left_seconds > _TICK_SECONDS:
                self._try_next(left_seconds)
                return
        if not self._live:
            self._fail()

    def _fail(self) -> None:
        self._stop_timer()
        outcomes = {outcome for _, outcome in self._outcomes}
        if "refused" in outcomes:
            code = "connection_refused"
        elif "reset" in outcomes:
            code = "origin_closed"
        elif "timeout" in outcomes or self._tried < len(self._texts):
            code = "dial_timeout"
        else:
            code = "unreachable"
        self._report_failure(Failure(DialFailed(code, tuple(self._outcomes))))

    def _report_failure(self, failure: Failure) -> None:
        if not self.is_over:
            self.is_over = True
            self._listener.failed(failure)

    def connected(self, attempt: _Attempt, address: IAddress | None) -> IProtocol:
        """Stop the other attempts, and build the protocol for the first established connection."""
        self._live.remove(attempt)
        attempt.dial = None
        if self._live or self._next_call is not None:
            self._stop("overtaken")
        self._endpoint.trace.dialled = attempt.address
        try:
            # Twisted's annotation allows None for a transport without an address. A TCP transport always has an
            # address.
            protocol = self.factory.buildProtocol(cast(IAddress, address))
            if protocol is None:
                raise error.NoProtocol()
        except Exception:
            # The error that the factory raised, as in Twisted's endpoints.
            self._report_failure(Failure())
            return AbortingProtocol()
        return notify_connected(protocol, self._established)

    def _established(self, protocol: IProtocol, transport: ITransport) -> None:
        if self.is_over:
            abort(transport)
        else:
            self.is_over = True
            self._listener.connected(protocol)

    def _stop(self, outcome: str) -> None:
        self._stop_timer()
        live, self._live = self._live, []
        for attempt in live:
            self._close(attempt, outcome)
            attempt.stop()

    def _close(self, attempt: _Attempt, outcome: str) -> None:
        attempt.dial = None
        self._outcomes.append((attempt.address, outcome))
        self._endpoint.trace.attempts[attempt.trace_index] = (attempt.address, outcome)

    def _stop_timer(self) -> None:
        if self._next_call is not None:
            self._next_call.cancel()
            self._next_call = None


class _Attempt(ClientFactory):
    """The attempt to connect to one address.

    Attributes:
        dial: the dial; None once the attempt is over or another address has connected.
        trace_index: the attempt's index in `trace.attempts`.
    """

    noisy = False

    def __init__(self, dial: HappyEyeballs, address: str, trace_index: int) -> None:
        self.dial: HappyEyeballs | None = dial
        self.address = address
        self.trace_index = trace_index
        # A reference of its own, because the dial must not live as long as the connection.
        self._factory = dial.factory
        self._connector: IConnector | None = None

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
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
        """Stop connecting. No effect once connected or failed."""
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
    if number in _RESETS:
        return "reset"
    return "failed" if number is None else errno.errorcode.get(number, "failed").lower()
