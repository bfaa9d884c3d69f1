"""A handshake with a hop, such as TLS or CONNECT, on a connection that another endpoint dials.

`Handshake` implements the common parts of handshakes: the deadline, cancellation, failures and the hand-over of the
connection to the caller's protocol. A `HandshakeStrategy` defines the octets to send and reads the response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from itertools import product
from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed
from egress.interfaces import IDial, IDialEndpoint, IDialListener
from egress.model import Trace
from egress.transports.connection_notice import abort
from egress.upstream import deferred_dial
from egress.upstream.handshake_strategy import HandshakeRefused, HandshakeStrategy, HopConnection
from egress.upstream.hop_errors import HopFault


class State(Enum):
    """States of one handshake."""

    READY = auto()
    DIALLING = auto()
    HANDSHAKING = auto()
    HANDING_OVER = auto()
    ESTABLISHED = auto()
    FAILED = auto()
    CANCELLED = auto()


class Event(Enum):
    """Events of one handshake."""

    BEGIN = auto()
    DIAL_FAILED = auto()
    CONNECTED = auto()
    COMPLETED = auto()
    REFUSED = auto()
    LOST = auto()
    EXPIRED = auto()
    ACCEPTED = auto()
    REJECTED = auto()
    CANCEL = auto()


_IN_PROGRESS = (State.READY, State.DIALLING, State.HANDSHAKING, State.HANDING_OVER)

TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.READY, Event.BEGIN): State.DIALLING,
    (State.DIALLING, Event.DIAL_FAILED): State.FAILED,
    (State.DIALLING, Event.CONNECTED): State.HANDSHAKING,
    (State.HANDSHAKING, Event.DIAL_FAILED): State.FAILED,
    (State.HANDSHAKING, Event.COMPLETED): State.HANDING_OVER,
    (State.HANDSHAKING, Event.REFUSED): State.FAILED,
    (State.HANDSHAKING, Event.LOST): State.FAILED,
    (State.HANDSHAKING, Event.EXPIRED): State.FAILED,
    (State.HANDING_OVER, Event.ACCEPTED): State.ESTABLISHED,
    (State.HANDING_OVER, Event.REJECTED): State.FAILED,
    **dict.fromkeys(product(_IN_PROGRESS, [Event.CANCEL]), State.CANCELLED),
}
"""The state after each event. An event without an entry is ignored in that state."""


@implementer(IDialEndpoint)
@define(eq=False)
class HandshakeEndpoint:
    """Performs a handshake on a connection that another endpoint dials.

    Attributes:
        endpoint: dials the hop. Its failures are passed on unchanged.
        make_strategy: creates the strategy of one handshake.
        handshake_seconds: the deadline of the handshake, which starts when the connection is established.
        clock: the clock of the deadline.
        upstream: the hop's name in the configuration.
        trace: records the target: "" while in progress or established, later an outcome of the strategy or `cancelled`.
        on_failed: called with each failure of the handshake itself, before the listener of the dial.
        on_completed: called when the handshake is complete.
    """

    endpoint: IDialEndpoint
    make_strategy: Callable[[], HandshakeStrategy] = field(repr=False)
    handshake_seconds: float
    clock: IReactorTime
    upstream: str
    trace: Trace
    on_failed: Callable[[DialFailed], None] | None = None
    on_completed: Callable[[], None] | None = None

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial with a Deferred (IStreamClientEndpoint)."""
        return deferred_dial.connect(self, protocol_factory)

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> Handshake:
        """Prepare a dial (IDialEndpoint). Bytes after the handshake are delivered after `IDialListener.connected`."""
        return Handshake(self, self.make_strategy(), protocol_factory, listener)


