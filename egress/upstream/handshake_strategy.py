"""The contract between a handshake with a hop and its strategies: what is sent, and how the answer is read."""

from __future__ import annotations

from typing import Protocol as Shape

from attrs import define
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from egress.upstream.hop_errors import HopFault


class HandshakeRefused(Exception):
    """The hop's answer ends the handshake.

    Attributes:
        fault: why.
    """

    def __init__(self, fault: HopFault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@define(eq=False)
class Reply:
    """What follows from some bytes of a hop.

    Attributes:
        data: bytes to send.
        rest: bytes that follow the handshake, once it is complete; None before.
    """

    data: bytes = b""
    rest: bytes | None = None


class HopConnection(Shape):
    """The IProtocol of a connection to a hop. Its events go to the handshake, later to the caller's protocol."""

    def replace(self, protocol: IProtocol) -> None:
        """Send all further events to the caller's protocol."""

    def deliver(self, data: bytes) -> None:
        """Pass bytes to the caller's protocol, unless the connection has ended."""


class HandshakeStrategy(Shape):
    """What one handshake sends and how it reads the answer. One object for each handshake."""

    @property
    def target(self) -> str:
        """The destination that the hop is asked for, as an entry for the trace; "" for no entry."""

    def build_connection(self, receiver: IProtocol) -> HopConnection:
        """Build the protocol of the connection to the hop.

        Args:
            receiver: the handshake, which gets the events. It provides IHalfCloseableProtocol and IHandshakeListener.
        """

    def start(self) -> bytes:
        """Give the bytes to send first."""

    def read(self, data: bytes) -> Reply:
        """Read more bytes of the hop; b"" when TLS reports the end of its handshake.

        Raises:
            HandshakeRefused: the answer ends the handshake.
        """

    def lost(self, reason: Failure | None) -> HopFault:
        """Describe the loss of the connection before the answer was complete; without a reason for a FIN."""

    def expired(self, seconds: float) -> HopFault:
        """Describe a handshake that was not complete after so many seconds."""
