"""A unix socket in the state directory, by which the `egress` command asks the running supervisor to do something.

One line of JSON asks, `{"do": "reload"}`; one line answers, `{"result": {...}}` or `{"error": "why not"}`; then it is
closed. Whoever may ask is the supervisor's own user or root: the file has mode 600, and the kernel says who connected.
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
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import ConfigError, EgressError
from egress.service.listen.endpoint import UnixEndpoint
from egress.service.listen.sockets import BoundSocket, bind
from egress.transports.peer_credentials import read_peer_credentials

SOCKET_NAME = "control.sock"
LINE_BYTES = 65_536

_CONNECTIONS = 8
_ASK_SECONDS = 10.0
_ANSWER_SECONDS = 10.0

Verb = Callable[[Mapping[str, object]], object]

_log = Logger()


class ControlRefused(EgressError):
    """What was asked for is not done; the text says why."""


def control_path(state: str) -> str:
    """Give the path of the socket in a state directory."""
    return os.path.join(state, SOCKET_NAME)


def peer_uid(transport: ITransport) -> int:
    """Give the user of the process that connected to a unix socket.

    Raises:
        OSError: the kernel does not tell.
    """
    return read_peer_credentials(cast(Any, transport).socket).uid


@implementer(IProtocol)
@define(eq=False)
class ControlProtocol:
    """One question and its answer.

    Attributes:
        factory: knows the verbs.
        transport: given when the connection stands.
    """

    factory: ControlFactory
    transport: ITransport = field(init=False)
    _held: bytes = field(init=False, default=b"")
    _deadline: IDelayedCall | None = field(init=False, default=None)
    _is_asked: bool = field(init=False, default=False)
    _is_lost: bool = field(init=False, default=False)

    def makeConnection(self, transport: ITransport) -> None:
        """Begin (IProtocol)."""
        self.transport = transport
        factory = self.factory
        factory.live.add(self)
        self._expect(_ASK_SECONDS)
        if factory.uid_of(transport) not in (0, os.geteuid()):
            self._is_asked = True
            self._say({"error": "only the proxy's own user and root may ask"})
        elif len(factory.live) > _CONNECTIONS:
            self._is_asked = True
            self._say({"error": "too many are asking at once"})

    def connectionMade(self) -> None:
        """Do nothing: `makeConnection` has done it (IProtocol)."""

    def dataReceived(self, data: bytes) -> None:
        """Take the question."""
        if self._is_asked:
            return
        self._held += data
        line, end, _ = self._held.partition(b"\n")
        if end:
            self._is_asked, self._held = True, b""
            self._stop_deadline()
            self._ask(line)
        elif len(self._held) > LINE_BYTES:
            self._is_asked, self._held = True, b""
            self._say({"error": f"a question has {LINE_BYTES} octets at most"})

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone; what was begun goes on."""
        self._is_lost = True
        self._stop_deadline()
        self.factory.live.discard(self)

    def _ask(self, line: bytes) -> None:
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            asked = None
        word = asked.get("do") if isinstance(asked, dict) else None
        verb = self.factory.verbs.get(word) if isinstance(word, str) else None
        if verb is None:
            known = ", ".join(sorted(self.factory.verbs))
            self._say({"error": f'a question is a line such as {{"do": "reload"}}; known here: {known}'})
            return
        done: Deferred[object] = maybeDeferred(verb, asked)
        done.addCallbacks(lambda result: self._say({"result": result}), self._failed)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, EgressError):
            self._say({"error": " ".join(str(error).split())})
        else:
            _log.failure("a question on the control socket failed", failure)
            self._say({"error": "it failed; the proxy's log has a traceback"})

    def _say(self, answer: Mapping[str, object]) -> None:
        if not self._is_lost:
            self._expect(_ANSWER_SECONDS)
            self.transport.write(json.dumps(answer).encode("ascii") + b"\n")
            self.transport.loseConnection()

    def _expect(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = self.factory.clock.callLater(seconds, self.end)

    def _stop_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def end(self) -> None:
        """Reset the connection."""
        self._stop_deadline()
        if not self._is_lost:
            cast(Any, self.transport).abortConnection()


@implementer(IProtocolFactory)
@define(eq=False)
class ControlFactory:
    """Builds the protocols.

    Attributes:
        clock: for their deadlines.
        verbs: what can be asked for: each is given the question, and returns what `json.dumps` takes, or a Deferred of
            it. An EgressError is the answer too.
        uid_of: tells who connected.
        live: the connections.
    """

    clock: IReactorTime
    verbs: Mapping[str, Verb]
    uid_of: Callable[[ITransport], int] = peer_uid
    live: set[ControlProtocol] = field(init=False, factory=set)
    noisy: bool = False
    numPorts: int = 0  # Twisted's ports count here

    def buildProtocol(self, _address: IAddress) -> ControlProtocol:
        """Build one."""
        return ControlProtocol(self)

    def doStart(self) -> None:
        """Do nothing."""

    def doStop(self) -> None:
        """Do nothing."""


@define(eq=False)
class Control:
    """The socket of one supervisor. Where there cannot be one, that is warned of and nothing else happens.

    Attributes:
        reactor: serves it.
        state: the state directory.
        verbs: see `ControlFactory`.
    """

    reactor: Any
    state: str
    verbs: dict[str, Verb] = field(factory=dict)
    _socket: BoundSocket | None = field(init=False, default=None)
    _port: IListeningPort | None = field(init=False, default=None)
    _factory: ControlFactory | None = field(init=False, default=None)

    def start(self) -> None:
        """Listen."""
        path = control_path(self.state)
        try:
            os.makedirs(self.state, mode=0o700, exist_ok=True)
            self._socket = bind("control", UnixEndpoint(path, 0o600), "control socket")
        except OSError as error:
            _warn(f"{self.state}: {error.strerror}")
            return
        except ConfigError as error:
            _warn(error.problem)
            return
        self._factory = ControlFactory(self.reactor, self.verbs)
        self._port = self._socket.serve(self.reactor, self._factory)

    def stop(self) -> Deferred[Any]:
        """Close it, and what is connected."""
        port, self._port = self._port, None
        if port is None or self._socket is None or self._factory is None:
            return maybeDeferred(lambda: None)
        closed: Deferred[Any] = maybeDeferred(port.stopListening)
        for each in list(self._factory.live):
            each.end()
        self._socket.close()
        return closed


def _warn(problem: str) -> None:
    _log.warn("no control socket, so `egress reload` cannot be used (SIGHUP can): {problem}", problem=problem)
