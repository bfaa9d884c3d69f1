"""The facts of a client connection before it has sent anything, and the client that they tell."""

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


@frozen(eq=False)
class Facts:
    """The result of `gather`.

    Attributes:
        connection: the facts.
        client: the client that they tell, without anything that a request shows.
        settled_by: the identifier that gives this client for every request; None where each request is identified.
        refused: why nobody can be served on the connection; None where somebody can.
    """

    connection: Connection
    client: Client
    settled_by: IIdentifier | None
    refused: Refused | None


def gather(identifier: IIdentifier, connection: Connection, read_peer: ReadPeer | None, transport: ITransport) -> Facts:
    """Gather the facts of a connection.

    Args:
        identifier: recognises the client.
        connection: what the listener tells.
        read_peer: reads uid and gid of the peer of a unix socket; None for any other socket.
        transport: of the connection.
    """
    if read_peer is not None:
        uid, gid = read_peer(transport)
        connection = evolve(connection, uid=uid, gid=gid)
    try:
        client = identifier.recognise(connection)
        return Facts(connection, client, identifier if identifier.is_settled(connection) else None, None)
    except Refused as refused:
        return Facts(connection, Client(connection.peer), None, refused)
