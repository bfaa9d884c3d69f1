"""A client that speaks TLS on the in-memory network, under the control of a test."""

from __future__ import annotations

from attrs import define, field
from OpenSSL import SSL

from egress.testing.network import Network
from egress.testing.peers import NetworkPeer
from tests.upstream.certificates import Identity

_PIECE = 16_384


def client_context(own: Identity | None = None, versions: tuple[int, int] = (0, 0)) -> SSL.Context:
    """Make a client's context. It believes every server.

    Args:
        own: the certificate to show.
        versions: the lowest and highest version of TLS; 0 for any.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(versions[0])
    context.set_max_proto_version(versions[1])
    if own is not None:
        context.use_certificate(own.certificate)
        context.use_privatekey(own.key)
    return context


@define(eq=False)
class TlsPeer:
    """A talker, and TLS on it.

    Attributes:
        network: what it is on.
        peer: the connection below.
        context: of its TLS.
        received: what it heard, in the clear.
        saw_notify: the other side's close_notify came.
        fault: why TLS failed, in OpenSSL's words.
    """

    network: Network
    peer: NetworkPeer
    context: SSL.Context
    received: bytes = b""
    saw_notify: bool = False
    fault: str = ""
    tls: SSL.Connection = field(init=False)
    _outbox: bytes = b""
    _is_ready: bool = False

    def __attrs_post_init__(self) -> None:
        self.tls = SSL.Connection(self.context)
        self.tls.set_connect_state()
        self.settle()

    def says(self, data: bytes) -> None:
        """Send bytes, and let all that follows happen."""
        self._outbox += data
        self.settle()

    def notifies(self) -> None:
        """Send close_notify."""
        self.tls.shutdown()
        self.settle()

    def take(self) -> bytes:
        """Give what was heard since the last call."""
        heard, self.received = self.received, b""
        return heard

    def settle(self) -> None:
        """Let everything happen."""
        while self._step():
            pass

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.network.advance(seconds)
        self.settle()

    def _step(self) -> bool:
        self.network.settle()
        came = self.peer.take()
        if came:
            self.tls.bio_write(came)
        try:
            self._move()
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.saw_notify = True
        except SSL.Error as error:
            self.fault = self.fault or str(error)
        try:
            going = self.tls.bio_read(1 << 20)
        except SSL.WantReadError:
            return bool(came)
        if not self.peer.is_closed:
            self.peer.says(going)
        return True

    def _move(self) -> None:
        if not self._is_ready:
            self.tls.do_handshake()
            self._is_ready = True
        if self._outbox:
            outbox, self._outbox = self._outbox, b""
            for start in range(0, len(outbox), _PIECE):
                self.tls.sendall(outbox[start : start + _PIECE])
        while not self.saw_notify:
            self.received += self.tls.recv(_PIECE)
