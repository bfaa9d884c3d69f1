"""A tunnel through an HTTP proxy: CONNECT, as its client (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed, ProtocolError
from egress.model import Trace
from egress.tls.errors import describe_tls
from egress.transports.connection_notice import abort
from egress.upstream.hop_errors import hop_failed, hop_unauthorized
from egress.wire.response_head import ResponseHead, ResponseReader

INTERIM_LIMIT = 8
"""How many interim answers (1xx) may come before the one that counts."""

_FIELD_LIMIT = 128
_TLS_RECORDS = (b"\x15", b"\x16")  # how an alert and a handshake begin, RFC 8446 section 5.1


@implementer(IStreamClientEndpoint)
@define(eq=False)
class ConnectEndpoint:
    """Reaches a target through the proxy that another endpoint reaches.

    Attributes:
        proxy: reaches the proxy. Its failures are passed on as they are.
        target: as it is asked for: `host:443`, `[2001:db8::1]:443`.
        authorization: the value of Proxy-Authorization, or None.
        handshake_seconds: the deadline of the answer.
        head_limit_bytes: of the answer's head.
        clock: tells the time.
        upstream: the proxy's name in the configuration.
        trace: is told of the target: "" while under way or connected, else a status, `timeout`, `malformed`, `closed`,
            `tls` or `cancelled`.
    """

    proxy: IStreamClientEndpoint
    target: bytes
    authorization: bytes | None = field(repr=False)
    handshake_seconds: float
    head_limit_bytes: int
    clock: IReactorTime
    upstream: str
    trace: Trace

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the proxy, and ask it for the target.

        Returns:
            A Deferred of the protocol, connected to the target. What the target has said already comes to it when that
            has fired. Cancelling it drops the connection. It fails with DialFailed: `proxy_auth_required`,
            `proxy_refused`, `proxy_timeout`, `proxy_malformed`, `proxy_tls_failed`, or as the proxy's endpoint did.
        """
        return _Dialogue(self, protocol_factory).begin()


@implementer(IProtocol, IHalfCloseableProtocol)
@define(eq=False)
class _Relay:
    """The protocol of a connection to a proxy: hands on to the dialogue, and after that to the caller's protocol.

    It lives as long as the connection, and so holds nothing of the dialogue once that is over.
    """

    receiver: IProtocol
    half: IHalfCloseableProtocol | None
    transport: ITransport | None = None

    def makeConnection(self, transport: ITransport) -> None:
        self.transport = transport

    def connectionMade(self) -> None:
        """Nothing: the dialogue begins when the endpoint's Deferred fires."""

    def dataReceived(self, data: bytes) -> None:
        self.receiver.dataReceived(data)

    def readConnectionLost(self) -> None:
        half, transport = self.half, self.transport
        if half is not None:
            half.readConnectionLost()
        elif transport is not None:
            # As transports do for a protocol that knows nothing of half-closes.
            transport.loseConnection()

    def writeConnectionLost(self) -> None:
        if self.half is not None:
            self.half.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        self.transport = None
        self.receiver.connectionLost(reason)

    def logPrefix(self) -> str:
        return type(self.receiver).__name__


