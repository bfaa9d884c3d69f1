"""The facts of a client connection before its first octet, and the client that the facts identify."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, cast

from attrs import evolve
from twisted.internet.interfaces import ITransport

from egress.errors import Refused
from egress.interfaces import IIdentifier
from egress.model import Client, Connection
from egress.proxy.server import ProxyServer
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


class RecognisedConnection(Protocol):
    """A client connection, as its facts are gathered. See `ClientConnection` for the attributes."""

    connection: Connection
    connection_id: str
    read_peer_of: ReadPeer | None
    by_facts: Client
    client: Client
    settled_by: IIdentifier | None

    @property
    def server(self) -> ProxyServer:
        """The server."""


def gather(client: RecognisedConnection, transport: ITransport) -> Refused | None:
    """Gather the facts of a connection, and the client that they identify without the credentials of any request.

    Called for TLS before its handshake, and again after it.

    Args:
        client: the connection.
        transport: the transport of the connection.

    Returns:
        The refusal of the connection; None where the connection can be served.
    """
    server, connection = client.server, client.connection
    client.connection_id = client.connection_id or server.connection_id()
    if client.read_peer_of is not None:
        uid, gid = client.read_peer_of(transport)
        connection = client.connection = evolve(connection, uid=uid, gid=gid)
    identifier = server.identifier
    try:
        client.by_facts = client.client = identifier.recognise(connection)
        client.settled_by = identifier if identifier.is_settled(connection) else None
    except Refused as refused:
        client.by_facts = client.client = Client(connection.peer)
        client.settled_by = None
        return refused
    return None
