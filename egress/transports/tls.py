"""The transport inside TLS, whoever is on the other side."""

from __future__ import annotations

from typing import Any, cast

from twisted.protocols.tls import TLSMemoryBIOProtocol


class TlsTransport(TLSMemoryBIOProtocol):
    """Does what Twisted passes on to the TCP connection below, as TLS has it.

    - Half-close. Twisted's would cut the TLS stream off. TLS 1.3 ends one direction by close_notify (RFC 8446 section
      6.1). Before 1.3, whoever hears of it drops what it still has to say (RFC 5246 section 7.2.1), so it is not said
      while the other direction runs.
    - Reset. No close_notify is sent: with it, what was cut off would look whole.
    - Stop. It closes TLS, not the connection below it.
    """

    _is_half_closed = False

    def loseWriteConnection(self) -> None:
        """Write no more, and read on (ITCPTransport)."""
        if self._is_half_closed or self.disconnecting or self._lostTLSConnection:
            return
        self._is_half_closed = True
        if self._has_directions:
            self._shutdownTLS()
        else:
            self._wait_for_the_other_direction()

    @property
    def _has_directions(self) -> bool:
        """Each direction ends by itself."""
        return bool(self._tlsConnection.get_protocol_version_name() == "TLSv1.3")

    def _wait_for_the_other_direction(self) -> None:
        """Begin to wait where only both directions can be ended; without a deadline it runs on to its end."""

    def write(self, bytes: bytes) -> None:  # noqa: A002
        """Send, unless this direction has ended (ITransport)."""
        if not self._is_half_closed:
            super().write(bytes)

    def abortConnection(self) -> None:
        """Reset, and drop what was not sent (ITCPTransport)."""
        self._aborted = True
        self.disconnecting = True
        cast(Any, self.transport).abortConnection()

    def stopProducing(self) -> None:
        """Close (IProducer)."""
        self.loseConnection()
