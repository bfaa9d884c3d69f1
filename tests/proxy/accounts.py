"""An identifier with a fixed table of accounts."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from egress.errors import Refused
from egress.interfaces import IIdentifier
from egress.model import Client, Connection

ALICE, BOB = b"Basic YWxpY2U6b25l", b"Bearer two"


def facts(connection: Connection) -> Client:
    """Give the client of a connection by its facts alone."""
    words = [connection.listener, connection.peer, connection.certificate]
    if connection.uid >= 0:
        words.append(f"uid:{connection.uid} gid:{connection.gid}")
    return Client("/".join(filter(None, words)))


@implementer(IIdentifier)
@define(eq=False)
class Roster:
    """Knows two callers by their credentials.

    Attributes:
        is_required: a request without credentials is refused.
        is_slow: the answer about credentials comes when the test gives it.
        pending: the answers that are waited for.
        cancelled: how many are not waited for any more.
        seen: every value that was shown.
    """

    is_required: bool = True
    is_slow: bool = False
    pending: list[Deferred[Client]] = field(factory=list)
    cancelled: int = 0
    seen: list[bytes | None] = field(factory=list)
    _known: dict[bytes, Client] = field(factory=lambda: {ALICE: Client("alice"), BOB: Client("bob")})

    def recognise(self, connection: Connection) -> Client:
        """Look at the facts."""
        return facts(connection)

    def is_settled(self, connection: Connection) -> bool:
        """Want to see every request."""
        return False

    def identify(self, connection: Connection, credentials: bytes | None) -> Client | Deferred[Client]:
        """Look at the credentials."""
        self.seen.append(credentials)
        if credentials is None:
            if self.is_required:
                raise Refused("credentials_required", "Credentials are needed here.")
            return facts(connection)
        if self.is_slow:
            self.pending.append(Deferred(self._cancel))
            return self.pending[-1]
        if credentials not in self._known:
            raise Refused("credentials_refused", "Nobody is known by these credentials.")
        return self._known[credentials]

    def _cancel(self, _: Deferred[Client]) -> None:
        self.cancelled += 1
