"""Waits until a client has read a response, before its next request is read."""

from __future__ import annotations

from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from egress.proxy.client.pipelining import PipelinedConnection, queue_held
from egress.proxy.states import FLUSHING
from egress.transports.contract import IStreamTransport


class FlushingConnection(PipelinedConnection, Protocol):
    """A client connection whose response is not flushed."""

    @property
    def transport(self) -> IStreamTransport:
        """Its transport."""

    def linger(self) -> None:
        """Send a FIN, and read on for a while."""


def flush(client: FlushingConnection) -> None:
    """Read the next request when the client has read the last response."""
    server = client.server
    client.step("finish_unread")
    server.timers.expect(client, server.limits.idle_seconds)
    client.transport.registerProducer(_FlushProducer(client), False)


@implementer(IPullProducer)
@define(eq=False)
class _FlushProducer:
    """Waits, as a producer of nothing, until a transport has written everything."""

    client: FlushingConnection
    _is_asked: bool = False

    def resumeProducing(self) -> None:
        """The first call comes at once (IConsumer.registerProducer), the second when all is written."""
        if self._is_asked:
            self._flushed()
        self._is_asked = True

    def stopProducing(self) -> None:
        """Do nothing: the connection is gone, and tells so itself."""

    def _flushed(self) -> None:
        client = self.client
        client.transport.unregisterProducer()
        if client.state is not FLUSHING:
            return
        server = client.server
        if client.displacement is not None or server.connections.is_stopping:
            client.linger()
            return
        client.step("flushed")
        server.timers.expect(client, server.limits.keepalive_seconds)
        client.resume()
        queue_held(client)
