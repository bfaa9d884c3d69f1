"""Reads the requests of one client connection, one at a time and in order (RFC 9112 section 9.3.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

from egress.errors import ProtocolError, Refused
from egress.model import Authority
from egress.proxy.http1.request_parsing import HeadSource, ParsedRequest
from egress.proxy.refusals import listener_removed
from egress.proxy.roles import Displacement
from egress.proxy.server import ProxyServer
from egress.proxy.states import CLIENT_CONNECTION, DISPATCHING, IDLE, READING, YIELDING
from egress.timing.timer_wheel import Entry

_log = Logger()

# The most requests of one connection that are served without returning to the reactor. 64 KiB can contain two thousand
# heads, and requests with immediate responses would otherwise delay all other connections.
_HEADS_PER_TURN = 8


class PipelinedConnection(HeadSource, Entry, Protocol):
    """A client connection, as used by the loop over its requests.

    Attributes:
        state: see `states.CLIENT_CONNECTION`.
    """

    state: str

    @property
    def server(self) -> ProxyServer:
        """The server."""

    @property
    def displacement(self) -> Displacement | None:
        """The effect of a reload on the connection's listener."""

    @property
    def has_ended(self) -> bool:
        """Whether the client sent its FIN."""

    def step(self, event: str) -> None:
        """Change the state."""

    @property
    def start(self) -> Callable[[Any, ParsedRequest], None]:
        """Starts a request."""

    def proceed(self) -> None:
        """Read on, after other connections were served."""

    def refuse_unread(self, refused: Refused, method: str = "", authority: Authority | None = None) -> None:
        """Answer with a refusal, and close. The method and the destination are those that were read."""

    def pause(self) -> None:
        """Pause reading."""

    def resume(self) -> None:
        """Resume reading."""

    def close(self) -> None:
        """Close after the written octets are sent."""


def read_requests(client: PipelinedConnection) -> None:
    """Start the requests in the held octets, until one does not complete synchronously."""
    left = _HEADS_PER_TURN
    try:
        while client.held and (client.state is IDLE or client.state is READING):
            if not left:
                client.step("yield")
                client.pause()
                client.server.turns.add(client)
                return
            left -= 1
            data, client.held = client.held, b""
            parsed = client.server.request_parser.read(client, data)
            if parsed is None:
                _await_rest(client)
                return
            client.state = CLIENT_CONNECTION[client.state]["head_complete"]
            if client.displacement is not None:
                client.refuse_unread(listener_removed(), parsed.head.method, parsed.target.authority)
                return
            client.start(client, parsed)
            if client.state is DISPATCHING:
                client.state = CLIENT_CONNECTION[DISPATCHING]["wait"]
            elif client.has_ended and client.state is IDLE and not client.held:
                client.close()
    except ProtocolError as error:
        client.refuse_unread(Refused(error.code, error.sentence), error.method, error.authority)
    except Exception:
        _log.failure("serving a request failed")
        client.refuse_unread(Refused("internal_error", "The proxy failed."))


def _await_rest(client: PipelinedConnection) -> None:
    if client.has_ended:
        client.close()
    elif client.state is IDLE and client.reader is not None and client.reader.is_begun:
        client.step("head_begun")
        client.server.timers.expect(client, client.server.limits.head_seconds)


def queue_held(client: PipelinedConnection) -> None:
    """Read the requests that are held, in a later turn; close where none are and the client sent its FIN."""
    if client.held:
        client.step("yield")
        client.pause()
        client.server.turns.add(client)
    elif client.has_ended:
        client.close()


def proceed(client: PipelinedConnection) -> None:
    """Read on, after other connections were served."""
    if client.state is YIELDING:
        client.step("resume")
        client.resume()
        read_requests(client)
        if client.has_ended and client.state is IDLE and not client.held:
            client.close()
