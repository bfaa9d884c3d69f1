"""The requests of one connection, one at a time and in order (RFC 9112 section 9.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from egress.errors import Refused
from egress.proxy.http1.request_parsing import read_on
from egress.proxy.roles import READING, WORKING, listener_removed

if TYPE_CHECKING:
    from egress.proxy.client.connection import ClientConnection

_log = Logger()

# Of those that are answered at once so many are served before others have their turn. 64 KiB hold two thousand of them.
_HEADS = 32


def read_heads(client: ClientConnection) -> None:
    """Begin the requests that are held, until one has to be waited for."""
    if client.is_looping or client.later is not None:
        return
    client.is_looping = True
    left = _HEADS
    try:
        while client.held and client.state == READING:
            if not left:
                client.pause()
                client.later = client.server.clock.callLater(0, _go_on, client)
                return
            left -= 1
            data, client.held = client.held, b""
            # One that begins and ends with this read, on a connection that has had no other.
            parsed = client.server.parsed_requests.find(data) if client.reader is None else None
            if parsed is None:
                parsed = read_on(client, data)
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
