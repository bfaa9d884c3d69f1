"""Adapts every kind of transport to `IStreamTransport`."""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import ITransport
from twisted.internet.tcp import Connection

from egress.transports.contract import IStreamTransport
from egress.transports.engine.transport import Transport
from egress.transports.twisted_tcp import TwistedTransport


def adapt(transport: ITransport) -> IStreamTransport:
    """Return the `IStreamTransport` of a connection. Called once for each connection, in `makeConnection`.

    Args:
        transport: a transport of the engine or of Twisted (TCP or unix socket), a `TlsTransport`, or an adapted
            transport.

    Raises:
        TypeError: any other transport.
    """
    # By class, because a TLS transport of Twisted claims every interface of the transport below it.
    if type(transport) is Transport:
        return transport
    if isinstance(transport, Connection):
        return TwistedTransport(transport)
    if IStreamTransport.implementedBy(type(transport)):
        return cast(IStreamTransport, transport)
    raise TypeError(f"{type(transport).__name__} is not a stream transport")
