"""Lets Twisted's ports rest when there are no descriptors, as the engine's do."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

REST_SECONDS = 0.1

# The log is told of it no more often than this.
_SAY_SECONDS = 60.0

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_log = Logger()


class BackoffSocket(socket.socket):
    """A listening socket whose port rests for a while when no connection can be accepted.

    Left to itself Twisted's port closes the clients that wait where the process has no descriptors left, and asks
    again and again at full speed where the system has none.

    Attributes:
        pauses: how often the port has rested.
    """

    # What socket.socket has besides these is fixed by its own __slots__.
    __slots__ = ("_next", "_port", "_reactor", "_said", "pauses")

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.pauses = 0
        self._reactor: Any = None
        self._port: tcp.Port | None = None
        self._next: IDelayedCall | None = None
        self._said: float | None = None

    def serve(self, reactor: Any, port: tcp.Port) -> None:
        """Have a port that was made for a socket of this family serve this one."""
        self._reactor = reactor
        self._port = port
        port._preexistingSocket = self
        # A shutdown would end it for systemd too, if that listens as well.
        port._shouldShutdown = False
        port.startListening()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: none waits, or there is nothing to accept it with for now.
        """
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._rest(error)
            raise BlockingIOError(errno.EAGAIN, error.strerror)

    def close(self) -> None:
        """Close, and wake up no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        super().close()

    def _rest(self, problem: OSError) -> None:
        if self._port is None or self._next is not None:
            return
        self.pauses += 1
        self._port.stopReading()
        self._next = self._reactor.callLater(REST_SECONDS, self._go_on)
        now = self._reactor.seconds()
        if self._said is None or now - self._said >= _SAY_SECONDS:
            self._said = now
            _log.error(
                "no more connections can be accepted for now: {problem}; those that wait are tried again every "
                "{seconds} s",
                problem=problem.strerror,
                seconds=REST_SECONDS,
            )

    def _go_on(self) -> None:
        self._next = None
        if self._port is not None and not self._port.disconnecting:
            self._port.startReading()
