"""Listening sockets that Twisted's ports serve."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet import tcp

from egress.transports.accept_backoff import AcceptBackoff
from egress.transports.descriptor_ceiling import DescriptorCeiling


class BackoffSocket(socket.socket):
    """A listening socket whose port pauses while no connection can be accepted, like a port of the engine.

    Without this class, Twisted's port closes the waiting clients where the process has no descriptors left, and calls
    accept(2) in a loop where the system has none.

    Args:
        fileno: the descriptor of the socket.
        ceiling: the ceiling of the descriptors that connections may use; None for no ceiling.
    """

    # All other attributes of socket.socket are fixed by its own __slots__.
    __slots__ = ("_backoff", "_ceiling", "_port")

    def __init__(self, fileno: int, ceiling: DescriptorCeiling | None = None) -> None:
        super().__init__(fileno=fileno)
        self._ceiling = ceiling or DescriptorCeiling()
        self._backoff: AcceptBackoff | None = None
        self._port: tcp.Port | None = None

    @property
    def pauses(self) -> int:
        """The number of pauses for lack of descriptors or memory."""
        return 0 if self._backoff is None else self._backoff.pauses

    def serve(self, reactor: Any, port: tcp.Port) -> None:
        """Replace the socket of a port, which was made for a socket of this family, by this socket."""
        self._backoff = AcceptBackoff(reactor, port.stopReading, self._restart, self._ceiling)
        self._port = port
        port._preexistingSocket = self
        # A shutdown would also end the socket for systemd, which may listen on it.
        port._shouldShutdown = False
        port.startListening()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: no connection waits, or accepting is paused.
        """
        backoff = self._backoff
        if backoff is not None and backoff.is_near and not backoff.may_accept(self.fileno()):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        try:
            accepted = super().accept()
        except OSError as error:
            if backoff is None or not backoff.pause(error):
                raise
            raise BlockingIOError(errno.EAGAIN, error.strerror)
        if backoff is not None and accepted[0].fileno() >= self._ceiling.near:
            backoff.is_near = True
        return accepted

    def close(self) -> None:
        """Close the socket, and cancel a pending restart."""
        if self._backoff is not None:
            self._backoff.cancel()
        super().close()

    def _restart(self) -> None:
        if self._port is not None and not self._port.disconnecting:
            self._port.startReading()