@implementer(IProtocol, IHalfCloseableProtocol, IProtocolFactory)
@define(eq=False)
class _Dialogue:
    """One call of `connect`: over when `_result` is None."""

    _endpoint: ConnectEndpoint
    _protocols: IProtocolFactory
    _reader: ResponseReader = field(init=False)
    _result: Deferred[IProtocol] | None = field(default=None, init=False)
    _dial: Deferred[IProtocol] | None = field(default=None, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _relay: _Relay | None = field(default=None, init=False)
    _place: int = field(default=-1, init=False)
    _interims: int = field(default=0, init=False)
    _first: bytes = field(default=b"", init=False)

    # The dial.

    def begin(self) -> Deferred[IProtocol]:
        result: Deferred[IProtocol] = Deferred(self._cancel)
        self._result = result
        self._reader = ResponseReader(self._endpoint.head_limit_bytes, _FIELD_LIMIT)
        self._dial = self._endpoint.proxy.connect(self)
        self._dial.addCallbacks(self._connected, self._unconnected)
        return result

    def buildProtocol(self, _address: IAddress | None) -> IProtocol:
        """Build what stands before the caller's protocol (IProtocolFactory)."""
        return _Relay(self, self)

    def doStart(self) -> None:
        self._protocols.doStart()

    def doStop(self) -> None:
        self._protocols.doStop()

    def _connected(self, relay: IProtocol) -> None:
        self._dial = None
        endpoint = self._endpoint
        self._relay = cast(_Relay, relay)
        transport = self._relay.transport
        if self._result is None or transport is None:
            self._drop()
            return
        self._place = len(endpoint.trace.attempts)
        endpoint.trace.attempts.append((endpoint.target.decode("ascii"), ""))
        self._deadline = endpoint.clock.callLater(endpoint.handshake_seconds, self._expired)
        target, authorization = endpoint.target, endpoint.authorization
        field = b"" if authorization is None else b"Proxy-Authorization: " + authorization + b"\r\n"
        transport.write(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n" + field + b"\r\n")

    def _unconnected(self, failure: Failure) -> None:
        self._dial = None
        result, self._result = self._result, None
        if result is not None:
            result.errback(failure)

    # What the relay hands on.

    def makeConnection(self, transport: ITransport) -> None:
        """Nothing: the relay keeps the transport (IProtocol)."""

    def connectionMade(self) -> None:
        """Nothing."""

    def dataReceived(self, data: bytes) -> None:
        """Read the answer (IProtocol)."""
        if self._result is None:
            return
        self._first = self._first or data[:1]
        reader = self._reader
        try:
            head = reader.feed(data)
            while head is not None and head.status < 200:
                self._interims += 1
                # 101 is an answer to an Upgrade, which was not asked for (RFC 9110 section 15.2.2).
                if self._interims > INTERIM_LIMIT or head.status == 101:
                    raise ProtocolError("origin_malformed", "interim answers that nobody asked for")
                head = reader.feed(reader.rest) if reader.rest else None
        except ProtocolError as error:
            self._misunderstood(error.reason)
            return
        if head is not None:
            self._answered(head, reader.rest)

    def readConnectionLost(self) -> None:
        """The proxy sent a FIN before its answer was complete (IHalfCloseableProtocol)."""
        self._closed()

    def writeConnectionLost(self) -> None:
        """Nothing: nothing of ours has ended."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone before the answer was complete (IProtocol)."""
        fault = describe_tls(reason.value)
        if fault:
            # In TLS 1.3 a proxy looks at our certificate after our side of the handshake is done.
            self._fail("proxy_tls_failed", f"TLS with an upstream proxy failed: {fault}.", "tls", fault)
        else:
            self._closed()

    def _closed(self) -> None:
        when = "in the middle of its answer" if self._first else "without an answer"
        self._fail("proxy_malformed", f"An upstream proxy closed the connection {when}.", "closed", f"closed {when}")

    def logPrefix(self) -> str:
        return "a tunnel through a proxy"

    # The ends.

    def _answered(self, head: ResponseHead, rest: bytes) -> None:
        if head.status < 300:
            # No 2xx to CONNECT has content, whatever its fields say (RFC 9110 section 9.3.6).
            self._hand_over(rest)
        elif head.status == 407:
            self._unauthorized(head)
        else:
            has_failed = head.status >= 500
            words = (
                f"An upstream proxy {'failed' if has_failed else 'refused the connection'} with status {head.status}."
            )
            self._fail(
                "proxy_failed" if has_failed else "proxy_refused", words, str(head.status), f"answered {head.status}"
            )

    def _hand_over(self, rest: bytes) -> None:
        result, relay = self._result, self._relay
        self._settle("")
        assert result is not None and relay is not None and relay.transport is not None, "an answer came on it"
        try:
            protocol = self._protocols.buildProtocol(relay.transport.getPeer())
            if protocol is None:
                raise NoProtocol()
            relay.receiver = protocol
            relay.half = IHalfCloseableProtocol(protocol, None)
            protocol.makeConnection(relay.transport)
        except Exception:
            # The failure belongs to whoever gave the factory, as with Twisted's own endpoints.
            abort(relay.transport)
            result.errback()
            return
        result.callback(protocol)
        # Only now does anybody listen. Should the listener have closed by now, it is not told what it need not hear.
        if rest and relay.transport is not None:
            relay.dataReceived(rest)

    def _unauthorized(self, head: ResponseHead) -> None:
        result, endpoint = self._result, self._endpoint
        if result is None:
            return
        self._settle("407")
        self._drop()
        challenges = head.fields.values(b"proxy-authenticate")
        is_sent = endpoint.authorization is not None
        result.errback(hop_unauthorized(endpoint.upstream, endpoint.trace, challenges, is_sent=is_sent))

    def _misunderstood(self, fault: str) -> None:
        if self._first in _TLS_RECORDS:
            fault = "it speaks TLS, so its url begins with https://"
        words = f"What an upstream proxy answered is not HTTP/1.1: {fault}."
        self._fail("proxy_malformed", words, "malformed", fault)

    def _expired(self) -> None:
        self._deadline = None
        words = "An upstream proxy took too long to answer."
        self._fail("proxy_timeout", words, "timeout", f"no answer in {self._endpoint.handshake_seconds:g} s")

    def _cancel(self, _: Deferred[IProtocol]) -> None:
        self._settle("cancelled")
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.cancel()
        self._drop()

    def _fail(self, code: str, words: str, outcome: str, detail: str) -> None:
        result = self._result
        if result is None:
            return
        self._settle(outcome)
        self._drop()
        failure: DialFailed = hop_failed(code, words, self._endpoint.upstream, self._endpoint.trace, detail)
        result.errback(failure)

    def _settle(self, outcome: str) -> None:
        """Wait for nothing more."""
        self._result = None
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        if self._place >= 0:
            self._endpoint.trace.attempts[self._place] = (self._endpoint.target.decode("ascii"), outcome)

    def _drop(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            abort(relay.transport)
