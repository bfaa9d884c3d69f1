"""Serves the pipelined requests of one connection one at a time, in order (RFC 9112 section 9.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from egress.errors import Refused
from egress.proxy.roles import READING, WORKING, listener_removed

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

_log = Logger()

# The most requests of one connection that are served without returning to the reactor. 64 KiB hold two thousand heads,
# and requests that are answered immediately would otherwise keep all other connections waiting.
_HEADS_PER_TURN = 32


def read_heads(client: ClientConnection) -> None:
    """Begin the requests in the held octets, until one does not complete synchronously."""
    if client.is_looping or client.later is not None:
        return
    client.is_looping = True
    left = _HEADS_PER_TURN
    try:
        while client.held and client.state == READING:
            if not left:
                client.pause()
                client.later = client.server.clock.callLater(0, _go_on, client)
                return
            left -= 1
            data, client.held = client.held, b""
            parsed = client.server.request_parser.read(client, data)
            if parsed is None:
                return
            client.state = WORKING
            if client.is_displaced:
                client.refuse_unread(listener_removed())
            else:
                client.begin(client, parsed)
    except Exception:
        _log.failure("serving a request failed")
        client.refuse_unread(Refused("internal_error", "The proxy failed."))
    finally:
        client.is_looping = False


def _go_on(client: ClientConnection) -> None:
    client.later = None
    if client.state == READING:
        client.resume()
        read_heads(client)
        if client.is_ended and client.state == READING and not client.held:
            client.close()
