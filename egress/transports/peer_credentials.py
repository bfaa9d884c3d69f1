"""Reads the credentials of the process at the other end of a unix socket (SO_PEERCRED, unix(7))."""

from __future__ import annotations

import socket
import struct
from typing import Any, Protocol

from attrs import frozen

_UCRED = struct.Struct("iII")  # struct ucred: pid, uid, gid


class SocketOptions(Protocol):
    """The method of a socket that reads its options; a test passes an object of its own."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes:
        """Read one socket option (getsockopt(2))."""


@frozen
class PeerCredentials:
    """The credentials of a process.

    The credentials are those at the call of `connect` for a connecting process, and of `listen` for a listening
    process.

    Attributes:
        pid: the process identifier.
        uid: the effective user of the process.
        gid: the effective group of the process.
    """

    pid: int
    uid: int
    gid: int


def read_peer_credentials(connection: SocketOptions) -> PeerCredentials:
    """Read the credentials of the peer of a connected unix socket.

    Args:
        connection: the socket.

    Raises:
        OSError: the kernel has no SO_PEERCRED, or none for this socket.
    """
    option: Any = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        raise OSError("SO_PEERCRED is not supported")
    packed = connection.getsockopt(socket.SOL_SOCKET, option, _UCRED.size)
    if len(packed) != _UCRED.size:
        raise OSError("SO_PEERCRED gave a structure of an unknown size")
    return PeerCredentials(*_UCRED.unpack(packed))
