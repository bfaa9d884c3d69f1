"""What is known of a client's connection before it has said anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from attrs import evolve
from twisted.internet.interfaces import ITransport

from egress.errors import Refused
from egress.model import Client
from egress.transports.peer_credentials import read_peer_credentials

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

ReadPeer: TypeAlias = Callable[[ITransport], tuple[int, int]]
"""Gives the uid and the gid of whoever connected; -1 for what is not known."""


def read_peer(transport: ITransport) -> tuple[int, int]:
    """Ask the kernel who connected to a unix socket (SO_PEERCRED, unix(7)).

    Args:
        transport: of a unix socket, or TLS on one.

    Returns:
        The uid and the gid that the process had when it connected; -1 where the kernel does not tell.
    """
    try:
        peer = read_peer_credentials(cast(Any, transport).socket)
    except OSError:
        return -1, -1
    return peer.uid, peer.gid


def gather(client: ClientConnection, transport: ITransport) -> Refused | None:
    """Gather the facts of a connection, and see whose it is by them.

    Args:
        client: the connection's protocol, which keeps them.
        transport: of the connection.

    Returns:
        None, or why nobody can be served on it.
    """
    server = client.server
    client.connection_id = client.connection_id or server.connection_id()
    if client.read_peer_of is not None:
        uid, gid = client.read_peer_of(transport)
        client.connection = evolve(client.connection, uid=uid, gid=gid)
    refused = None
    identifier = server.identifier
    try:
        client.by_facts = identifier.recognise(client.connection)
        client.settled_by = identifier if identifier.is_settled(client.connection) else None
    except Refused as error:
        client.by_facts, refused = Client(client.connection.peer), error
    client.client = client.by_facts
    return refused
