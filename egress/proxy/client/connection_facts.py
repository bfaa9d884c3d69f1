"""The facts of a client connection before its first octet, and the client that the facts identify."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from attrs import evolve, frozen
from twisted.internet.interfaces import ITransport

from egress.errors import Refused
from egress.interfaces import IIdentifier
from egress.model import Client, Connection
from egress.transports.peer_credentials import read_peer_credentials

ReadPeer: TypeAlias = Callable[[ITransport], tuple[int, int]]
"""Returns the uid and the gid of the connecting process; -1 for unknown values."""


def read_peer(transport: ITransport) -> tuple[int, int]:
    """Read the uid and gid of the process that connected to a unix socket (SO_PEERCRED, unix(7)).

    Args:
        transport: the transport of a unix socket, or TLS on a unix socket.

    Returns:
        The uid and the gid of the process at the time of its `connect`; -1 where the kernel has no credentials.
    """
    try:
        peer = read_peer_credentials(cast(Any, transport).socket)
    except OSError:
        return -1, -1
    return peer.uid, peer.gid


@frozen(eq=False)
class Facts:
    """The result of `gather`.

    Attributes:
        connection: the facts.
        client: the client that the facts identify, without the credentials of any request.
        settled_by: the identifier that gives this client for every request; None where each request is identified.
        refused: the refusal of the connection; None where the connection can be served.
    """

    connection: Connection
    client: Client
    settled_by: IIdentifier | None
    refused: Refused | None


def gather(identifier: IIdentifier, connection: Connection, read_peer: ReadPeer | None, transport: ITransport) -> Facts:
    """Gather the facts of a connection.

    Args:
        identifier: the identifier that recognises the client.
        connection: the facts that the listener supplies.
        read_peer: reads uid and gid of the peer of a unix socket; None for any other socket.
        transport: the transport of the connection.
    """
    if read_peer is not None:
        uid, gid = read_peer(transport)
        connection = evolve(connection, uid=uid, gid=gid)
    try:
        client = identifier.recognise(connection)
        return Facts(connection, client, identifier if identifier.is_settled(connection) else None, None)
    except Refused as refused:
        return Facts(connection, Client(connection.peer), None, refused)
