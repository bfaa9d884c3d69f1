"""The local end of a route in tests of routes."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed
from egress.model import Authority
from egress.transports.contract import IStreamTransport


class Ear(Protocol):
    """Keeps what it hears, and when."""

    def __init__(self) -> None:
        self.heard = b""
        self.events: list[str] = []
        self.end: Failure | None = None

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.events.append("data")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = reason
        self.events.append("lost")

    @property
    def stream(self) -> IStreamTransport:
        """Its transport, as a stream."""
        return cast(IStreamTransport, self.transport)


@implementer(IHalfCloseableProtocol)
class HalfEar(Ear):
    """Also hears of half-closes."""

    def readConnectionLost(self) -> None:
        self.events.append("fin")

    def writeConnectionLost(self) -> None:
        self.events.append("our fin")


class Ears(Factory):
    """Builds them, and counts starts and stops."""

    noisy = False

    def __init__(self, kind: type[Ear] | None = HalfEar) -> None:
        self.kind = kind
        self.built: list[Ear] = []
        self.starts = 0
        self.stops = 0

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self.kind is None:
            return None
        self.built.append(self.kind())
        return self.built[-1]

    def doStart(self) -> None:
        self.starts += 1

    def doStop(self) -> None:
        self.stops += 1


class Refusing(Ears):
    """Fails to build any."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        raise RuntimeError("no protocol today")


class Broken(Ear):
    """Fails when it meets its transport."""

    def makeConnection(self, transport: ITransport) -> None:
        raise RuntimeError("no transport today")


def place(host: str, port: int) -> Authority:
    """Give the authority of an address or a name."""
    try:
        return Authority(host, port, ip_address(host))
    except ValueError:
        return Authority(host, port)


def dial_failed(failure: Failure) -> DialFailed:
    """Take the DialFailed out of a failure."""
    problem = failure.value
    assert isinstance(problem, DialFailed), failure
    return problem
