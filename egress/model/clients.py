"""Clients, facts of their connections, and secrets."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class Connection:
    """Facts of one accepted connection.

    Attributes:
        listener: name of the listener in the configuration.
        peer: address of the peer; "" on a unix socket.
        peer_port: port of the peer; 0 on a unix socket.
        uid: user of the process that connected to a unix socket (SO_PEERCRED, unix(7)); -1 on any other socket.
        gid: group of that process; -1 on any other socket.
        certificate: name in the verified client certificate; "" without one.
    """

    listener: str
    peer: str
    peer_port: int
    uid: int = -1
    gid: int = -1
    certificate: str = ""


@frozen
class Client:
    """The party that a connection or request belongs to.

    Attributes:
        key: the identifier of the client in limits, pools, cached decisions and the audit log.
        labels: facts that rules match, each ``kind:value``: ``listener:agents``, ``address:127.0.0.1``.
    """

    key: str
    labels: frozenset[str] = frozenset()


@frozen
class Secret:
    """A secret string, which ``repr``, ``str`` and comparison leave out."""

    _value: str = field(repr=False, eq=False)

    def reveal(self) -> str:
        """Return the secret itself, for the message that must contain it."""
        return self._value

    def __str__(self) -> str:
        return "Secret()"
