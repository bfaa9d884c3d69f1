"""Protocols of the code under test, which record their events."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from attrs import define, field
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.testing.network import Network
from egress.testing.peers import NetworkPeer

ORIGIN = "192.0.2.1"


class Plain(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[type[BaseException]] = []

    @property
    def tcp(self) -> Connection:
        """Its transport."""
        return cast(Connection, self.transport)

    @property
    def heard(self) -> bytes:
        """All bytes."""
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(type(cast(BaseException, reason.value)))


@implementer(IHalfCloseableProtocol)
class Half(Plain):
    """The same, and half-close."""

    saw_eof = False

    def readConnectionLost(self) -> None:
        self.saw_eof = True

    def writeConnectionLost(self) -> None:
        """Nothing hangs on it here."""


@implementer(IPushProducer)
@define(eq=False)
class Source:
    """Writes down what its consumer asks."""

    asked: list[str] = field(factory=list)

    def pauseProducing(self) -> None:
        """Note it."""
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.asked.append("resume")

    def stopProducing(self) -> None:
        """Note it."""
        self.asked.append("stop")


class Keeping(Factory[Plain]):
    """Builds protocols and keeps the last."""

    noisy = False

    def __init__(self, make: Callable[[], Plain] = Half) -> None:
        self.make = make
        self.built: list[Plain] = []

    @property
    def last(self) -> Plain:
        """The protocol built last."""
        return self.built[-1]

    def buildProtocol(self, addr: object) -> Plain:
        self.built.append(self.make())
        return self.built[-1]


class ClientKeeping(ClientFactory[Plain]):
    """Builds a client's protocol and keeps it."""

    noisy = False

    def buildProtocol(self, addr: object) -> Plain:
        self.last = Half()
        return self.last


class NetworkCase(SynchronousTestCase):
    """A network with one server of the code under test."""

    def setUp(self) -> None:
        self.network = Network()
        self.servers = Keeping()
        self.network.listen("127.0.0.1", 3128, self.servers)

    def connect(self, make: Callable[[], Plain] = Half) -> tuple[NetworkPeer, Plain]:
        """Dial the server; give both ends."""
        self.servers.make = make
        peer = self.network.dial("127.0.0.1", 3128)
        self.network.settle()
        return peer, self.servers.last
