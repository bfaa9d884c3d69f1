"""The control socket: a unix socket in the state directory, to which the `egress` command connects.

Only the supervisor's own user and root may use the socket: the file has mode 600, and the peer's uid is checked.
"""

from __future__ import annotations

import os
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from egress.errors import ConfigError
from egress.service.listen.endpoint import UnixEndpoint
from egress.service.listen.sockets import BoundSocket, bind
from egress.service.process.control_protocol import Command, ControlFactory

SOCKET_NAME = "control.sock"

_log = Logger()


def control_path(state: str) -> str:
    """Return the path of the control socket in a state directory."""
    return os.path.join(state, SOCKET_NAME)


@define(eq=False)
class ControlSocket:
    """Serves the control socket of one supervisor. A failure to bind the socket only causes a warning.

    Attributes:
        reactor: the reactor that serves the socket.
        state: the state directory.
        commands: see `ControlFactory`.
    """

    reactor: Any
    state: str
    commands: dict[str, Command] = field(factory=dict)
    _socket: BoundSocket | None = field(init=False, default=None)
    _port: IListeningPort | None = field(init=False, default=None)
    _factory: ControlFactory | None = field(init=False, default=None)

    def start(self) -> None:
        """Bind the socket, and serve it."""
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
        self._factory = ControlFactory(self.reactor, self.commands)
        self._port = self._socket.serve(self.reactor, self._factory)

    def stop(self) -> Deferred[Any]:
        """Close the socket and its connections.

        Returns:
            A Deferred that fires when the socket is closed.
        """
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
