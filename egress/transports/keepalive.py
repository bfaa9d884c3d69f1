"""TCP keepalive: the kernel probes quiet connections, so that NAT keeps them and peers that vanished are found.

A connection is probed after some seconds without an octet, then after each quarter of them. After four probes without
an answer it is lost: twice the seconds after its last octet.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.interfaces import IConnector

MOST_SECONDS = 32_767
"""The most that Linux takes (tcp(7))."""

_PROBES = 4
# Other systems call it TCP_KEEPALIVE.
_IDLE: int = getattr(socket, "TCP_KEEPIDLE", 0) or getattr(socket, "TCP_KEEPALIVE", 0)


class OptionSocket(Protocol):
    """The part of a socket that is used here."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Set an option."""


def set_keepalive(connection: OptionSocket, seconds: int) -> None:
    """Probe a connection. What is accepted from a listening socket inherits it on Linux.

    Args:
        connection: its TCP socket, or a listening one.
        seconds: without an octet, before the first probe; 0 sends none.

    Raises:
        OSError: the socket is closed.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1 if seconds else 0)
    if seconds:
        connection.setsockopt(socket.IPPROTO_TCP, _IDLE, seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // _PROBES))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


@frozen(eq=False)
class KeepaliveDialler:
    """Dials by a reactor of Twisted, and has the connections probed.

    Attributes:
        reactor: IReactorTCP and IReactorTime.
        keepalive_seconds: see `set_keepalive`.
    """

    reactor: Any
    keepalive_seconds: int

    def connectTCP(self, *arguments: Any, **named: Any) -> IConnector:
        """Dial (IReactorTCP)."""
        connector: IConnector = self.reactor.connectTCP(*arguments, **named)
        # An attempt that failed at once has no socket.
        connection = getattr(getattr(connector, "transport", None), "socket", None)
        if connection is not None:
            set_keepalive(connection, self.keepalive_seconds)
        return connector

    @property
    def callLater(self) -> Callable[..., Any]:
        """Set a timer (IReactorTime)."""
        call_later: Callable[..., Any] = self.reactor.callLater
        return call_later

    @property
    def seconds(self) -> Callable[[], float]:
        """Tell the time (IReactorTime)."""
        seconds: Callable[[], float] = self.reactor.seconds
        return seconds
