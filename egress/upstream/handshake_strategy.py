"""The contract between a handshake with a hop and its strategies."""

from __future__ import annotations

from typing import Protocol as Shape

from attrs import define
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from egress.upstream.hop_errors import HopFault


class HandshakeRefused(Exception):
    """The hop's response ends the handshake.

    Attributes:
        fault: the reason.
    """

    def __init__(self, fault: HopFault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@define(eq=False)
class Reply:
    """The reaction of a strategy to bytes of a hop.

    Attributes:
        data: bytes to send.
        rest: bytes that follow the handshake, once it is complete; None before.
    """

    data: bytes = b""
    rest: bytes | None = None


class HopConnection(Shape):
    """The IProtocol of a connection to a hop. The events go to the handshake, later to the caller's protocol."""

    def replace(self, protocol: IProtocol) -> None:
        """Pass all further events to the caller's protocol."""

    def deliver(self, data: bytes) -> None:
        """Pass bytes to the caller's protocol, unless the connection has ended."""


class HandshakeStrategy(Shape):
    """Defines the octets that one handshake sends, and reads the response. One object for each handshake."""

    @property
    def target(self) -> str:
        """The destination requested from the hop, as an entry for the trace; "" for no entry."""

    def build_connection(self, receiver: IProtocol) -> HopConnection:
        """Build the protocol of the connection to the hop.

        Args:
            receiver: the handshake, which receives the events and provides IHalfCloseableProtocol and
                IHandshakeListener.
        """

    def start(self) -> bytes:
        """Return the bytes to send first."""

    def read(self, data: bytes) -> Reply:
        """Read more bytes of the hop; b"" when TLS reports the end of its handshake.

        Raises:
            HandshakeRefused: the response ends the handshake.
        """

    def lost(self, reason: Failure | None) -> HopFault:
        """Describe the loss of the connection before the response was complete. The reason is None for a FIN."""

    def expired(self, seconds: float) -> HopFault:
        """Describe a handshake that was not complete after this number of seconds."""
