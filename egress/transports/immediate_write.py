"""Writing without a turn of the reactor."""

from __future__ import annotations

from twisted.internet.interfaces import ITransport
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol

from egress.transports.engine.transport import Transport


def send(transport: ITransport, data: bytes) -> bool:
    """Write, at once where that is possible.

    Twisted's TCP transports keep what is written until the reactor next says that the socket takes it. That costs two
    calls of epoll_ctl and an event for each write, a fifth of a small request's time. Where nothing waits before it,
    the kernel is asked first, and only what it did not take is handed to the transport. An error is left for the
    transport to meet: it will be told as ever. The engine's transports do so by themselves, or keep a little until the
    end of the engine's turn; that counts as gone, and if it is not, the next call says so.

    Args:
        transport: any; those that are neither the engine's nor Twisted's TCP transports are written to as usual; TLS on
            the engine's tells what has become of it.
        data: not empty.

    Returns:
        Whether all of it is gone. If not, or where that cannot be told, some may wait in the transport.
    """
    # Asked by its exact type: TLS transports pass other questions on to the transport below them.
    if type(transport) is Transport:
        transport.write(data)
        return transport.unsent is None
    if isinstance(transport, TLSMemoryBIOProtocol):
        transport.write(data)
        below = transport.transport
        return type(below) is Transport and below.unsent is None
    if (
        isinstance(transport, Connection)
        and transport.connected
        and not transport.dataBuffer
        and not transport._tempDataLen
        and not transport.TLS
    ):
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):
            if sent == len(data):
                return True
            data = data[sent:]
    transport.write(data)
    return False


def has_unsent(transport: ITransport) -> bool:
    """Tell whether some of what was written is known to wait, because the other side does not read."""
    if type(transport) is Transport:
        return transport.unsent is not None
    if isinstance(transport, TLSMemoryBIOProtocol):
        below = transport.transport
        return below is not None and has_unsent(below)
    return isinstance(transport, Connection) and bool(transport.dataBuffer or transport._tempDataLen)


def is_flushed(transport: ITransport | None) -> bool:
    """Tell whether the kernel has taken all that was written, so that a close needs no deadline of its own.

    Returns:
        False where that cannot be told.
    """
    return type(transport) is Transport and transport.is_flushed
