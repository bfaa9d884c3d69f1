"""What every connection tells by itself: its listener, its peer, and what the kernel or TLS vouch for."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from urllib.parse import quote

from attrs import define, field
from attrs.validators import ge
from zope.interface import implementer

from egress.interfaces import IIdentifier
from egress.model import Client, Connection

# What a rule can name: printable ASCII. The percent sign begins what stands for anything else.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


@implementer(IIdentifier)
@define(eq=False)
class ListenerIdentifier:
    """Takes everyone whose connection has the same facts for the same client, and looks at no credentials.

    Where a sandbox has a listener of its own, this tells sandboxes apart without asking them anything.

    Attributes:
        capacity: how many clients are remembered; the one made first goes first.
    """

    capacity: int = field(default=4096, validator=ge(1))
    _known: dict[tuple[str, str, int, int, str], Client] = field(factory=dict, init=False, repr=False)

    def recognise(self, connection: Connection) -> Client:
        """Name the client of a connection: the one that all its requests are of."""
        return self.identify(connection, None)

    def is_settled(self, connection: Connection) -> bool:
        """Say that the facts are all that counts."""
        return True

    def identify(self, connection: Connection, credentials: bytes | None) -> Client:
        """Name the client of a connection.

        Returns:
            A client labelled `listener:NAME` and, where the connection has them, `address:PEER`, `uid:NUMBER`,
            `gid:NUMBER` and `certificate:NAME`. The same object for as long as it is remembered.
        """
        client = self._known.get(
            (connection.listener, connection.peer, connection.uid, connection.gid, connection.certificate)
        )
        return client if client is not None else self._remember(connection)

    def _remember(self, connection: Connection) -> Client:
        client = client_of(connection)
        if len(self._known) >= self.capacity:
            del self._known[next(iter(self._known))]
        self._known[connection.listener, connection.peer, connection.uid, connection.gid, connection.certificate] = (
            client
        )
        return client


def client_of(connection: Connection) -> Client:
    """Make the client of a connection. Its key says the strongest fact: a certificate, a user, an address."""
    listener, peer = connection.listener, _usual_spelling(connection.peer)
    labels = {f"listener:{listener}"}
    if peer.startswith("127."):
        # Every process of this machine can take any of these: they are one.
        peer = "127.0.0.1"
    key = f"{listener}/{_network(peer)}"
    if peer:
        labels.add(f"address:{peer}")
    if connection.gid >= 0:
        labels.add(f"gid:{connection.gid}")
    if connection.uid >= 0:
        labels.add(f"uid:{connection.uid}")
        key = f"{listener}/uid:{connection.uid}"
    if connection.certificate:
        label = f"certificate:{quote(connection.certificate, safe=_PLAIN)}"
        labels.add(label)
        key = f"{listener}/{label}"
    return Client(key, frozenset(labels))


def _network(peer: str) -> str:
    """Give what limits count by: a host has a whole /64 of IPv6 addresses to itself (RFC 4291 section 2.5.4)."""
    try:
        return str(IPv6Network((peer, 64), strict=False))
    except ValueError:
        return peer


def _usual_spelling(peer: str) -> str:
    """Undo the mapping that a dual-stack listener does (RFC 4291 section 2.5.5.2).

    A rule for `address:192.0.2.1` must match that machine whichever listener it comes in by.
    """
    if not peer.startswith("::ffff:"):
        return peer
    try:
        mapped = IPv6Address(peer).ipv4_mapped
    except ValueError:
        return peer
    return peer if mapped is None else str(mapped)
