"""The reactor of the simulated network: makes Twisted's transports, and delivers events as epoll does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

from attrs import define, field
from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IListeningPort,
    IReactorFDSet,
    IReactorTCP,
    IReactorTime,
    IReadDescriptor,
    IReadWriteDescriptor,
    IWriteDescriptor,
)
from twisted.internet.protocol import ClientFactory, P, ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.testing.datagrams import MemoryDatagramSocket
from egress.testing.kernel import Kernel
from egress.testing.sockets import ERROR, HANGUP, READABLE, WRITABLE, MemorySocket, literal
from egress.testing.transport import NetworkConnector, NetworkPort
from egress.transports.twisted_tcp import count_unsent


@implementer(IReactorTCP, IReactorTime, IReactorFDSet)
@define(eq=False)
class NetworkReactor:
    """The part of a reactor that code under test may use.

    Attributes:
        kernel: the simulated kernel.
        failures: exceptions that escaped from protocols and delayed calls, as Twisted would log them.
        dialled: every attempt to connect, in order.
    """

    kernel: Kernel
    failures: list[Failure] = field(factory=list)
    dialled: list[tuple[str, int]] = field(factory=list)

    def record_failure(self) -> Failure:
        """Add the exception that is being handled to `failures`."""
        failure = Failure()
        self.failures.append(failure)
        return failure

    def open_socket(self, family: socket.AddressFamily) -> socket.socket:
        """Open a simulated socket where Twisted expects one of the socket module."""
        return cast(socket.socket, self.kernel.socket(family))

    def open_datagrams(self, family: socket.AddressFamily) -> socket.socket:
        """Open a simulated UDP socket where one of the socket module is expected."""
        made = MemoryDatagramSocket(self.kernel, family, self.kernel.fresh_descriptor())
        self.kernel.sockets[made.descriptor] = made
        return cast(socket.socket, made)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[P],
        timeout: float = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Dial an address literal."""
        try:
            self.dialled.append((literal(host), port))
        except AssertionError:
            # The caller may convert the exception into a response, but the test must fail nonetheless.
            self.record_failure()
            raise
        connector = NetworkConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return cast(IConnector, connector)

    def listenTCP(self, port: int, factory: ServerFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Listen on an address literal, or on every loopback address."""
        listening = NetworkPort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def seconds(self) -> float:
        """Return the time (IReactorTime)."""
        return self.kernel.clock.seconds()

    def callLater(
        self,
        delay: float,
        callable: Callable[..., Any],  # noqa: A002
        *args: object,
        **kwargs: object,
    ) -> IDelayedCall:
        """Schedule a call (IReactorTime)."""
        return self.kernel.clock.callLater(delay, callable, *args, **kwargs)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Return the pending delayed calls (IReactorTime)."""
        return self.kernel.clock.getDelayedCalls()

    def addReader(self, reader: IReadDescriptor) -> None:
        """Poll a descriptor for reading (IReactorFDSet)."""
        self._watch(reader, READABLE)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Poll a descriptor for writing (IReactorFDSet)."""
        self._watch(writer, WRITABLE)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Stop polling for reading (IReactorFDSet)."""
        self._ignore(reader, READABLE)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Stop polling for writing (IReactorFDSet)."""
        self._ignore(writer, WRITABLE)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """Stop polling all descriptors (IReactorFDSet)."""
        everyone: list[IReadDescriptor | IWriteDescriptor] = [*self.getReaders(), *self.getWriters()]
        for each in everyone:
            self._ignore(each, READABLE | WRITABLE)
        return list(dict.fromkeys(everyone))

    def getReaders(self) -> list[IReadDescriptor]:
        """Return the descriptors polled for reading (IReactorFDSet)."""
        return [cast(IReadDescriptor, each) for each in self._descriptors(READABLE)]

    def getWriters(self) -> list[IWriteDescriptor]:
        """Return the descriptors polled for writing (IReactorFDSet)."""
        return [cast(IWriteDescriptor, each) for each in self._descriptors(WRITABLE)]

    def unsent_bytes(self) -> int:
        """Count the bytes in the buffers of open transports."""
        transports = [each for each in self._descriptors() if isinstance(each, tcp.Connection)]
        return sum(map(count_unsent, transports))

    def _descriptors(self, event: int = 0) -> list[object]:
        """Return the transports and ports; with an event, those polled for it."""
        return [
            each.on_events.descriptor
            for each in self.kernel.sockets.values()
            if isinstance(each.on_events, _Dispatch) and each.interest & event == event
        ]

    def _watch(self, descriptor: IReadDescriptor | IWriteDescriptor, event: int) -> None:
        watched = self.kernel.sockets[descriptor.fileno()]
        if watched.on_events is None:
            watched.on_events = _Dispatch(self, watched, cast(IReadWriteDescriptor, descriptor))
        # epoll always reports errors and hang-ups of descriptors in its set. Twisted removes a descriptor that waits
        # for neither reading nor writing, which then gets no event, not even for a RST.
        watched.interest |= event | ERROR | HANGUP
        self.kernel.wake(watched)

    def _ignore(self, descriptor: IReadDescriptor | IWriteDescriptor, event: int) -> None:
        watched = self.kernel.sockets.get(descriptor.fileno())
        if watched is not None:
            watched.interest &= ~event
            if not watched.interest & (READABLE | WRITABLE):
                watched.interest = 0


@define(eq=False)
class _Dispatch:
    """Turns events into calls, as `_doReadOrWrite` and `_disconnectSelectable` of twisted.internet.posixbase do."""

    reactor: NetworkReactor
    watched: MemorySocket
    descriptor: IReadWriteDescriptor

    def __call__(self, events: int) -> None:
        why: object = None
        is_reading = False
        if events & (HANGUP | ERROR) and not events & READABLE:
            is_reading = bool(self.watched.interest & READABLE)
            why = ConnectionDone() if is_reading else ConnectionLost()
        else:
            try:
                if events & READABLE:
                    why = self.descriptor.doRead()
                    is_reading = True
                if not why and events & WRITABLE:
                    why = self.descriptor.doWrite()
                    is_reading = False
            except Exception as error:
                self.reactor.record_failure()
                why = error
        if isinstance(why, BaseException):
            self._disconnect(why, is_reading)

    def _disconnect(self, why: BaseException, is_reading: bool) -> None:
        descriptor = self.descriptor
        self.reactor.removeReader(descriptor)
        reason = Failure(why)
        try:
            if is_reading and isinstance(why, ConnectionDone) and IHalfCloseableDescriptor.providedBy(descriptor):
                cast(IHalfCloseableDescriptor, descriptor).readConnectionLost(reason)
            else:
                self.reactor.removeWriter(descriptor)
                descriptor.connectionLost(reason)
        except Exception:
            self.reactor.record_failure()
