"""A working proxy for routes with several proxies, which supports CONNECT only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from egress.testing.network import Network


class _Far(Protocol):
    """Its connection to where it was asked to go."""

    def __init__(self, near: _Near) -> None:
        self._near = near

    def connectionMade(self) -> None:
        self._near.reached(self)

    def dataReceived(self, data: bytes) -> None:
        self._near.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._near.close()

    def write(self, data: bytes) -> None:
        """Send."""
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> None:
        """Close."""
        assert self.transport is not None
        self.transport.loseConnection()


class _Reaching(ClientFactory[_Far]):
    noisy = False

    def __init__(self, near: _Near) -> None:
        self._near = near

    def buildProtocol(self, addr: IAddress | None) -> _Far:
        return _Far(self._near)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._near.answer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


class _Near(Protocol):
    """Its connection to its client."""

    def __init__(self, proxy: ForwardProxy) -> None:
        self._proxy = proxy
        self._head = b""
        self._far: _Far | None = None
        self._is_asked = False

    def dataReceived(self, data: bytes) -> None:
        if self._far is not None:
            self._far.write(data)
            return
        self._head += data
        if b"\r\n\r\n" in self._head and not self._is_asked:
            self._is_asked = True
            self._proxy.ask(self, self._head)

    def reached(self, far: _Far) -> None:
        """Say that the tunnel stands."""
        self._far = far
        self.answer(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def answer(self, data: bytes) -> None:
        """Send an answer."""
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Close."""
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport = None
        if self._far is not None:
            self._far.close()


class ForwardProxy(Factory):
    """Listens, and goes where it is asked to.

    Attributes:
        asked: the heads that it got, in order.
        refusals: what it answers for some targets instead; b"" is nothing at all.
    """

    noisy = False

    def __init__(self, network: Network, names: Mapping[str, str]) -> None:
        self.asked: list[bytes] = []
        self.refusals: dict[str, bytes] = {}
        self._network = network
        self._names = names

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return _Near(self)

    def ask(self, near: _Near, head: bytes) -> None:
        """Take a request."""
        self.asked.append(head)
        target = head.split(b" ")[1].decode()
        if target in self.refusals:
            near.answer(self.refusals[target])
            return
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        self._network.reactor.connectTCP(self._names.get(host, host), int(port), _Reaching(near))

    @property
    def targets(self) -> list[str]:
        """Where it was asked to go, in order."""
        return [head.split(b" ")[1].decode() for head in self.asked]
