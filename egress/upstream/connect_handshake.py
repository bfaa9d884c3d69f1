"""The CONNECT handshake with an HTTP proxy (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from egress.errors import ProtocolError
from egress.tls.errors import describe_upstream
from egress.upstream.handshake_strategy import HandshakeRefused, Reply
from egress.upstream.hop_errors import HopFault, tls_failed, unauthorized
from egress.upstream.replaceable_protocol import ReplaceableProtocol
from egress.wire.response_head import ResponseHead, ResponseReader

INTERIM_LIMIT = 8
"""The largest number of interim responses (1xx) before the final response."""

_TLS_RECORDS = (b"\x15", b"\x16")  # the first octets of an alert and a handshake record, RFC 8446 section 5.1
_INCOMPLETE = Reply()


@define(eq=False)
class ConnectHandshake:
    """Requests a tunnel to a target from a proxy (HandshakeStrategy).

    The handshake fails with `proxy_auth_required`, `proxy_refused`, `proxy_failed`, `proxy_timeout`, `proxy_malformed`
    or `proxy_tls_failed`. Outcomes in the trace are a status, `timeout`, `malformed`, `closed` and `tls`.

    Attributes:
        authority: the target in the form for CONNECT: `host:443`, `[2001:db8::1]:443`.
        fields: the lines of all fields besides Host and Proxy-Authorization, each with its CRLF.
        authorization: the value of Proxy-Authorization; None for no field.
        head_limit_bytes: the largest size of the response head.
    """

    authority: bytes
    fields: bytes = field(repr=False)
    authorization: bytes | None = field(repr=False)
    head_limit_bytes: int
    _reader: ResponseReader = field(init=False)
    _interims: int = field(default=0, init=False)
    _first: bytes = field(default=b"", init=False)

    @_reader.default
    def _make_reader(self) -> ResponseReader:
        return ResponseReader(self.head_limit_bytes)

    @property
    def target(self) -> str:
        """The target as text (HandshakeStrategy)."""
        return self.authority.decode("ascii")

    def build_connection(self, receiver: IProtocol) -> ReplaceableProtocol:
        """Build the protocol of the connection to the proxy (HandshakeStrategy)."""
        return ReplaceableProtocol(receiver)

    def start(self) -> bytes:
        """Return the request (HandshakeStrategy)."""
        target, authorization = self.authority, self.authorization
        credentials = b"" if authorization is None else b"Proxy-Authorization: " + authorization + b"\r\n"
        return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (target, target, self.fields, credentials)

    def read(self, data: bytes) -> Reply:
        """Read the response head (HandshakeStrategy)."""
        self._first = self._first or data[:1]
        reader = self._reader
        try:
            head = reader.feed(data)
            while head is not None and head.status < 200:
                self._interims += 1
                # 101 answers an Upgrade field, and the request has none (RFC 9110 section 15.2.2).
                if self._interims > INTERIM_LIMIT or head.status == 101:
                    raise ProtocolError("origin_malformed", "interim answers that nobody asked for")
                head = reader.feed(reader.rest) if reader.rest else None
        except ProtocolError as error:
            raise HandshakeRefused(self._malformed(error.reason)) from None
        if head is None:
            return _INCOMPLETE
        if head.status >= 300:
            raise HandshakeRefused(self._refused(head))
        # A 2xx response to CONNECT has no content, regardless of its fields (RFC 9110 section 9.3.6).
        return Reply(rest=reader.rest)

    def lost(self, reason: Failure | None) -> HopFault:
        """Describe the loss of the connection (HandshakeStrategy).

        In TLS 1.3 a proxy verifies the client certificate after the client's side of the handshake is complete.
        """
        fault = describe_upstream(reason.value) if reason is not None else ""
        if fault:
            return tls_failed(fault)
        when = "in the middle of its answer" if self._first else "without an answer"
        return HopFault(
            "proxy_malformed", f"An upstream proxy closed the connection {when}.", "closed", f"closed {when}"
        )

    def expired(self, seconds: float) -> HopFault:
        """Describe a missing response (HandshakeStrategy)."""
        words = "An upstream proxy took too long to answer."
        return HopFault("proxy_timeout", words, "timeout", f"no answer in {seconds:g} s")

    def _malformed(self, fault: str) -> HopFault:
        if self._first in _TLS_RECORDS:
            fault = "it speaks TLS, so its url begins with https://"
        words = f"What an upstream proxy answered is not HTTP/1.1: {fault}."
        return HopFault("proxy_malformed", words, "malformed", fault)

    def _refused(self, head: ResponseHead) -> HopFault:
        status = head.status
        if status == 407:
            challenges = head.fields.values(b"proxy-authenticate")
            return unauthorized(challenges, is_sent=self.authorization is not None)
        if status == 508:
            words = "An upstream proxy has found that the request came back to it, or to a proxy behind it."
            return HopFault("loop_detected", words, "508", "answered 508: the route is a loop")
        code, verb = ("proxy_failed", "failed") if status >= 500 else ("proxy_refused", "refused the connection")
        words = f"An upstream proxy {verb} with status {status}."
        return HopFault(code, words, str(status), f"answered {status}")
