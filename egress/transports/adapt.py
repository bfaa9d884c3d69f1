"""Gives proxy code its one kind of transport, whatever accepted or dialled the connection."""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import ITransport
from twisted.internet.tcp import Connection

from egress.transports.contract import IStreamTransport
from egress.transports.engine.transport import Transport
from egress.transports.twisted_tcp import TwistedTransport


def adapt(transport: ITransport) -> IStreamTransport:
    """Return the `IStreamTransport` of a connection. Called once a connection, in `makeConnection`.

    Args:
        transport: of the engine, of Twisted (TCP or unix socket), `TlsTransport`, or adapted already.

    Raises:
        TypeError: any other transport.
    """
    # By class: TLS transports of Twisted say that they provide what the transport below them provides.
    if type(transport) is Transport:
        return transport
    if isinstance(transport, Connection):
        return TwistedTransport(transport)
    if IStreamTransport.implementedBy(type(transport)):
        return cast(IStreamTransport, transport)
    raise TypeError(f"{type(transport).__name__} is not a stream transport")
