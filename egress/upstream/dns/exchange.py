"""One question to one name server, by UDP, and by TCP if the answer does not fit into a datagram."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Protocol, cast

from attrs import define, field, frozen
from twisted.internet.interfaces import IConnector, IReactorFDSet, IReactorTCP, ITCPTransport
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure

from egress.transports.datagram_socket import DatagramSocket, OpenSocket, open_datagram_socket
from egress.upstream.dns.servers import NameServer
from egress.upstream.dns_settings import ServerAddress
from egress.wire.dns_message import NO_ERROR, NO_SUCH_NAME, Answer, Question, read_answer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

TCP_SECONDS = 5.0
"""The deadline of a connection to a name server. The deadline of the look-up is usually shorter."""

# Datagrams that are no answer to the question. More of them may be an attempt to guess port and identity; the question
# is then asked by TCP.
_WRONG_LIMIT = 16

_STATUS = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@frozen(eq=False)
class Sockets:
    """The source of sockets.

    Attributes:
        reactor: the reactor, which polls UDP sockets and provides connectTCP.
        open_datagrams: opens a UDP socket.
    """

    reactor: IReactorFDSet
    open_datagrams: OpenSocket = open_datagram_socket


class Asker(Protocol):
    """The receiver of the outcome of an exchange: exactly one call, or none after the exchange was closed."""

    def answered(self, exchange: Exchange, answer: Answer, /) -> None:
        """Called with an answer of status `NO_ERROR` or `NO_SUCH_NAME`."""

    def failed(self, exchange: Exchange, problem: str, /) -> None:
        """Called if the server gives no such answer. The problem is a clause without addresses."""


@define(eq=False)
class Exchange:
    """One question to one server, with a local port and an identity of its own.

    Attributes:
        sockets: the source of sockets.
        server: the name server.
        question: the question that is sent by UDP.
        asker: the receiver of the outcome.
    """

    sockets: Sockets
    server: NameServer
    question: Question
    asker: Asker
    _datagrams: DatagramSocket | None = field(default=None, init=False)
    _stream: _Stream | None = field(default=None, init=False)
    _wrong: int = field(default=0, init=False)
    _is_closed: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Send the question, or repeat it unchanged, because a datagram may have been lost."""
        if self._stream is not None:
            return
        try:
            if self._datagrams is None:
                reactor, open_datagrams, at = self.sockets.reactor, self.sockets.open_datagrams, self.server.at
                self._datagrams = DatagramSocket(reactor, open_datagrams, at.address, at.port, self)
            self._datagrams.send(self.question.encode())
        except OSError as error:
            self.datagram_failed(error)

    def close(self) -> None:
        """Close all sockets. The asker is not called after that; harmless when closed."""
        self._is_closed = True
        self._close_datagrams()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def datagram_received(self, data: bytes) -> None:
        """Read a datagram from the server's address (DatagramReceiver)."""
        try:
            answer = read_answer(data, self.question)
        except ValueError:
            self._fail("a name server gave a malformed answer")
            return
        if answer is None:
            self._wrong += 1
        if self._wrong >= _WRONG_LIMIT or (answer is not None and answer.is_truncated):
            self._ask_by_tcp()
        elif answer is not None:
            self._conclude(answer)

    def datagram_failed(self, error: OSError) -> None:
        """Fail after the end of the socket (DatagramReceiver)."""
        if error.errno in _NO_DESCRIPTOR:
            self._fail("no socket could be opened to ask a name server")
        else:
            self._fail("a name server cannot be reached")

    def stream_answered(self, data: bytes) -> None:
        """Read the message of a connection."""
        assert self._stream is not None
        try:
            answer = read_answer(data, self._stream.question)
        except ValueError:
            answer = None
        if answer is None or answer.is_truncated:
            self._fail("a name server gave a malformed answer by TCP")
        else:
            self._conclude(answer)

    def stream_failed(self) -> None:
        """Fail after the end of a connection without a message."""
        self._fail("a name server gave no answer by TCP")

    def _ask_by_tcp(self) -> None:
        self._close_datagrams()
        self._stream = _Stream(self, Question(make_identity(), self.question.name, self.question.kind))
        self._stream.connect(cast(IReactorTCP, self.sockets.reactor), self.server.at)

    def _conclude(self, answer: Answer) -> None:
        if answer.is_referral:
            self._fail("a name server does not resolve names of others")
        elif answer.status not in (NO_ERROR, NO_SUCH_NAME):
            self._fail(f"a name server answered {_STATUS.get(answer.status, f'with status {answer.status}')}")
        else:
            self.close()
            self.asker.answered(self, answer)

    def _fail(self, problem: str) -> None:
        if not self._is_closed:
            self.close()
            self.asker.failed(self, problem)

    def _close_datagrams(self) -> None:
        datagrams, self._datagrams = self._datagrams, None
        if datagrams is not None:
            datagrams.close()


def make_identity() -> int:
    """Make a random identity."""
    return int.from_bytes(os.urandom(2), "big")


class _Stream(StreamProtocol):
    """A connection for one question. A message follows its length in two octets (RFC 1035 section 4.2.2)."""

    def __init__(self, exchange: Exchange, question: Question) -> None:
        self.question = question
        self._exchange: Exchange | None = exchange
        self._received = b""
        self._connector: IConnector | None = None

    def connect(self, reactor: IReactorTCP, at: ServerAddress) -> None:
        connector = reactor.connectTCP(at.address, at.port, _StreamFactory(self), timeout=TCP_SECONDS)
        if self._exchange is None:
            # The attempt has failed already.
            connector.disconnect()
        else:
            self._connector = connector

    def close(self) -> None:
        self._exchange = None
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.disconnect()

    def fail(self) -> None:
        if self._exchange is not None:
            self._exchange.stream_failed()

    def connectionMade(self) -> None:
        message = self.question.encode()
        cast(ITCPTransport, self.transport).write(struct.pack("!H", len(message)) + message)

    def dataReceived(self, data: bytes) -> None:
        if self._exchange is None:
            return
        self._received += data
        if len(self._received) >= 2:
            (length,) = struct.unpack_from("!H", self._received)
            if len(self._received) >= 2 + length:
                self._exchange.stream_answered(self._received[2 : 2 + length])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.fail()


class _StreamFactory(ClientFactory):
    noisy = False

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def buildProtocol(self, addr: IAddress | None) -> _Stream:
        return self._stream

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._stream.fail()
