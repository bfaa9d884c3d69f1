"""Discards the body of a refused request, so that the connection can serve the next request."""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.proxy.client.connection import ClientConnection

DISCARD_BYTES = 65_536
"""The longest body of a refused request that is discarded. A longer one costs more than a new connection."""


@define(eq=False)
class BodyDiscard:
    """Discards one request body of known length (ClientReceiver).

    Attributes:
        client: the connection.
        left: the number of octets of the body that have not arrived.
    """

    client: ClientConnection
    left: int

    def begin(self) -> None:
        """Discard the octets that have arrived, and wait for the rest."""
        client = self.client
        client.receiver = self
        client.server.timers.expect(client, client.server.limits.head_seconds)
        client.resume()
        self.client_data(client.take_held())

    def client_data(self, data: bytes) -> None:
        """Discard further octets."""
        rest = data[self.left :]
        self.left = max(0, self.left - len(data))
        if not self.left:
            if rest:
                self.client.hold(rest)
            self.client.finished(keep_alive=True)
        elif self.client.has_ended:
            self._give_up()

    def client_ended(self) -> None:
        """End the connection: the client sent a FIN within the body."""
        self._give_up()

    def client_lost(self, _reason: Failure) -> None:
        """Do nothing: the refusal is already recorded."""

    def expired(self) -> None:
        """End the connection: the deadline of the body has passed."""
        self._give_up()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Reset the connection."""
        self.client.abort()

    def _give_up(self) -> None:
        self.client.finished(keep_alive=False, is_read=False)
