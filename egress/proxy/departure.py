"""Notices that clients have left whose octets are not read: a FIN or a reset waits behind what is unread."""

from __future__ import annotations

from itertools import islice
from typing import Protocol

from twisted.logger import Logger

from egress.errors import Refused
from egress.proxy.roles import ClientReceiver
from egress.transports.contract import IStreamTransport, PeerEnd

# Each look is a system call. More than so many connections are looked at in turns.
_LOOKS = 1024

_log = Logger()


class UnreadConnection(Protocol):
    """A client connection, as far as the end of its client is concerned."""

    @property
    def transport(self) -> IStreamTransport:
        """Its transport, which is paused."""

    @property
    def receiver(self) -> ClientReceiver | None:
        """Serves the current request, if any."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End what runs, now."""

    def abort(self) -> None:
        """Reset the connection."""


def end_departed(unread: dict[UnreadConnection, None], *, is_fin_close: bool) -> None:
    """Look at connections that are not read, and end those whose clients have left.

    Args:
        unread: the connections. Those that were not looked at for longest come first.
        is_fin_close: see `HttpSettings`.
    """
    for client in list(islice(unread, _LOOKS)):
        if client not in unread:
            continue
        del unread[client]
        unread[client] = None
        try:
            _look(client, is_fin_close=is_fin_close)
        except Exception:
            # A fault on one connection must not keep the others from being looked at.
            _log.failure("ending a request failed")
            client.abort()


def _look(client: UnreadConnection, *, is_fin_close: bool) -> None:
    end = client.transport.find_end()
    if end is PeerEnd.RESET:
        client.end("client_reset")
    elif end is PeerEnd.FIN and is_fin_close and client.receiver is not None:
        client.end("client_closed")
