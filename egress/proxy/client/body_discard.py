"""Reads past the body of a request that was refused, so that the connection can serve the next one."""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure

from egress.errors import ProtocolError, Refused
from egress.proxy.client.connection import ClientConnection
from egress.wire.body import BodyReader

DISCARD_BYTES = 65_536
"""Of the body of a refused request. To read past more would cost more than a new connection does."""


@define(eq=False)
class BodyDiscard:
    """Discards one request body (ClientReceiver).

    Attributes:
        client: the connection.
        body: reads it.
        left: octets of it that may still come.
    """

    client: ClientConnection
    body: BodyReader
    left: int = DISCARD_BYTES

    def begin(self) -> None:
        """Read what is here, and wait for the rest."""
        client = self.client
        client.receiver = self
        client.server.timers.expect(client, client.server.limits.head_seconds)
        client.resume()
        self.client_data(client.take_held())

    def client_data(self, data: bytes) -> None:
        """Read on."""
        body = self.body
        try:
            body.feed(data)
        except ProtocolError:
            self._give_up()
            return
        self.left -= len(data) - len(body.rest)
        if self.left < 0:
            self._give_up()
        elif body.is_complete:
            if body.rest:
                self.client.hold(body.rest)
            self.client.finished(keep_alive=True)
        elif self.client.has_ended:
            self._give_up()

    def client_ended(self) -> None:
        """There is no next request."""
        self._give_up()

    def client_lost(self, _reason: Failure) -> None:
        """Do nothing: the refusal is on the record."""

    def expired(self) -> None:
        """It took too long."""
        self._give_up()

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Stop now."""
        self.client.abort()

    def _give_up(self) -> None:
        self.client.finished(keep_alive=False, is_read=False)
