"""The protocol of the control socket, by which the `egress` command sends commands to the running proxy.

The client sends one line of JSON, `{"do": "reload"}`, and receives one line: `{"result": {...}}` or `{"error": "why
not"}`. Then the connection is closed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import EgressError
from egress.transports.peer_credentials import read_peer_credentials

LINE_BYTES = 65_536

_CONNECTIONS = 8
_REQUEST_SECONDS = 10.0
_RESPONSE_SECONDS = 10.0

Command = Callable[[Mapping[str, object]], object]

_log = Logger()


class ControlRefused(EgressError):
    """The refusal of a command; the text is the reason."""


def peer_uid(transport: ITransport) -> int:
    """Return the uid of the process that connected to a unix socket.

    Raises:
        OSError: the kernel has no credentials of the peer.
    """
    return read_peer_credentials(cast(Any, transport).socket).uid


@implementer(IProtocol)
@define(eq=False)
class ControlProtocol:
    """Reads one request, and writes its response.

    Attributes:
        factory: the factory, which has the commands.
        transport: the transport of the connection.
    """

    factory: ControlFactory
    transport: ITransport = field(init=False)
    _received: bytes = field(init=False, default=b"")
    _deadline: IDelayedCall | None = field(init=False, default=None)
    _has_request: bool = field(init=False, default=False)
    _is_lost: bool = field(init=False, default=False)

    def makeConnection(self, transport: ITransport) -> None:
        """Accept or refuse the connection (IProtocol)."""
        self.transport = transport
        factory = self.factory
        factory.live.add(self)
        self._set_deadline(_REQUEST_SECONDS)
        if factory.uid_of(transport) not in (0, os.geteuid()):
            self._refuse("only the proxy's own user and root may ask")
        elif len(factory.live) > _CONNECTIONS:
            self._refuse("too many are asking at once")

    def connectionMade(self) -> None:
        """Do nothing: `makeConnection` has accepted the connection (IProtocol)."""

    def dataReceived(self, data: bytes) -> None:
        """Receive a part of the request (IProtocol)."""
        if self._has_request:
            return
        self._received += data
        line, end, _ = self._received.partition(b"\n")
        if end:
            self._has_request, self._received = True, b""
            self._stop_deadline()
            self._run(line)
        elif len(self._received) > LINE_BYTES:
            self._received = b""
            self._refuse(f"a question has {LINE_BYTES} octets at most")

    def connectionLost(self, reason: Failure) -> None:
        """Remove the connection (IProtocol). A running command continues."""
        self._is_lost = True
        self._stop_deadline()
        self.factory.live.discard(self)

    def end(self) -> None:
        """Reset the connection."""
        self._stop_deadline()
        if not self._is_lost:
            cast(Any, self.transport).abortConnection()

    def _run(self, line: bytes) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        name = request.get("do") if isinstance(request, dict) else None
        command = self.factory.commands.get(name) if isinstance(name, str) else None
        if command is None:
            known = ", ".join(sorted(self.factory.commands))
            self._respond({"error": f'a question is a line such as {{"do": "reload"}}; known here: {known}'})
            return
        done: Deferred[object] = maybeDeferred(command, request)
        done.addCallbacks(lambda result: self._respond({"result": result}), self._failed)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, EgressError):
            self._respond({"error": " ".join(str(error).split())})
        else:
            _log.failure("a command of the control socket failed", failure)
            self._respond({"error": "it failed; the proxy's log has a traceback"})

    def _refuse(self, problem: str) -> None:
        self._has_request = True
        self._respond({"error": problem})

    def _respond(self, response: Mapping[str, object]) -> None:
        if not self._is_lost:
            self._set_deadline(_RESPONSE_SECONDS)
            self.transport.write(json.dumps(response).encode("ascii") + b"\n")
            self.transport.loseConnection()

    def _set_deadline(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = self.factory.clock.callLater(seconds, self.end)

    def _stop_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


@implementer(IProtocolFactory)
@define(eq=False)
class ControlFactory:
    """Builds the protocols of the connections to the control socket.

    Attributes:
        clock: the clock of the deadlines.
        commands: the commands by name. A command is called with the request, and returns a value for `json.dumps` or a
            Deferred of one. An EgressError becomes the response.
        uid_of: returns the uid of the connecting process.
        live: the open connections.
    """

    clock: IReactorTime
    commands: Mapping[str, Command]
    uid_of: Callable[[ITransport], int] = peer_uid
    live: set[ControlProtocol] = field(init=False, factory=set)
    noisy: bool = False
    numPorts: int = 0  # incremented and decremented by Twisted's ports

    def buildProtocol(self, _address: IAddress) -> ControlProtocol:
        """Build the protocol of one connection (IProtocolFactory)."""
        return ControlProtocol(self)

    def doStart(self) -> None:
        """Do nothing (IProtocolFactory)."""

    def doStop(self) -> None:
        """Do nothing (IProtocolFactory)."""
