"""The proxy's end of TLS, controlled by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer


class Speaker(Protocol):
    """One connection of a proxy that speaks TLS.

    Attributes:
        heard: what came, in the clear.
        end: why it ended.
    """

    def __init__(self, answer: Callable[[Speaker, bytes], object] | None) -> None:
        self.heard = b""
        self.end: Failure | None = None
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if self._answer is not None:
            self._answer(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = reason

    @property
    def tls(self) -> TLSMemoryBIOProtocol:
        """Its side of TLS."""
        assert isinstance(self.transport, TLSMemoryBIOProtocol)
        return self.transport

    def says(self, data: bytes) -> None:
        """Send bytes."""
        self.tls.write(data)


@implementer(IOpenSSLServerConnectionCreator)
class TlsProxy(Factory):
    """Listens, and keeps its connections.

    Attributes:
        speakers: one for each connection, in order.
        names: the server names that were asked for.
    """

    noisy = False

    def __init__(self, context: SSL.Context, answer: Callable[[Speaker, bytes], object] | None = None) -> None:
        self.speakers: list[Speaker] = []
        self.names: list[bytes | None] = []
        self._context = context
        self._answer = answer
        context.set_tlsext_servername_callback(lambda connection: self.names.append(connection.get_servername()))

    def serverConnectionForTLS(self, _: Any) -> SSL.Connection:
        """Make one side of TLS."""
        return SSL.Connection(self._context)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        self.speakers.append(Speaker(self._answer))
        return self.speakers[-1]

    def factory(self, clock: IReactorTime) -> TLSMemoryBIOFactory:
        """Give what listens."""
        made = TLSMemoryBIOFactory(self, False, self, clock)
        made.protocol = TLSMemoryBIOProtocol
        return made

    @property
    def speaker(self) -> Speaker:
        """The last connection."""
        return self.speakers[-1]
