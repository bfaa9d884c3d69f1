"""Identifies a client by the facts of its connection: listener, peer address, user and client certificate."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import TypeAlias
from urllib.parse import quote

from attrs import define, field
from attrs.validators import ge
from zope.interface import implementer

from egress.interfaces import IIdentifier
from egress.memo import Memo
from egress.model import Client, Connection

ConnectionFacts: TypeAlias = tuple[str, str, int, int, str]
"""The listener's name, the peer's address, uid, gid and the name in the client certificate."""

# The characters that are not escaped: printable ASCII, as in rules. The percent sign begins an escape.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


@implementer(IIdentifier)
@define(eq=False)
class ListenerIdentifier:
    """Identifies a client by the facts of its connection alone; credentials are ignored.

    Where each sandbox has a listener of its own, the listener identifies the sandbox without credentials.

    A key of the memo is the listener's name, an address, two numbers and the name in a certificate: at most 700
    characters, so that 4,096 clients are below 12 MiB.

    Attributes:
        capacity: the largest number of clients in the memo.
    """

    capacity: int = field(default=4096, validator=ge(1))
    _memo: Memo[ConnectionFacts, Client] = field(init=False, repr=False)

    @_memo.default
    def _make_memo(self) -> Memo[ConnectionFacts, Client]:
        return Memo(self.capacity)

    def recognise(self, connection: Connection) -> Client:
        """Identify the client of a connection. All requests of the connection belong to this client."""
        return self.identify(connection, None)

    def is_settled(self, connection: Connection) -> bool:
        """Return True: the client does not depend on the request. See `IIdentifier.is_settled`."""
        return True

    def identify(self, connection: Connection, credentials: bytes | None) -> Client:
        """Identify the client of a connection.

        Returns:
            A client labelled `listener:NAME` and, where the connection has them, `address:PEER`, `uid:NUMBER`,
            `gid:NUMBER` and `certificate:NAME`. Calls for equal facts return one object while the memo holds it.
        """
        facts = connection.listener, connection.peer, connection.uid, connection.gid, connection.certificate
        client = self._memo.get(facts)
        return client if client is not None else self._memo.keep(facts, client_of(connection))


def client_of(connection: Connection) -> Client:
    """Make the client of a connection. The client's key is the strongest fact: a certificate, a user, an address."""
    listener, peer = connection.listener, _unmapped(connection.peer)
    labels = {f"listener:{listener}"}
    if peer.startswith("127."):
        # Every process of this machine can bind any loopback address, so all of them are one client.
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
    """Return the network that limits count as one peer: a host has a whole /64 in IPv6 (RFC 4291 section 2.5.4)."""
    try:
        return str(IPv6Network((peer, 64), strict=False))
    except ValueError:
        return peer


def _unmapped(peer: str) -> str:
    """Return the IPv4 address of a peer that a dual-stack listener shows as IPv6 (RFC 4291 section 2.5.5.2).

    A rule for `address:192.0.2.1` must match that machine at every listener.
    """
    if not peer.startswith("::ffff:"):
        return peer
    try:
        mapped = IPv6Address(peer).ipv4_mapped
    except ValueError:
        return peer
    return peer if mapped is None else str(mapped)