@implementer(IDial, IDialListener, IProtocolFactory, IProtocol, IHalfCloseableProtocol, IHandshakeListener)
@define(eq=False)
class Handshake:
    """One handshake: dials the hop, and receives the events of the connection until the hand-over.

    Attributes:
        state: see `TRANSITIONS`.
    """

    _endpoint: HandshakeEndpoint
    _strategy: HandshakeStrategy
    _factory: IProtocolFactory
    _listener: IDialListener
    state: State = field(default=State.READY, init=False)
    _dial: IDial | None = field(default=None, init=False)
    _connection: HopConnection | None = field(default=None, init=False)
    _transport: ITransport | None = field(default=None, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _place: int = field(default=-1, init=False)

    def begin(self) -> None:
        """Dial the hop (IDial)."""
        if self._enter(Event.BEGIN):
            self._dial = self._endpoint.endpoint.make_dial(self, self)
            self._dial.begin()

    def cancel(self) -> None:
        """Stop the dial, or abort the connection (IDial)."""
        if self._enter(Event.CANCEL):
            self._close("cancelled")

    # The dial of the hop (IDialListener, IProtocolFactory).

    def connected(self, protocol: IProtocol) -> None:
        """Release the dial: `makeConnection` has started the handshake."""
        self._dial = None

    def failed(self, failure: Failure) -> None:
        """Pass the failure of the dial on."""
        self._dial = None
        if self._enter(Event.DIAL_FAILED):
            self._close("")
            self._listener.failed(failure)

    def buildProtocol(self, _address: IAddress | None) -> IProtocol:
        """Build the protocol of the connection to the hop."""
        self._connection = self._strategy.build_connection(self)
        return cast(IProtocol, self._connection)

    def doStart(self) -> None:
        """Notify the caller's factory of the start of an attempt."""
        self._factory.doStart()

    def doStop(self) -> None:
        """Notify the caller's factory of the end of an attempt."""
        self._factory.doStop()

    # The connection to the hop (IProtocol, IHalfCloseableProtocol, IHandshakeListener).

    def makeConnection(self, transport: ITransport) -> None:
        """Start the deadline, and send the first bytes."""
        if not self._enter(Event.CONNECTED):
            abort(transport)
            return
        self._transport = transport
        endpoint, target = self._endpoint, self._strategy.target
        if target:
            self._place = len(endpoint.trace.attempts)
            endpoint.trace.attempts.append((target, ""))
        self._deadline = endpoint.clock.callLater(endpoint.handshake_seconds, self._expired)
        data = self._strategy.start()
        if data:
            transport.write(data)

    def connectionMade(self) -> None:
        """Do nothing: `makeConnection` has started the handshake."""

    def dataReceived(self, data: bytes) -> None:
        """Read the hop's response."""
        transport = self._transport
        if self.state is not State.HANDSHAKING or transport is None:
            return
        try:
            reply = self._strategy.read(data)
        except HandshakeRefused as refused:
            self._end(Event.REFUSED, refused.fault)
            return
        if reply.data:
            transport.write(reply.data)
        if reply.rest is not None and self._enter(Event.COMPLETED):
            if self._endpoint.on_completed is not None:
                self._endpoint.on_completed()
            self._hand_over(transport, reply.rest)

    def handshakeCompleted(self) -> None:
        """Have the strategy verify the TLS session."""
        self.dataReceived(b"")

    def readConnectionLost(self) -> None:
        """Fail: the hop sent a FIN before its response was complete."""
        self._end(Event.LOST, None)

    def writeConnectionLost(self) -> None:
        """Do nothing: the handshake ends no direction."""

    def connectionLost(self, reason: Failure) -> None:
        """Fail: the connection was lost before the response was complete."""
        self._transport = None
        self._end(Event.LOST, None, reason)

    def logPrefix(self) -> str:
        """Name the protocol in Twisted's log messages."""
        return "a handshake with an upstream proxy"

    # The ends.

    def _expired(self) -> None:
        self._deadline = None
        self._end(Event.EXPIRED, None)

    def _end(self, event: Event, fault: HopFault | None, reason: Failure | None = None) -> None:
        """Fail with the fault, or with the strategy's description of the event."""
        if not self._enter(event):
            return
        endpoint = self._endpoint
        if fault is None:
            is_expired = event is Event.EXPIRED
            strategy = self._strategy
            fault = strategy.expired(endpoint.handshake_seconds) if is_expired else strategy.lost(reason)
        self._close(fault.outcome)
        problem = fault.failure(endpoint.upstream, endpoint.trace)
        if endpoint.on_failed is not None:
            endpoint.on_failed(problem)
        self._listener.failed(Failure(problem))

    def _hand_over(self, transport: ITransport, rest: bytes) -> None:
        self._stop_deadline()
        connection = self._connection
        assert connection is not None, "an answer came on it"
        try:
            protocol = self._factory.buildProtocol(transport.getPeer())
            if protocol is None:
                raise NoProtocol()
            if self.state is not State.HANDING_OVER:
                return
            connection.replace(protocol)
            protocol.makeConnection(transport)
        except Exception:
            # The error that the factory raised, as in Twisted's endpoints.
            if self._enter(Event.REJECTED):
                self._close("")
                self._listener.failed(Failure())
            return
        if self._enter(Event.ACCEPTED):
            self._transport = self._connection = None
            self._listener.connected(protocol)
            if rest:
                connection.deliver(rest)

    def _enter(self, event: Event) -> bool:
        """Change the state; return whether the current state has the event."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _close(self, outcome: str) -> None:
        """Cancel the deadline and the dial, and abort the connection."""
        self._stop_deadline()
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.cancel()
        transport, self._transport, self._connection = self._transport, None, None
        abort(transport)
        if self._place >= 0:
            self._endpoint.trace.attempts[self._place] = (self._strategy.target, outcome)

    def _stop_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
