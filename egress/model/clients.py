"""Who calls."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class Connection:
    """The facts of one accepted connection.

    Attributes:
        listener: the listener's name in the configuration.
        peer: the other side's address, "" on a unix socket.
        peer_port: 0 on a unix socket.
        uid: of the process that connected to a unix socket (SO_PEERCRED, unix(7)); -1 on any other.
        gid: the same for its group.
        certificate: the name in the certificate that the client showed and that was verified; "" without one.
    """

    listener: str
    peer: str
    peer_port: int
    uid: int = -1
    gid: int = -1
    certificate: str = ""


@frozen
class Client:
    """Who is calling, as far as it is known.

    Attributes:
        key: tells clients apart in limits, pools and memories.
        labels: what rules may name, each ``kind:value``: ``listener:agents``, ``address:127.0.0.1``.
    """

    key: str
    labels: frozenset[str] = frozenset()


@frozen
class Secret:
    """A secret string. It is left out of ``repr``, ``str`` and comparison."""

    _value: str = field(repr=False, eq=False)

    def reveal(self) -> str:
        """Give the word itself, to whoever must send it."""
        return self._value

    def __str__(self) -> str:
        return "Secret()"
